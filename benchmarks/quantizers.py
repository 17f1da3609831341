"""What the weight-only quantisers cost a language model in held-out loss, beside fp32.

    python benchmarks/quantizers.py MODEL_FOLDER [--cases rtn,awq] [--bits 4,3] [--json FILE]

Calibrates on the training split of the tone data. Judges on its dev and test rows, and on English
prose that Python brings (pydoc_data.topics): the mean loss of a token, and the Kullback-Leibler
divergence of the next-token distribution from fp32's. Everything is done in memory, with the very
functions of the passes, so that 3 bits can be tried too.

MODEL_FOLDER may hold weights that come from a quantised file, whose groups could suit one method
by chance. So each case is run on a second model too, whose channels are permuted (`permuted`): it
computes the same function, with every group made of other weights.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from evaluators.base import Artifact
from evaluators.machine import cpu_model
from evaluators.text import encode_texts, render
from search_spaces import find_space
from search_spaces.data import DataSpec, read_split
from search_spaces.vocabulary import Value
from tuner.models.checkpoint import load_causal, load_tokenizer
from tuner.models.quantized import Matrix, Scheme
from tuner.passes import StageContext, all_passes, autoround, awq, gptq, hqq, rtn
from tuner.quantization.calibration import calibration_sequences
from tuner.quantization.decoder import Block, blocks

TEMPLATE = "Phrase: {phrase}\nTone: {tone}"
TONE_ROWS, PROSE_TOKENS, PROSE_LENGTH, BATCH = 80, 2048, 256, 16
LIBRARIES = ("torch", "transformers", "neural-compressor-pt", "auto-round")

Quantise = Callable[[Any, list[Block], Scheme, Any, Mapping[str, Value]], Mapping[str, Matrix]]

METHODS: dict[str, Quantise] = {
    "rtn": lambda _, found, scheme, __, p: rtn.quantise(found, scheme, p),
    "hqq": lambda _, found, scheme, __, p: hqq.quantise(found, scheme, p),
    "gptq": lambda model, found, scheme, ids, p: gptq.quantise(model, found, scheme, ids, p),
    "autoround": lambda model, found, scheme, ids, p: autoround.quantise(
        model, found, scheme, ids, load_tokenizer(Path(model.name_or_path)), p
    ),
    "awq": lambda model, found, scheme, ids, p: awq.quantise(
        model, found, scheme, ids, torch.float32, p
    ),
}

CASES: dict[str, tuple[str, dict[str, Value]]] = {
    "rtn": ("rtn", {}),
    "rtn clip": ("rtn", {"clip_search": True}),
    "hqq": ("hqq", {}),
    "gptq": ("gptq", {}),
    "gptq no act_order": ("gptq", {"act_order": False}),
    "gptq mse": ("gptq", {"mse": True}),
    "awq": ("awq", {}),
    "awq no clip": ("awq", {"clip": False}),
    "autoround 20": ("autoround", {"iterations": 20}),
}
"""Name -> the pass, and what it is told besides its defaults."""


@dataclass(frozen=True)
class Score:
    """Loss and divergence of a token on the tone rows and on prose, and the quantiser's seconds."""

    model: str
    case: str
    scheme: str
    tone_loss: float
    tone_divergence: float
    prose_loss: float
    prose_divergence: float
    seconds: float


