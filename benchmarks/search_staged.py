"""A staged pipeline in simulated time: fine-tune, merge, quantise, choose how to run it.

The shape is that of a real study: training takes ten to forty minutes, quantisation one to five,
session options nothing; some combinations fail; accuracy and latency are noisy; few candidates keep
both limits. The numbers are made up, so the truth is known. About twenty million candidates for
every twenty learning rates.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from search_problem import Metrics, Problem, Steps
from search_volume import hypervolume

from search_spaces import Vocabulary
from search_spaces.vocabulary import Aspect, EvaluatorSpec, MetricSpec, ParameterSpec, PassSpec

Values = Mapping[str, Mapping[str, Any]]

_ADAPTED = frozenset({"hf"})
_BUILT = frozenset({"built"})
_MODEL = frozenset({Aspect.WEIGHTS, Aspect.STRUCTURE})
_SPEED = frozenset({Aspect.STRUCTURE, Aspect.RUNTIME})

PASSES = (
    PassSpec(
        "drop_layers",
        1,
        "leave out layers",
        (ParameterSpec("count", int, 2, "how many", low=1, high=12),),
        _ADAPTED,
        None,
        _MODEL,
    ),
    PassSpec(
        "fine_tune",
        1,
        "train an adapter",
        (
            ParameterSpec("r", int, 8, "rank", low=1, high=256),
            ParameterSpec("learning_rate", float, 2e-4, "step size", low=1e-7, high=1.0),
            ParameterSpec("steps", int, 200, "how long", low=1, high=100_000),
            ParameterSpec(
                "targets", str, "attention", "where", choices=("attention", "mlp", "all")
            ),
            ParameterSpec("dropout", float, 0.0, "dropout", low=0.0, high=0.9),
        ),
        _ADAPTED,
        "adapter",
        frozenset({Aspect.WEIGHTS}),
        budget="steps",
    ),
    PassSpec(
        "merge",
        1,
        "adapter into model",
        (),
        frozenset({"adapter"}),
        "hf",
        frozenset({Aspect.WEIGHTS}),
        passes_through=_ADAPTED,
        neutral={},
    ),
    PassSpec(
        "quantise",
        1,
        "fewer bits",
        (
            ParameterSpec("bits", int, 16, "bits", choices=(16, 8, 4)),
            ParameterSpec("algorithm", str, "rtn", "how", choices=("rtn", "gptq", "awq")),
            ParameterSpec("symmetric", bool, True, "without an offset"),
            ParameterSpec("block", int, 32, "weights that share a scale", low=8, high=1024),
            ParameterSpec("keep", str, "none", "kept in 8 bits", choices=("none", "head", "both")),
        ),
        _ADAPTED,
        "built",
        _MODEL,
        neutral={"bits": 16},
    ),
    PassSpec(
        "session",
        1,
        "how it runs",
        (
            ParameterSpec("provider", str, "cpu", "what runs it", choices=("cpu", "vino", "xnn")),
            ParameterSpec("threads", int, 1, "threads", low=1, high=64),
            ParameterSpec(
                "graph", str, "all", "optimisation", choices=("basic", "extended", "all")
            ),
            ParameterSpec("binding", bool, False, "buffers stay in place"),
            ParameterSpec("spin", bool, True, "threads wait busily"),
        ),
        _BUILT,
        None,
        frozenset({Aspect.RUNTIME}),
        neutral={},
    ),
)
EVALUATORS = (
    EvaluatorSpec(
        "latency",
        1,
        "time per request",
        (),
        (MetricSpec("latency", "s", True, _SPEED, "seconds"),),
        _BUILT,
    ),
    EvaluatorSpec(
        "size",
        1,
        "bytes on disk",
        (),
        (MetricSpec("size", "B", True, frozenset({Aspect.STRUCTURE}), "bytes"),),
        _BUILT,
    ),
    EvaluatorSpec(
        "accuracy",
        1,
        "share of right answers",
        (),
        (MetricSpec("accuracy", "fraction", False, _MODEL, "a share"),),
        _BUILT,
    ),
)

TEXT = """
model: .
task: text-generation
pipeline:
  - drop_layers:
      count: {choices: [2, 4, 6]}
    optional: true
  - fine_tune:
      r: {choices: [4, 8, 16, 32, 64]}
      learning_rate: {range: [1.0e-5, 1.0e-2], log: true}
      steps: {choices: [100, 200, 400]}
      targets: {choices: [attention, mlp, all]}
      dropout: {choices: [0.0, 0.1]}
    optional: true
  - merge
  - quantise:
      bits: {choices: [16, 8, 4]}
      algorithm: {choices: [rtn, gptq, awq], when: "bits != 16"}
      symmetric: {choices: [true, false], when: "bits != 16"}
      block: {choices: [16, 32, 64, 128], when: "bits == 4"}
      keep: {choices: [none, head, both], when: "bits == 4"}
  - session:
      provider: {choices: [cpu, vino, xnn]}
      threads: {choices: [1, 2, 4, 8]}
      graph: {choices: [basic, extended, all]}
      binding: {choices: [true, false]}
      spin: {choices: [true, false]}
