"""The evaluator `energy`: the energy that a request takes, where the machine counts it.

Knows nothing of passes or of the search.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from evaluators import machine, resources
from evaluators.base import Artifact, Estimate, Evaluator, Json, Measurement, MeasurementError
from evaluators.energy_counters import (
    POWERCAP,
    Counter,
    counters,
    drawn,
    reading,
    unavailable,
)
from evaluators.workloads import open_workload, warm_up, whole
from search_spaces.data import DataSpec
from search_spaces.vocabulary import INPUT, Aspect, EvaluatorSpec, MetricSpec, ParameterSpec, Value

_PROCESSES_DIFFER = 0.05
"""What the energy of one model in two processes is assumed to differ by (relative)."""

_GENERATING = ("genai", "quantized", "hf", "adapter")


def _count(
    name: str, default: int, low: int, text: str, formats: tuple[str, ...] = ()
) -> ParameterSpec:
    applies: dict[str, tuple[Value, ...]] = {INPUT: formats} if formats else {}
    return ParameterSpec(name=name, type=int, default=default, help=text, low=low, applies=applies)


class Energy(Evaluator):
    """Reads the machine's energy counters around blocks of requests, sent one after another.

    `energy` is all that the machine's counters say was drawn in a block, divided by the block's
    requests: what the machine needs when idle is part of it, as it has to be on to answer.
    Counted are processor packages and memory by RAPL, and every NVIDIA GPU by NVML, also those
    that the model does not use, so that candidates on different devices compare. Fans, disks and
    the power supply's losses are counted by nobody.

    Before each block the machine idles for the same time; the power drawn then, and the energy of
    a request above it, are kept with the measurement (`idle_watts`, `above_idle`). Counters are
    the whole machine's: other programs count too, so this needs a machine that does nothing else.
    """

    spec: ClassVar = EvaluatorSpec(
        name="energy",
        version=1,
        help="joules of a request, where the machine reports them (RAPL, NVML)",
        parameters=(
            _count("prompt_tokens", 64, 1, "tokens of a request's prompt"),
            _count("new_tokens", 16, 2, "tokens that a request generates", _GENERATING),
            _count("batch", 1, 1, "sequences of a request"),
            _count("processes", 2, 1, "fresh processes to measure in"),
            _count("blocks", 5, 2, "blocks of requests per process"),
            ParameterSpec(
                "seconds", float, 1.0, "the shortest time of a block, and of the idling", 0.1, 60.0
            ),
            _count("warmup", 10, 1, "the most requests before the first block"),
        ),
        metrics=(
            MetricSpec(
                name="energy",
                unit="J",
                lower_is_better=True,
                depends_on=frozenset({Aspect.STRUCTURE, Aspect.RUNTIME}),
                help="energy that the machine draws per request, idle power included",
                unavailable=unavailable,
            ),
        ),
        formats=frozenset({"hf", "quantized", "adapter", "genai", "onnx"}),
        libraries=("onnxruntime", "onnxruntime-genai", "torch", "transformers"),
    )

    def __init__(self, powercap: Path = POWERCAP) -> None:
        """`powercap`: the kernel's tree of energy counters."""
        self._powercap = powercap

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
        """Blocks of requests, each after as long a time without any. A sample is a block's mean."""
        found = counters(self._powercap)
        if not found:
            reason = unavailable(self._powercap) or "no GPU of this machine counts its energy"
            raise MeasurementError(f"energy cannot be measured here: {reason}")
        seconds: Any = options["seconds"]
        workload = open_workload(model, options)
        conditions: Json = {
            "load_before": machine.load(),
            **warm_up(workload, whole(options, "warmup")),
        }
        idle, blocks = [], []
        for _ in range(whole(options, "blocks")):
            idle.append(_metered(found, lambda: _sleep(seconds)))
            blocks.append(_metered(found, lambda: _requests(workload.request, seconds)))
        conditions |= workload.conditions() | machine.conditions()
        conditions |= {
            "counters": [counter.name for counter in found],
            "idle_watts": _watts(idle),
            "above_idle": _above(blocks, idle),
            "blocks": blocks,
            "idle": idle,
            "load_after": machine.load(),
        }
        samples = [[block["joules"] / block["requests"]] for block in blocks]
        return Measurement({"energy": samples}, conditions=conditions)

    def summarise(
        self,
        measurements: Sequence[Measurement],
        options: Mapping[str, Value],
        metric: str,
        statistic: str | None,
    ) -> Estimate:
        """The mean over processes of their blocks, with an interval from how they differ."""
        values = [[block[0] for block in m.samples[metric]] for m in measurements]
        found = resources.between_processes(values, _PROCESSES_DIFFER)
        count = sum(map(len, values))
        return Estimate(metric, None, found.value, found.low, found.high, "J", count)


def _metered(found: list[Counter], run: Callable[[], int]) -> Json:
    """Run something that says how many requests it sent: joules (by counter too), seconds."""
    before, started = reading(found), time.perf_counter()
    requests = run()
    after, seconds = reading(found), time.perf_counter() - started
    each = drawn(found, before, after)
    return {
        "joules": sum(each.values()),
        "by_counter": each,
        "seconds": seconds,
        "requests": requests,
    }


def _sleep(seconds: float) -> int:
    time.sleep(seconds)
    return 0


def _requests(request: Callable[[], object], seconds: float) -> int:
    count, started = 0, time.perf_counter()
    while count == 0 or time.perf_counter() - started < seconds:
        request()
        count += 1
    return count


def _watts(blocks: Sequence[Json]) -> float:
    joules: float = sum(block["joules"] for block in blocks)
    seconds: float = sum(block["seconds"] for block in blocks)
    return joules / seconds


def _above(blocks: Sequence[Json], idle: Sequence[Json]) -> float:
    """Joules of a request beyond what the machine draws in the same time when idle."""
    seconds: float = sum(block["seconds"] for block in blocks)
    requests: int = sum(block["requests"] for block in blocks)
    return (_watts(blocks) - _watts(idle)) * seconds / requests
