"""What evaluators share whose numbers come from timing requests in sessions.

Knows nothing of what a request is.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from evaluators.base import Artifact, Estimate, Evaluator, Measurement
from evaluators.sessions import SessionPlan, hold
from evaluators.statistics import STATISTICS
from evaluators.timing import Timeline, timing
from evaluators.workloads import Workload, whole
from search_spaces.data import DataSpec
from search_spaces.vocabulary import ParameterSpec, Value

SAMPLE_OPTIONS = ("processes", "blocks", "requests")
"""The options whose product is the fewest samples of a candidate that is measured in full."""


def session_parameters(*, requests: int) -> tuple[ParameterSpec, ...]:
    """The options that say how much is measured. `requests`: the default for a block."""

    def count(name: str, default: int, low: int, text: str) -> ParameterSpec:
        return ParameterSpec(name=name, type=int, default=default, help=text, low=low)

    return (
        count(
            "processes", 3, 1, "fresh processes (sessions) for what is near a limit or the front"
        ),
        count("blocks", 4, 2, "blocks of requests per process, each next to one of the baseline"),
        count("requests", requests, 1, "the fewest requests of a block"),
        ParameterSpec(
            "seconds", float, 0.1, "the shortest time that a block lasts, in seconds", 0.0, 3600.0
        ),
        count("warmup", 10, 1, "the most requests before the first block"),
    )


class TimedEvaluator(Evaluator):
    """Sends requests to a model beside the baseline; see `sessions` and `timing`.

    A subclass declares `session_parameters` among its parameters, and opens a workload.
    """

    @abstractmethod
    def open(self, model: Artifact, options: Mapping[str, Value]) -> Workload:
        """Load the model with a request whose samples are this evaluator's metrics.

        Runs in a process of its own. MeasurementError where it cannot be.
        """

    def processes(self, options: Mapping[str, Value]) -> int:
        """As many as the options say."""
        return whole(options, "processes")

    def measure(
        self,
        model: Artifact,
        options: Mapping[str, Value],
        data: DataSpec | None,
        split: str,
        reference: Artifact | None = None,
    ) -> Measurement:
        """One session. `reference`: the anchor that blocks alternate with."""
        seconds = options["seconds"]
        assert isinstance(seconds, int | float), "as it is declared"
        blocks, requests, warmup = (whole(options, n) for n in ("blocks", "requests", "warmup"))
        plan = SessionPlan(blocks, requests, float(seconds), warmup)
        return hold(lambda m: self.open(m, options), model, reference, plan)

    def summarise(
        self,
        measurements: Sequence[Measurement],
        options: Mapping[str, Value],
        metric: str,
        statistic: str | None,
    ) -> Estimate:
        """The statistic (default p50) out of these sessions alone; see `estimate`."""
        timeline = Timeline()
        for number, measurement in enumerate(measurements):
            timeline.add("candidate", str(number), measurement)
        return self.estimate(measurements, metric, statistic, timeline)

    def estimate(
        self,
        measurements: Sequence[Measurement],
        metric: str,
        statistic: str | None,
        timeline: Timeline,
    ) -> Estimate:
        """The statistic (default p50) of a candidate, with what the study knows of its anchor."""
        name = statistic or STATISTICS[0]
        found = timing(measurements, metric, name, timeline)
        unit = next(m.unit for m in self.spec.metrics if m.name == metric)
        value = found.value
        return Estimate(
            metric, name, value.value, value.low, value.high, unit, found.samples, found.ratio
        )
