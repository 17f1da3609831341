"""Opens what a chain of passes made in its runtime, and compares it with PyTorch.

Each function is a job for a worker process: a crash or a hang of a runtime ends that process only.
Knows nothing of families, chains or the table.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluators.base import Artifact

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Json = dict[str, Any]

LABELS = ("fear", "joy", "sadness", "surprise")
NEW_TOKENS = 3
EXACT = 0.99  # what is to be nearer than this is not quantised
_NEVER = -1e30  # under it: the runtime does not let the text end before its shortest length
LENGTH = 200  # a cache that slides must have room for a window, however short the text is
PROMPT = "### Text: Who knew?"
# Longer than the sliding window of a tiny model, which is 32 tokens.
LONG_PROMPT = (
    "### Text: We danced barefoot in the kitchen until the kettle boiled, and then the whole "
    "street clapped when the old tram finally started.\n### The tone is:\n"
)
TEXTS = (
    "Who knew?",
    "Nobody came to the reading except the man who sweeps up.",
    "I passed with honours and my mother is baking for forty people.",
    "The lights died, and then the lift began to slip.",
    LONG_PROMPT,
)


class Differs(Exception):
    """The runtime's outputs are not those of PyTorch, or are no numbers."""


def write_model(payload: Json) -> Json:
    """Write the tiny model of a configuration into `folder`."""
    from tuner.models.tiny import write_tiny

    write_tiny(payload["config"], Path(payload["folder"]))
    return {}


def run_in_torch(payload: Json) -> Json:
    """Run `model` in PyTorch; an error where its outputs are not finite."""
    model = Artifact.from_json(payload["model"])
    encoder = payload["kind"] == "encoder"
    outputs = encoder_in_torch(model) if encoder else causal_in_torch(model, prompt_ids(model))
    _require_finite(outputs)
    return {}


def run_built(payload: Json) -> Json:
    """Run `model` in its runtime, and compare it with `reference` in PyTorch.

    Gives the smallest cosine between their outputs, and the `limit` of a model that fails on a
    text beyond its sliding window (null: none found). Differs where a cosine is under `least`.
    """
    model, reference = (Artifact.from_json(payload[name]) for name in ("model", "reference"))
    if payload["kind"] == "encoder":
        outputs = encoder_in_onnx(model.path)
        _require_finite(outputs)
        wanted = encoder_in_torch(reference)
        common = wanted.mean(axis=0)  # what all texts share would hide how they differ
        return {"cosine": _near(outputs - common, wanted - common, payload["least"])}
    near = _compare_causal(model, reference, PROMPT, payload["least"])
    # Rounding adds up over a text, and sends tokens to other experts; a wrong window is far off.
    least = payload["least"] if payload["least"] > EXACT else payload["least"] / 2
    try:
        _compare_causal(model, reference, LONG_PROMPT, least)
    except Exception as error:  # noqa: BLE001 - whatever the runtime raises is what is asked for
        text = " ".join(str(error).split())
        said = f"short texts only; one longer than a sliding window fails: {text}"
        return {"cosine": near, "limit": said[:400]}
    return {"cosine": near, "limit": None}


def _compare_causal(model: Artifact, reference: Artifact, prompt: str, least: float) -> float:
    """The smaller cosine of two: over the prompt's tokens, and after generating some more."""
    import numpy as np

    ids = prompt_ids(reference, prompt)
    prefill, last, made = causal_in_genai(model.path, prompt, ids)
    _require_finite(prefill)
    wanted = causal_in_torch(reference, ids + made[:-1])
    kept = last > _NEVER
    _require_finite(last[kept])
    whole = np.vstack([prefill[:, kept], last[None, kept]])
    return _near(whole, np.vstack([wanted[: len(ids)], wanted[-1:]])[:, kept], least)


def prompt_ids(model: Artifact, prompt: str = PROMPT) -> list[int]:
    """A prompt in the tokens of a checkpoint, or of an adapter's base."""
    from tuner.models.checkpoint import load_tokenizer

    return [int(i) for i in load_tokenizer(_base(model).path)(prompt).input_ids]


