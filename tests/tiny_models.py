"""Tiny but real models and data for the tests: seconds to build, the formats of the big ones.

The models have random weights: they test that the machinery works, not that answers are good.
Knows nothing of the project's packages, so that every test may use it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TEMPLATE = "### Text: {phrase}\n### The tone is:\n{tone}"

PHRASES: dict[str, tuple[str, ...]] = {
    "joy": (
        "My sister rang to say the baby has her grandmother's laugh.",
        "We danced barefoot in the kitchen until the kettle boiled.",
        "The whole street clapped when the old tram finally started.",
        "I got the garden plot, and the first radishes are already up.",
        "He hugged the dog so hard that both of them fell over.",
        "Our team sang all the way home with the cup on the front seat.",
        "Sunlight on the lake, fresh bread, and nowhere I had to be.",
        "She read my story aloud and the class asked for more.",
        "The choir hit the last chord and everyone grinned at once.",
        "After ten years we are dancing at our own wedding.",
        "Grandpa beat me at chess and winked like a boy.",
        "The first warm morning, and every window on the block is open.",
        "I passed with honours and my mother is baking for forty people.",
        "Snow day! The children are already building a castle.",
        "They kept my painting on the wall, right beside the door.",
        "The kitten chose my lap out of all the laps in the room.",
    ),
    "sadness": (
        "His coat still hangs by the door and I cannot move it.",
        "The last bus left with my friends, and the town went quiet.",
        "She packed the toys into boxes without saying a word.",
        "Nobody came to the reading except the man who sweeps up.",
        "The orchard was cut down the winter after Father died.",
        "I keep setting two cups on the table out of habit.",
        "They sold the house, and strangers' curtains hang in my room.",
        "The letter came back unopened for the third time.",
        "It rained through the funeral and no one had an umbrella.",
        "My oldest friend does not remember my name any more.",
        "The old piano went to the dump on a Tuesday.",
        "He lost the race he had trained for since he was nine.",
        "Her chair by the window has been empty since March.",
        "The shop where we met is boarded up and grey.",
        "I said goodbye to the dog in a room that smelled of soap.",
        "There were so many things I meant to tell her.",
    ),
    "fear": (
        "Something heavy is moving on the stairs and I live alone.",
        "The brakes went soft halfway down the mountain road.",
        "I cannot feel my hand and the doctor stopped smiling.",
        "The lights died, and then the lift began to slip.",
        "Please stay on the line, he is trying the back door.",
        "The ice cracked behind us, and then in front of us.",
        "The dog growls at the cupboard every night at three.",
        "Water was already over the sill when we woke.",
        "I heard my name whispered in an empty corridor.",
        "The pilot's voice shook when he told us to sit down.",
        "There was a second set of footprints beside my own.",
        "My throat closes whenever that number calls.",
        "The rope is fraying and the ledge is still far below.",
        "Smoke came under the door, and the handle was hot.",
        "The children were out of sight, and the tide had turned.",
        "He counts to ten, and I have nowhere left to hide.",
    ),
    "surprise": (
        "I opened the fridge and found my lost passport in the butter dish.",
        "Wait, you two are brothers? Since when?",
        "The quiet clerk turned out to be the masked singer.",
        "Who knew that the statue in the square could move?",
        "They gave the prize to me, and I had not even entered.",
        "A parrot flew in, said good evening, and flew out again.",
        "I never expected the bank to ring and apologise.",
        "Hold on, the map was upside down the entire time?",
        "The cake was a hat, and the hat was a cake!",
        "My twin, whom nobody had told me about, sat in the next seat.",
        "Out of nowhere the desert bloomed overnight.",
        "The parcel I sent to Peru was delivered to my own door.",
        "You mean the teacher wrote that novel? Our teacher?",
        "The old clock struck thirteen, and we all stared.",
        "I pulled the weed, and up came a gold ring.",
        "Guess who walked in after twenty years without a word of warning!",
    ),
}

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}</s>\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def tone_rows() -> list[dict[str, str]]:
    """64 rows {"phrase", "tone"}, the tones in turn."""
    columns = [[{"phrase": p, "tone": tone} for p in phrases] for tone, phrases in PHRASES.items()]
    return [row for turn in zip(*columns, strict=True) for row in turn]


def write_tones(path: Path) -> Path:
    """Write `tone_rows` as JSON lines, and return the path."""
    path.write_text("".join(json.dumps(row) + "\n" for row in tone_rows()), encoding="utf-8")
    return path


def tokenizer() -> Any:
    """A byte-level BPE tokenizer of 600 tokens, trained on the rows; ids 0-3 are special."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<unk>", "<s>", "</s>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bare.train_from_iterator([TEMPLATE.format(**row) for row in tone_rows()], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bare,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        chat_template=CHAT_TEMPLATE,
        model_max_length=256,
    )


def _sizes(vocabulary: int) -> dict[str, Any]:
    """What the two architectures have in common; weights large enough to tell tokens apart."""
    return {
        "vocab_size": vocabulary,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.2,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 3,
    }


def _save(model_class: Any, config: Any, words: Any, folder: Path) -> Path:
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = model_class(config)
    model.to(torch.float32).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def save_phi3(folder: Path, **changes: Any) -> Path:
    """Write a Phi-3 of 2 layers, hidden 64; `changes` replace fields of its configuration."""
    from transformers import Phi3Config, Phi3ForCausalLM

    words = tokenizer()
    fields = _sizes(len(words)) | {"original_max_position_embeddings": 256} | changes
    return _save(Phi3ForCausalLM, Phi3Config(**fields), words, folder)


def save_llama(folder: Path, **changes: Any) -> Path:
    """Write a Llama of 2 layers, hidden 64, embeddings tied as in SmolLM2."""
    from transformers import LlamaConfig, LlamaForCausalLM

    words = tokenizer()
    fields = _sizes(len(words)) | {"tie_word_embeddings": True} | changes
    return _save(LlamaForCausalLM, LlamaConfig(**fields), words, folder)


def encoder_tokenizer() -> Any:
    """The tokenizer as an encoder's: <s> before a text, </s> behind it, and a mask token."""
    from tokenizers import processors

    words = tokenizer()
    words.add_special_tokens({"cls_token": "<s>", "sep_token": "</s>", "mask_token": "<unk>"})
    words.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return words


def save_bert(folder: Path, **changes: Any) -> Path:
    """Write a BERT of 4 layers, hidden 64, without a head, as sentence encoders come."""
    from transformers import BertConfig, BertModel

    words = encoder_tokenizer()
    fields = _sizes(len(words)) | {"num_hidden_layers": 4} | changes
    for name in ("num_key_value_heads", "bos_token_id", "eos_token_id"):
        fields.pop(name, None)
    return _save(BertModel, BertConfig(**fields), words, folder)


def save_genai(source: Path, folder: Path) -> Path:
    """Build the fp32 ONNX Runtime GenAI folder of a checkpoint, with the builder's defaults."""
    import onnxruntime_genai.models  # noqa: F401 - puts the builder's modules on the path
    from onnxruntime_genai.models.builder import create_model, parse_extra_options

    where = (None, str(source), str(folder), "fp32", "cpu", str(folder.parent / "cache"))
    create_model(*where, **parse_extra_options(*where, []))
    return folder
