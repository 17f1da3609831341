"""Tiny checkpoints with random weights, of the architecture of any model: seconds, no download.

What makes an architecture is kept: grouped heads, tied embeddings, the kinds of layers, the rope,
activations, norms. What makes it large is not: four layers (more where a pattern needs them),
hidden size 64 (more where a rope turns a part of a head only), a vocabulary of 384. Knows nothing
of passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from search_spaces.kinds import CAUSAL, ENCODER, kind_of
from search_spaces.problems import hint
from tuner.models.errors import ModelError

HEADS = 4
POSITIONS = 256
VOCABULARY = 384

_HIDDEN_NAMES = ("hidden_size", "n_embd", "dim", "d_model")
_LAYER_NAMES = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_HEAD_NAMES = ("num_attention_heads", "n_head", "n_heads", "num_heads")
_WIDTH_NAMES = ("embedding_size", "word_embed_proj_dim", "pooler_hidden_size")
_POSITION_NAMES = ("max_position_embeddings", "n_positions")
_SIZES: dict[str, int] = {
    **dict.fromkeys(_HEAD_NAMES, HEADS),
    **dict.fromkeys(_POSITION_NAMES, POSITIONS),
    **dict.fromkeys(("intermediate_size", "n_inner", "hidden_dim", "ffn_dim"), 128),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 64),
    **dict.fromkeys(("num_local_experts", "num_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "top_k_experts"), 2),
    **dict.fromkeys(("sliding_window", "local_attention", "position_buckets"), 32),
    "block_multiple_of": 64,
    "rotary_dim": 8,
    "vocab_size": VOCABULARY,
}
"""Sizes that a number of that name becomes, unless it is smaller already."""

_ORIGINAL_POSITIONS = "original_max_position_embeddings"
_STRETCHED_FROM = 64  # positions before a rope is stretched to POSITIONS
_FEWEST_LAYERS, _MOST_LAYERS = 4, 8
_POSITIONS_AFTER_PADDING = frozenset(
    {"camembert", "mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl"}
)
"""Types whose positions count from behind the padding token's id: they need as many more."""

_INDICES = "full_attn_idxs"  # says the same as `layer_types`, which LFM2 then reads

_DROPPED = ("_name_or_path", "auto_map", "quantization_config", "torch_dtype", "dtype")
_CAUSAL_SPECIALS = ("<unk>", "<s>", "</s>", "<pad>")
_ENCODER_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")  # as RoBERTa numbers them
_SPREAD = 0.2  # of the weights: large enough that outputs tell tokens apart
_JITTER = 0.1  # of norms and biases, which begin as ones and zeros and would hide a mistake

_TEXT = (
    "the quick brown fox jumps over the lazy dog and runs along the river to the old town, where "
    "another dog waits for the rain to end. There are words that come again and again, such as "
    "the, and, that, with, for, not, this, which, their, would, there, could, other, about, "
    "because. ### Text: it was a very good morning ### The tone is: joy, sadness, fear, surprise"
)
"""What the tokenizer's merges are learned from."""


def write_tiny(model: str | Mapping[str, Any], folder: Path, **changes: Any) -> Path:
    """Write a tiny checkpoint (fp32, seeded, with a tokenizer), and return the folder.

    `model`: a config.json as transformers has it, or a model type such as "qwen2" with its
    defaults. `changes` replace fields of the tiny configuration. ModelError where transformers
    does not know the type, or the model is more than a text model.
    """
    import torch

    fields = shrink({"model_type": model} if isinstance(model, str) else model) | changes
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = _network(fields)
        _jitter(network)
    network.to(torch.float32).save_pretrained(folder)
    tokenizer(kind_of(fields) == ENCODER).save_pretrained(folder)
    return folder


