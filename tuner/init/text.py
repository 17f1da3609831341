"""The text of a space for a model: short, commented, every value there to be changed.

Knows which passes fit which kind of model and device. Reads and writes no files.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluators.machine import cores
from evaluators.runtimes.providers import unavailable
from search_spaces.data_locations import is_url, shown
from search_spaces.kinds import ENCODER
from search_spaces.vocabulary import PassSpec, Value
from tuner.genai.errors import Unbuildable
from tuner.genai.legality import refuse_model
from tuner.init.dataset import Dataset
from tuner.init.model import Model
from tuner.passes import pass_specs
from tuner.report.step_example import yaml_path, yaml_value

CLASSIFY = "text-classification"

_BLOCKS = (32, 64, 128)
_COMMENT = 46


@dataclass(frozen=True, slots=True)
class Wish:
    """What a space is wanted for. `output`: the file that it will be; paths are relative to it."""

    model: Model
    task: str
    device: str
    data: Dataset | None
    output: Path


def space_text(wish: Wish) -> str:
    """The whole space."""
    parts = (_head(wish), _data(wish), _pipeline(wish), _goals(wish))
    return "\n\n".join("\n".join(part) for part in (list(p) for p in parts) if part) + "\n"


def _head(wish: Wish) -> Iterator[str]:
    name = wish.output.name
    yield "# A space to begin with, written by tune init; every value can be changed:"
    yield f"#   tune check {name}      says what is wrong with it"
    yield f"#   tune plan {name}       says how large it is"
    yield "#   tune passes NAME       says what a pass can be told"
    reference = wish.model.reference
    text = reference.text
    yield f"model: {yaml_path(text if reference.path is None else _path(text, wish))}"
    yield f"task: {wish.task}"


def _data(wish: Wish) -> Iterator[str]:
    data = wish.data
    if data is None:
        return
    yield "data:"
    yield _noted(
        f"  files: {yaml_path(_path(shown(data.path), wish))}", "60 % train, 20 % dev, 20 % test"
    )
    reads = "read up to the label" if data.label else "a row as text"
    yield _noted(f"  template: {json.dumps(data.template, ensure_ascii=False)}", reads)
    if data.label is not None:
        yield _noted(f"  label: {yaml_path(data.label)}", f"{len(data.classes)} labels")


def _pipeline(wish: Wish) -> Iterator[str]:
    yield "pipeline:"
    yield from _encoder(wish) if wish.model.kind == ENCODER else _causal(wish)


def _goals(wish: Wish) -> Iterator[str]:
    classify = wish.task == CLASSIFY
    tokens = 64 if wish.data is None else wish.data.tokens
    new = "" if wish.model.kind == ENCODER else f", new_tokens: {4 if classify else 32}"
    yield "metrics:"
    yield _noted(f"  latency: {{prompt_tokens: {tokens}{new}}}", "the request that is timed")
    if classify:
        yield "  accuracy: {}"
    yield "  size: {}"
    yield ""
    if classify:
        yield "objectives: [minimize latency, maximize accuracy]"
        rows = 0 if wish.data is None else wish.data.dev
        limit = f'constraints: ["accuracy>=baseline-{slack(rows)}%"]'
        yield _noted(limit, f"what {rows} dev rows can tell")
    else:
        yield "# Nothing here measures how well the model writes: read what the answer writes."
        yield "objectives: [minimize tpot, minimize size]"
        yield _noted('constraints: ["latency<=baseline"]', 'and maybe "size<500MB"')
    yield _noted("search: {strategy: auto, trials: 20, seed: 0}", "max_time: 30m bounds the time")


def slack(rows: int) -> int:
    """Points below the baseline that so many rows can tell from none, of some sensible numbers.

    The 95 % interval of a paired difference in which one row of ten comes out otherwise; a
    narrower limit would leave most candidates undecided.
    """
    points = 196 * math.sqrt(0.1 / max(1, rows))
    return next((sensible for sensible in (2, 5, 10, 20) if points <= sensible), 30)


# Language models


def _causal(wish: Wish) -> Iterator[str]:
    if wish.data is not None:
        yield from _lora(wish, wish.data)
    yield "  - genai_builder:"
    if wish.device == "gpu":
        yield "      execution_provider: cuda"
    precisions = "[fp16, int4]" if wish.device == "gpu" else "[fp32, int8, int4]"
    yield f"      precision: {{choices: {precisions}}}"
    blocks = fitting_blocks(wish.model)
    when = ", when: \"precision == 'int4'\""
    yield f"      block_size: {{choices: {yaml_value(blocks)}{when}}}"
    algorithms = fitting_algorithms(wish.model, blocks)
    yield f"      algorithm: {{choices: {yaml_value(algorithms)}{when}}}"
    if wish.device == "cpu":
        yield "  - session:"
        yield f"      intra_op_num_threads: {_choice(_threads())}"


def _lora(wish: Wish, data: Dataset) -> Iterator[str]:
    yield "  - lora:"
    yield "      r: {choices: [8, 32]}"
    yield "      learning_rate: {range: [1.0e-4, 2.0e-3], log: true}"
    names = wish.model.attention
    if names is not None:
        yield f"      target_modules: {{choices: [{yaml_value(names)}, all-linear]}}"
    yield f"      max_steps: {_steps(data, 'lora')}"
    if wish.task == CLASSIFY:
        yield _noted("    optional: true", "the search may leave it out")
    else:
        yield "      loss: full"
    yield _noted("  - merge_adapter", "where there is an adapter")


def fitting_blocks(model: Model) -> tuple[int, ...]:
    """Block sizes into which the rows of every matrix divide; the usual ones where unknown."""
    widths = [w for key in ("hidden_size", "intermediate_size") if (w := model.config.get(key))]
    fitting = tuple(b for b in _BLOCKS if all(width % b == 0 for width in widths))
    return (fitting if widths else (32, 128)) or (32,)


def fitting_algorithms(model: Model, blocks: Sequence[int]) -> tuple[str, ...]:
    """Ways to round to 4 bits that the builder can do with this model at all of these sizes."""
    candidates = ("default", "rtn_last", "k_quant_mixed")
    if not model.config:
        return candidates[:2]
    return tuple(a for a in candidates if all(_builds(model, a, block) for block in blocks))


def _builds(model: Model, algorithm: str, block: int) -> bool:
    defaults = {p.name: p.default for p in _spec("genai_builder").parameters}
    wanted: dict[str, Value] = {"precision": "int4", "algorithm": algorithm, "block_size": block}
    try:
        refuse_model(model.config, defaults | wanted)
    except Unbuildable:
        return False
    return True


# Encoders


def _encoder(wish: Wish) -> Iterator[str]:
    layers = wish.model.layers
    if layers is not None and layers > 2:
        kept = sorted({layers // 2, layers - layers // 4})
        yield "  - drop_layers:"
        yield _noted(f"      layers: {_choice(kept)}", f"of {layers}; fewer are faster")
        yield "    optional: true"
    elif layers is None:
        yield _noted("  - drop_layers:", "half of the layers")
        yield "    optional: true"
    yield "  - full_finetune:"
    yield "      learning_rate: {choices: [5.0e-5, 1.0e-4, 3.0e-4]}"
    if wish.data is not None:
        yield f"      max_steps: {_steps(wish.data, 'full_finetune')}"
    yield _noted("    baseline: true", "the baseline needs a classifier")
    yield "  - onnx_export"
    yield from _gpu_precision() if wish.device == "gpu" else _cpu_precisions()
    yield "  - session:"
    if wish.device == "gpu":
        yield "      execution_provider: cuda"
        return
    if unavailable("openvino") is None:
        yield "      execution_provider: {choices: [cpu, openvino]}"
    yield f"      intra_op_num_threads: {_choice(_threads())}"


def _gpu_precision() -> Iterator[str]:
    yield "  - float16:"
    yield "    optional: true"


def _cpu_precisions() -> Iterator[str]:
    yield _noted("  - one_of:", "exactly one of these")
    yield _noted("      - none", "32 bits")
    yield "      - dynamic_int8: {per_channel: {choices: [true, false]}}"
    yield "      - static_int8"
    yield "      - weight_only: {bits: {choices: [4, 8]}}"


# Parts


def _steps(data: Dataset, pass_name: str) -> int:
    """About three rounds through the data, at least 30 steps and at most 300."""
    batch = _spec(pass_name).parameter("batch_size").default
    assert isinstance(batch, int)
    return min(300, max(30, 10 * round(3 * data.train / batch / 10)))


def _threads() -> list[int]:
    """Half of this machine's cores, and all of them."""
    return sorted({max(1, cores() // 2), cores()})


def _spec(name: str) -> PassSpec:
    return pass_specs()[name]


def _choice(values: Sequence[int]) -> str:
    return str(values[0]) if len(values) == 1 else f"{{choices: {yaml_value(values)}}}"


def _noted(line: str, comment: str) -> str:
    return f"{line.ljust(_COMMENT)} # {comment}"


def _path(text: str, wish: Wish) -> str:
    """A path as the space finds it from its own folder; one from the root stays as it is."""
    if text.startswith(("/", "~")) or is_url(text):
        return text
    relative = os.path.relpath(text, wish.output.parent)
    return relative if relative.startswith("..") else f"./{relative}"
