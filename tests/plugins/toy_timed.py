"""A plug-in that times what costs nothing: requests that say themselves how long they took."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Mapping
from typing import ClassVar

from evaluators.base import Artifact, Json
from evaluators.timed import TimedEvaluator, session_parameters
from evaluators.workloads import Workload
from search_spaces.vocabulary import Aspect, EvaluatorSpec, MetricSpec, Value


class _Paces:
    """A request of a toy model, a little longer every other time."""

    def __init__(self, model: Artifact) -> None:
        p = json.loads((model.path / "parameters.json").read_text())
        a, c = p.get("a", 2), p.get("c", 2)
        is_baseline = (a, c) == (2, 2)
        factor = 1.0 if is_baseline else float(os.environ.get("TOY_SLOWER", "1"))
        self._seconds = (0.01 + 0.002 * a + 0.001 * c) * factor
        self._noise: Iterator[float] = itertools.cycle((0.99, 1.01, 1.0))

    def request(self) -> Mapping[str, float]:
        return {"pace": self._seconds * next(self._noise)}

    def conditions(self) -> Json:
        return {"provider": "toy"}


class ToyPace(TimedEvaluator):
    """More `a` and more `c` take longer; $TOY_SLOWER times as long for all but the baseline."""

    spec: ClassVar[EvaluatorSpec] = EvaluatorSpec(
        name="toy_pace",
        version=1,
        help="how long a request says that it took",
        parameters=session_parameters(requests=2),
        metrics=(
            MetricSpec(
                "pace",
                "s",
                True,
                frozenset({Aspect.STRUCTURE, Aspect.RUNTIME}),
                "seconds",
                ("p50", "mean", "p90", "p95", "p99", "min"),
            ),
        ),
        formats=frozenset({"toy"}),
    )

    def open(self, model: Artifact, options: Mapping[str, Value]) -> Workload:
        """Read the model's parameters."""
        return _Paces(model)