metrics: {latency: {}, size: {}, accuracy: {}}
objectives: [maximize accuracy, minimize latency]
constraints: ["latency<45ms", "size<175MB"]
"""

_UNTUNED = 0.55
_LIMIT = 0.045  # s, as in the text


class Staged(Problem):
    """The pipeline above, with forty hours to search it."""

    name: str = "staged"
    title: str = "Staged pipeline"
    text: str = TEXT
    vocabulary: Vocabulary = Vocabulary(
        {p.name: p for p in PASSES}, {e.name: e for e in EVALUATORS}
    )
    units: Mapping[str, float] = {"latency": 1e3, "size": 1e-6}
    reference = (-0.5, _LIMIT)

    def __init__(self, hours: float = 40.0) -> None:
        self.budget = hours * 3600
        self.best = _best(self.reference)

    def stage(self, steps: Steps, share: float = 1.0) -> tuple[float, bool]:
        """Training pays for its steps; what fails has taken a part of its time."""
        values = _values(steps)
        step, own = steps[-1].id, steps[-1].parameters
        if fails(values, step):
            return {"fine_tune": 90.0, "quantise": 40.0}.get(step, 3.0), True
        if step == "fine_tune":
            return share * _training_seconds(own, values), False
        if step == "quantise":
            by_algorithm = {"rtn": 60.0, "gptq": 300.0, "awq": 220.0}
            return 40.0 if own["bits"] == 16 else by_algorithm[str(own["algorithm"])], False
        return {"drop_layers": 10.0, "merge": 30.0, "session": 2.0}[step], False

    def truth(self, steps: Steps, share: float = 1.0) -> Metrics:
        """Latency, size and accuracy."""
        values = _values(steps)
        dropped = values.get("drop_layers", {}).get("count", 0)
        return {
            "latency": _latency(dropped, values["quantise"], values["session"]),
            "size": _size(dropped, values["quantise"]),
            "accuracy": _accuracy(dropped, values.get("fine_tune"), values["quantise"], share),
        }

    def error(self, metric: str, value: float) -> float:
        """Of latency 2 %, of accuracy 0.6 points."""
        return {"latency": 0.02 * value, "accuracy": 0.006}.get(metric, 0.0)

    def measuring(self, evaluator: str) -> float:
        """Accuracy takes a minute and a half."""
        return {"latency": 30.0, "size": 0.5, "accuracy": 90.0}[evaluator]


def _values(steps: Steps) -> Values:
    return {step.id: step.parameters for step in steps}


def fails(values: Values, step: str) -> bool:
    """Whether a step cannot do what it is asked to: combinations that nobody implemented."""
    own = values[step]
    if step == "fine_tune":  # out of memory
        return bool(own["r"] == 64 and own["targets"] == "all" and "drop_layers" not in values)
    if step == "quantise":
        fine_gptq = own["bits"] == 4 and own["algorithm"] == "gptq" and own["block"] == 16
        return bool(fine_gptq or (own["bits"] == 8 and own["algorithm"] == "awq"))
    if step == "session":
        bits, q = values["quantise"]["bits"], values["quantise"]
        if own["provider"] == "vino":
            return bool(bits == 4 and not q["symmetric"])
        if own["provider"] == "xnn":
            return bool(bits == 16 or (bits == 4 and (q["block"] < 32 or q["keep"] == "both")))
    return False


def _training_seconds(own: Mapping[str, Any], values: Values) -> float:
    where = {"attention": 0.85, "mlp": 1.0, "all": 1.25}[own["targets"]]
    dropped = values.get("drop_layers", {}).get("count", 0)
    per_step = 4.5 * where * (1 + own["r"] / 256) * (1 - 0.03 * dropped)
    return 200.0 + float(own["steps"] * per_step)


def _latency(dropped: int, quantised: Mapping[str, Any], session: Mapping[str, Any]) -> float:
    """Seconds."""
    bits = quantised["bits"]
    factor = {16: 1.0, 8: 0.62, 4: 0.43}[bits] * (1 - 0.033 * dropped)
    if bits == 4:
        factor *= {16: 1.14, 32: 1.05, 64: 1.0, 128: 0.98}[quantised["block"]]
        factor *= {"none": 1.0, "head": 1.04, "both": 1.1}[quantised["keep"]]
    if bits != 16 and not quantised["symmetric"]:
        factor *= 1.05
    provider = session["provider"]
    factor *= {"cpu": 1.0, "vino": 0.8 if bits == 8 else 0.92, "xnn": 0.88}[provider]
    threads = {1: 1.7, 2: 1.2, 4: 1.0, 8: 1.06 if provider == "cpu" else 0.97}
    factor *= threads[session["threads"]]
    factor *= {"basic": 1.12, "extended": 1.03, "all": 1.0}[session["graph"]]
    factor *= 0.97 if session["binding"] else 1.0
    factor *= 1.0 if session["spin"] else 1.08
    return 0.1 * factor


def _size(dropped: int, quantised: Mapping[str, Any]) -> float:
    """Bytes: embeddings that stay, and layers in so many bits."""
    bits = float(quantised["bits"])
    if bits == 4:
        bits += (16 if quantised["symmetric"] else 20) / quantised["block"]
        bits += {"none": 0.0, "head": 0.3, "both": 0.9}[quantised["keep"]]
    return 40e6 + 500e6 * bits / 16 * (1 - 0.04 * dropped)


def _accuracy(
    dropped: int, tuned: Mapping[str, Any] | None, quantised: Mapping[str, Any], share: float
) -> float:
    lost: float = 0.012 * dropped**1.3
    value = _UNTUNED - lost - _quantisation_loss(quantised)
    return value if tuned is None else value + 0.5 * lost + _gain(tuned, share)


def _quantisation_loss(own: Mapping[str, Any]) -> float:
    if own["bits"] == 16:
        return 0.0
    if own["bits"] == 8:
        return 0.006 if own["algorithm"] == "rtn" else 0.003
    loss = {"rtn": 0.07, "gptq": 0.035, "awq": 0.028}[own["algorithm"]]
    loss *= {16: 0.65, 32: 0.8, 64: 1.0, 128: 1.35}[own["block"]]
    loss *= 1.2 if own["symmetric"] else 1.0
    return float(loss * {"none": 1.0, "head": 0.75, "both": 0.55}[own["keep"]])


def _gain(own: Mapping[str, Any], share: float) -> float:
    """What training adds: best at a learning rate that depends on rank, steps and where."""
    steps = float(own["steps"]) * share
    best = -3.2 - 0.25 * math.log2(own["r"] / 16) / 2 - 0.3 * math.log2(own["steps"] / 200)
    best += {"attention": 0.25, "mlp": 0.0, "all": -0.15}[own["targets"]]
    off = math.log10(own["learning_rate"]) - best
    fit = math.exp(-((off / 0.55) ** 2)) - (0.5 * min(off, 1.5) if off > 0.8 else 0.0)
    reached = 1 - math.exp(-steps / 140)
    room: float = 0.24 * (1 - 0.5 * math.exp(-own["r"] / 12))
    room *= {"attention": 0.86, "mlp": 0.93, "all": 1.0}[own["targets"]]
    room *= 1.015 if own["dropout"] and own["steps"] > 200 else 1.0
    return room * reached * fit


@cache
def _best(reference: tuple[float, ...]) -> float:
    """The hypervolume of the true feasible front. Steps act apart: the best of each is enough."""
    points = []
    for dropped in (0, 2, 4, 6):
        gain = max(_gains(dropped))
        lost = 0.012 * dropped**1.3
        for quantised in _quantisations():
            size = _size(dropped, quantised)
            if size < 175e6:
                value = _UNTUNED - 0.5 * lost - _quantisation_loss(quantised) + gain
                points += [(-value, x) for x in _latencies(dropped, quantised)]
    return hypervolume([p for p in points if p[1] < _LIMIT], reference)


def _gains(dropped: int) -> Iterator[float]:
    """The gain of every training that runs, on a fine grid of learning rates."""
    rates = [10 ** (-5 + 3 * n / 300) for n in range(301)]
    ways = itertools.product(
        (4, 8, 16, 32, 64), (100, 200, 400), ("attention", "mlp", "all"), (0.0, 0.1), rates
    )
    for r, steps, targets, dropout, rate in ways:
        if not (r == 64 and targets == "all" and not dropped):
            own = {"r": r, "steps": steps, "targets": targets, "dropout": dropout}
            yield _gain({**own, "learning_rate": rate}, 1.0)


def _quantisations() -> Iterator[dict[str, Any]]:
    for bits, algorithm, symmetric, block, keep in itertools.product(
        (8, 4), ("rtn", "gptq", "awq"), (True, False), (16, 32, 64, 128), ("none", "head", "both")
    ):
        own = {"bits": bits, "algorithm": algorithm, "symmetric": symmetric}
        own |= {"block": block, "keep": keep}
        if not fails({"quantise": own}, "quantise"):
            yield own


def _latencies(dropped: int, quantised: Mapping[str, Any]) -> Iterator[float]:
    for provider, threads in itertools.product(("cpu", "vino", "xnn"), (4, 8)):
        own = {"provider": provider, "threads": threads, "graph": "all"}
        own |= {"binding": True, "spin": True}
        if not fails({"quantise": quantised, "session": own}, "session"):
            yield _latency(dropped, quantised, own)