def shrink(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a tiny model of the same architecture, complete with defaults.

    The token ids are those of `tokenizer`. Errors as `write_tiny` has them.
    """
    full = _configuration(config).to_dict()
    if nested := [name for name, value in full.items() if _is_model(value)]:
        raise ModelError(
            f"{full['model_type']} is made of several models ({', '.join(sorted(nested))}); "
            "a tiny one can be made of a text model only"
        )
    tiny = {name: value for name, value in full.items() if name not in _DROPPED}
    tiny["architectures"] = list(config.get("architectures") or []) or None
    encoder = kind_of(tiny) == ENCODER
    tiny |= {k: min(v, _SIZES[k]) for k, v in tiny.items() if k in _SIZES and _is_number(v)}
    tiny |= _layers(full) | _heads(full) | _widths(full) | _positions(full) | _tokens(full, encoder)
    tiny |= {name: _SPREAD for name in ("initializer_range", "init_std") if name in tiny}
    return tiny | {"dtype": "float32"}


def _configuration(fields: Mapping[str, Any]) -> Any:
    """The transformers configuration of these fields, with the defaults of its type."""
    from transformers import CONFIG_MAPPING

    kind = str(fields.get("model_type", ""))
    if kind not in CONFIG_MAPPING:
        raise ModelError(
            f"transformers knows no model type {kind!r}{hint(kind, CONFIG_MAPPING.keys())}"
        )
    return CONFIG_MAPPING[kind].from_dict(dict(fields))


def _network(fields: Mapping[str, Any]) -> Any:
    """The model that the configuration names, or the plain one of its kind; random weights."""
    import transformers

    plain = (
        transformers.AutoModelForCausalLM if kind_of(fields) == CAUSAL else transformers.AutoModel
    )
    named = (getattr(transformers, name, None) for name in fields.get("architectures") or ())
    make = next((known for known in named if known is not None), plain.from_config)
    try:
        return make(_configuration(fields))
    except Exception as error:
        raise ModelError(
            f"transformers cannot make a tiny {fields['model_type']}: "
            f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        ) from error


def _jitter(network: Any) -> None:
    """Move norms and biases off their ones and zeros."""
    import torch

    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * _JITTER)


def _head(full: Mapping[str, Any]) -> int:
    """The size of a head: the least that runtimes take, of which a rope may turn a part only."""
    rope = full.get("rope_parameters") or {}
    share = float(rope.get("partial_rotary_factor") or 1)
    sizes = range(16, 129, 16)
    return next((size for size in sizes if size * share % 16 == 0), 16)


def _size(full: Mapping[str, Any], names: Sequence[str]) -> tuple[str, int]:
    """The field of these names that the configuration has, and its number."""
    for name in names:
        if _is_number(full.get(name)):
            return name, int(full[name])
    raise ModelError(
        f"{full['model_type']} is no text model that can be shrunk: its configuration has none of "
        + ", ".join(names)
    )


def _layers(full: Mapping[str, Any]) -> dict[str, Any]:
    """So many layers that every kind of layer is among them, and lists of one entry a layer."""
    name, count = _size(full, _LAYER_NAMES)
    lists = {k: v for k, v in full.items() if isinstance(v, list) and len(v) == count > 1}
    kinds = [v for k, v in lists.items() if k != _INDICES]
    first = {values.index(value) for values in kinds for value in values}
    needed = max(first, default=0) + 1
    least = needed if needed <= _MOST_LAYERS else _FEWEST_LAYERS
    kept = sorted({*range(min(count, max(least, _FEWEST_LAYERS))), *first})
    tiny: dict[str, Any] = {k: [values[i] for i in kept] for k, values in lists.items()}
    for key in ("num_kv_shared_layers", "max_window_layers"):
        if key in full:
            tiny[key] = min(int(full[key] or 0), len(kept) - 1)
    if _INDICES in full:
        tiny[_INDICES] = None
    return tiny | {name: len(kept)}


def _heads(full: Mapping[str, Any]) -> dict[str, Any]:
    """Four heads: each with its keys, in pairs, or all with one, as the model has them."""
    heads, hidden = _size(full, _HEAD_NAMES)[1], _size(full, _HIDDEN_NAMES)[1]
    tiny: dict[str, Any] = {}
    for name in ("num_key_value_heads", "num_kv_heads"):
        if full.get(name):
            tiny[name] = {heads: 4, 1: 1}.get(full[name], 2)
    size = full.get("head_dim")
    if size:
        tiny["head_dim"] = _head(full) * (1 if size * heads == hidden else 2)
        if full.get("query_pre_attn_scalar") == size:
            tiny["query_pre_attn_scalar"] = tiny["head_dim"]
    elif "head_dim" in full:  # HunYuan's models do not work it out
        tiny["head_dim"] = _head(full)
    return tiny


def _widths(full: Mapping[str, Any]) -> dict[str, Any]:
    """The model's width; embeddings and poolers are as wide, or half as wide."""
    name, hidden = _size(full, _HIDDEN_NAMES)
    tiny = HEADS * _head(full)
    beside = [name for name in _WIDTH_NAMES if _is_number(full.get(name))]
    return {name: tiny} | {n: tiny if full[n] == hidden else tiny // 2 for n in beside}


def _positions(full: Mapping[str, Any]) -> dict[str, Any]:
    """Positions, and a rope that is stretched where the model's is."""
    longest = next((full[name] for name in _POSITION_NAMES if name in full), POSITIONS)
    original = full.get(_ORIGINAL_POSITIONS)
    tiny: dict[str, Any] = {}
    if original is not None:
        tiny[_ORIGINAL_POSITIONS] = POSITIONS if original == longest else _STRETCHED_FROM
    if full.get("rope_parameters"):
        tiny["rope_parameters"] = _rope(full["rope_parameters"], _head(full))
    if full["model_type"] in _POSITIONS_AFTER_PADDING:
        tiny["max_position_embeddings"] = POSITIONS + _ENCODER_SPECIALS.index("<pad>") + 1
    return tiny


def _rope(rope: Mapping[str, Any], head: int) -> dict[str, Any]:
    """The rope's parameters: of all layers, or of each kind of layer."""
    if "rope_type" not in rope:
        return {k: _rope(own, head) if isinstance(own, dict) else own for k, own in rope.items()}
    tiny = dict(rope)
    if tiny["rope_type"] == "longrope" and tiny.get(_ORIGINAL_POSITIONS):  # it counts positions
        tiny[_ORIGINAL_POSITIONS] = _STRETCHED_FROM
    turned = int(head * float(tiny.get("partial_rotary_factor") or 1))
    for name in ("short_factor", "long_factor"):
        if name in tiny:
            tiny[name] = list(tiny[name])[: turned // 2]
    if sections := tiny.get("mrope_section"):
        tiny["mrope_section"] = _shared_out(turned // 2, len(sections))
    return tiny


def _shared_out(total: int, parts: int) -> list[int]:
    """A number as so many about equal ones; the first takes what is left."""
    each = total // parts
    return [total - each * (parts - 1), *[each] * (parts - 1)]


def _tokens(full: Mapping[str, Any], encoder: bool) -> dict[str, Any]:
    """The ids of the tokenizer's special tokens; other special tokens there are none."""
    specials = _ENCODER_SPECIALS if encoder else _CAUSAL_SPECIALS
    begin, end, pad = (specials.index(token) for token in ("<s>", "</s>", "<pad>"))
    ids = {"cls_token_id": begin, "sep_token_id": end, "eod_token_id": end}
    tiny = {name: ids.get(name) for name in full if name.endswith("_token_id")}
    return tiny | {"bos_token_id": begin, "eos_token_id": end, "pad_token_id": pad}


def _is_model(value: Any) -> bool:
    """Whether a field of a configuration is the configuration of a model."""
    return isinstance(value, dict) and "model_type" in value


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def tokenizer(encoder: bool) -> Any:
    """A byte-level BPE tokenizer; an encoder's puts <s> before a text, </s> behind it."""
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    specials = _ENCODER_SPECIALS if encoder else _CAUSAL_SPECIALS
    bare = _bpe(specials)
    names = {"unk_token": "<unk>", "pad_token": "<pad>"}
    if encoder:
        names |= {"cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}
        begin, end = specials.index("<s>"), specials.index("</s>")
        bare.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>",
            pair="<s> $A </s> $B </s>",
            special_tokens=[("<s>", begin), ("</s>", end)],
        )
    else:
        names |= {"bos_token": "<s>", "eos_token": "</s>"}
    return PreTrainedTokenizerFast(tokenizer_object=bare, model_max_length=POSITIONS, **names)


def _bpe(specials: Iterable[str]) -> Any:
    """Special tokens first, then every byte, then merges learned from a short text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bare.train_from_iterator([_TEXT], trainer)
    return bare