def main() -> None:
    """Run the cases, print a table row as soon as there is one."""
    options = arguments()
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    data = tone_data()
    folder = Path(options.model)
    texts = {
        "tone": tone_batches(folder, data),
        "prose": prose_batches(folder),
    }
    print(f"{cpu_model()}, {options.threads} threads, Python {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in LIBRARIES))
    print("| model | bits, group, zero | case | tone loss (KL) | prose loss (KL) | s |")
    print("|---|---|---|---|---|---|", flush=True)
    scores = []
    for score in measured(folder, data, texts, options):
        scores.append(score)
        print(row(score), flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps([asdict(s) for s in scores], indent=1) + "\n")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", help="folder of a checkpoint of the Llama family")
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--bits", default="4,3")
    parser.add_argument("--groups", default="32,64")
    parser.add_argument("--models", default="as it is,permuted")
    parser.add_argument("--symmetric", action="store_true", help="round around zero")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", help="write the scores here too")
    return parser.parse_args()


def measured(
    folder: Path, data: DataSpec, texts: Mapping[str, Any], options: argparse.Namespace
) -> Iterator[Score]:
    """The score of fp32, then of every case at every scheme on both models."""
    reference: dict[str, list[torch.Tensor]] = {}
    for kind in options.models.split(","):
        base = variant(folder, kind)
        if not reference:
            reference |= {name: log_probabilities(base, b) for name, b in texts.items()}
        yield Score(kind, "fp32", "", *losses(base, texts, reference), 0.0)  # permuted: the same
        for bits in map(int, options.bits.split(",")):
            for group in map(int, options.groups.split(",")):
                scheme = Scheme(bits, group, options.symmetric)
                for name in options.cases.split(","):
                    model = copy.deepcopy(base)
                    seconds = quantised(model, folder, data, scheme, name)
                    said = f"{bits}, {group}, {'no' if options.symmetric else 'yes'}"
                    yield Score(kind, name, said, *losses(model, texts, reference), seconds)


def quantised(model: Any, folder: Path, data: DataSpec, scheme: Scheme, case: str) -> float:
    """Quantise in place: weights become the values that codes stand for. The seconds it took."""
    method, changes = CASES[case]
    parameters = {p.name: p.default for p in all_passes()[method].spec.parameters} | changes
    context = StageContext(Artifact("hf", folder), parameters, folder, "", data)
    found = blocks(model)
    started = time.perf_counter()
    with torch.no_grad():
        sequences = calibration_sequences(context) if method not in ("rtn", "hqq") else None
        matrices = METHODS[method](model, found, scheme, sequences, parameters)
    seconds = time.perf_counter() - started
    for name, matrix in matrices.items():
        model.get_submodule(name).weight.data = matrix.dequantised()
    return seconds


def variant(folder: Path, kind: str) -> Any:
    """The model of the folder, "as it is" or "permuted"."""
    model = load_causal(Artifact("hf", folder), torch.float32)
    if kind == "permuted":
        with torch.no_grad():
            permute(model, torch.Generator().manual_seed(0))
    return model


def permute(model: Any, source: torch.Generator) -> None:
    """Reorder hidden channels, those of each MLP and of each head's values: the same function."""
    config = model.config
    hidden = torch.randperm(config.hidden_size, generator=source)
    model.model.embed_tokens.weight.data = model.model.embed_tokens.weight.data[:, hidden]
    if not config.tie_word_embeddings:
        model.lm_head.weight.data = model.lm_head.weight.data[:, hidden]
    model.model.norm.weight.data = model.model.norm.weight.data[hidden]
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    for layer in model.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        for norm in (layer.input_layernorm, layer.post_attention_layernorm):
            norm.weight.data = norm.weight.data[hidden]
        for linear in (attention.q_proj, attention.k_proj, attention.v_proj):
            linear.weight.data = linear.weight.data[:, hidden]
        width = attention.v_proj.out_features // groups
        order = torch.randperm(width, generator=source)
        values = torch.cat([order + width * i for i in range(groups)])
        read = torch.cat([order + width * i for i in range(heads)])
        attention.v_proj.weight.data = attention.v_proj.weight.data[values]
        attention.o_proj.weight.data = attention.o_proj.weight.data[:, read][hidden]
        inner = torch.randperm(config.intermediate_size, generator=source)
        for linear in (mlp.gate_proj, mlp.up_proj):
            linear.weight.data = linear.weight.data[:, hidden][inner]
        mlp.down_proj.weight.data = mlp.down_proj.weight.data[:, inner][hidden]


def tone_data() -> DataSpec:
    """The tone rows that come with the program, with the template of the quick start."""
    tones = Path(str(find_space("quickstart"))).parent / "tones"
    files = tuple((role, tones / f"{role}.jsonl") for role in ("train", "dev", "test"))
    return DataSpec(files, TEMPLATE, "tone")


def tone_batches(folder: Path, data: DataSpec) -> list[list[list[int]]]:
    """TONE_ROWS of the dev and test rows, evenly taken, in batches of like length."""
    rows = [row for split in ("dev", "test") for row in read_split(data, split)]
    rows = rows[:: max(1, len(rows) // TONE_ROWS)]
    texts = encode_texts(load_tokenizer(folder), [render(data.template, row) for row in rows])
    ordered = sorted(texts, key=len)
    return [ordered[i : i + BATCH] for i in range(0, len(ordered), BATCH)]


def prose_batches(folder: Path) -> list[list[list[int]]]:
    """What Python's documentation says of its topics, in windows of PROSE_LENGTH tokens."""
    from pydoc_data.topics import topics

    text = " ".join(" ".join(topics[name].split()) for name in sorted(topics))[: 8 * PROSE_TOKENS]
    (ids,) = encode_texts(load_tokenizer(folder), [text])
    windows = [ids[i : i + PROSE_LENGTH] for i in range(0, PROSE_TOKENS, PROSE_LENGTH)]
    return [windows[i : i + 4] for i in range(0, len(windows), 4)]


def log_probabilities(model: Any, batches: Sequence[Sequence[Sequence[int]]]) -> list[torch.Tensor]:
    """Of each batch, every position's distribution of the next token, float16 [tokens, words]."""
    made = []
    for batch in batches:
        ids, real = padded(batch)
        with torch.no_grad():
            logits = model(ids, attention_mask=real, use_cache=False).logits[:, :-1]
        made.append(logits[real[:, 1:].bool()].float().log_softmax(-1).half())
    return made


def padded(batch: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """(token ids, 1 where there is one), both int64 [rows, longest], zeros behind each text."""
    ids = torch.zeros(len(batch), max(map(len, batch)), dtype=torch.int64)
    real = torch.zeros_like(ids)
    for row_ids, row_real, text in zip(ids, real, batch, strict=True):
        row_ids[: len(text)] = torch.tensor(text)
        row_real[: len(text)] = 1
    return ids, real


def losses(
    model: Any, texts: Mapping[str, Any], reference: Mapping[str, Sequence[torch.Tensor]]
) -> tuple[float, float, float, float]:
    """Mean loss of a token and divergence from the reference, on the tone rows and on prose."""
    found = []
    for name, batches in texts.items():
        loss = divergence = tokens = 0.0
        for batch, told in zip(batches, reference[name], strict=True):
            (ours,) = log_probabilities(model, [batch])
            ids, real = padded(batch)
            right = ids[:, 1:][real[:, 1:].bool()]
            loss -= float(ours.gather(1, right[:, None]).float().sum())
            exact = told.float()
            divergence += float((exact.exp() * (exact - ours.float())).sum())
            tokens += len(right)
        found += [loss / tokens, divergence / tokens]
    tone_loss, tone_divergence, prose_loss, prose_divergence = found
    return tone_loss, tone_divergence, prose_loss, prose_divergence


def row(score: Score) -> str:
    """A line of the table."""
    return (
        f"| {score.model} | {score.scheme} | {score.case} "
        f"| {score.tone_loss:.4f} ({score.tone_divergence:.4f}) "
        f"| {score.prose_loss:.4f} ({score.prose_divergence:.4f}) | {score.seconds:.0f} |"
    )


if __name__ == "__main__":
    main()