def causal_in_genai(
    folder: Path, prompt: str, ids: list[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32], list[int]]:
    """Logits (tokens, vocabulary) of a prompt, those (vocabulary) of the last step, new tokens.

    The last step's logits are what the last new token was chosen by.
    """
    import numpy as np
    import onnxruntime_genai as og

    _register_providers(folder)
    model = og.Model(str(folder))
    own = [int(i) for i in og.Tokenizer(model).encode(prompt)]
    if own != ids:
        raise Differs(f"the runtime's tokenizer makes {own[:8]}... of a text, not {ids[:8]}...")
    parameters = og.GeneratorParams(model)
    parameters.set_search_options(max_length=LENGTH, min_length=LENGTH, do_sample=False)
    generator = og.Generator(model, parameters)
    adapters = _activate_adapter(og, model, generator, folder)
    generator.append_tokens(ids)
    prefill = np.array(generator.get_output("logits"), np.float32)[0]
    for _ in range(NEW_TOKENS):
        generator.generate_next_token()
    last = np.array(generator.get_output("logits"), np.float32)[0, -1]
    made = [int(i) for i in generator.get_sequence(0)[len(ids) :]]
    del generator, adapters
    return prefill, last, made


def _register_providers(folder: Path) -> None:
    from evaluators.runtimes import genai, providers

    for name in genai.provider_options(genai.read_config(folder)):
        known = providers.named_in_genai(name)
        if known is not None:
            providers.register_in_genai(known)


def _activate_adapter(og: Any, model: Any, generator: Any, folder: Path) -> Any:
    """Load the active adapter of a folder that has some; what must outlive the generator."""
    from evaluators.runtimes.adapters import active_adapter

    found = active_adapter(folder)
    if found is None:
        return None
    name, file = found
    adapters = og.Adapters(model)
    adapters.load(str(file), name)
    generator.set_active_adapter(adapters, name)
    return adapters


def causal_in_torch(model: Artifact, ids: list[int]) -> NDArray[np.float32]:
    """Logits (tokens, vocabulary) of these tokens."""
    import torch

    from tuner.models.checkpoint import load_causal

    network = _with_adapter(load_causal(_base(model), torch.float32), model)
    with torch.no_grad():
        found: NDArray[np.float32] = network(input_ids=torch.tensor([ids])).logits[0].numpy()
    return found


def encoder_in_torch(model: Artifact) -> NDArray[np.float32]:
    """Logits (texts, labels) of TEXTS, as one padded batch."""
    import torch

    from tuner.models.checkpoint import load_classifier, load_tokenizer

    base = _base(model)
    network = _with_adapter(load_classifier(base.path, LABELS, torch.float32), model)
    words = load_tokenizer(base.path)(list(TEXTS), padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = network(input_ids=words.input_ids, attention_mask=words.attention_mask).logits
    found: NDArray[np.float32] = logits.numpy()
    return found


def encoder_in_onnx(folder: Path) -> NDArray[np.float32]:
    """Logits (texts, labels) of TEXTS, as one padded batch, on the folder's provider."""
    from evaluators.runtimes.onnx import Encoder

    encoder = Encoder(folder)
    return encoder.logits(encoder.tokenise(TEXTS)[0])


def _base(model: Artifact) -> Artifact:
    return model if model.base is None else model.base


def _with_adapter(network: Any, model: Artifact) -> Any:
    if model.base is None:
        return network.eval()
    from peft import PeftModel

    return PeftModel.from_pretrained(network, model.path).eval()


def _require_finite(outputs: NDArray[np.float32]) -> None:
    import numpy as np

    if not np.isfinite(outputs).all():
        raise Differs("runs, but its outputs are not finite")


def _near(a: NDArray[np.float32], b: NDArray[np.float32], least: float) -> float:
    """The cosine between two arrays of one shape, as vectors; Differs where it is under `least`."""
    import numpy as np

    if a.shape != b.shape:
        raise Differs(f"runs, but its outputs have the shape {a.shape}, PyTorch's {b.shape}")
    x, y = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    found = float(x @ y / max(float(np.linalg.norm(x) * np.linalg.norm(y)), 1e-30))
    print(f"cosine {found:.6f}, expected {least} at least", flush=True)
    if found < least:
        raise Differs(f"runs, but not as PyTorch does (a cosine under {least})")
    return found
