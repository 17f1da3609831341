"""Nights made by hand, as plain as a test needs them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tuner.sweep.records import (
    REFERENCE,
    TONIGHT,
    Anchored,
    Answer,
    EntryResult,
    Measured,
    Night,
    Watched,
)

QUIET = (-0.01, 0.0, 0.01)
"""What the log ratios of three sessions of a calm night differ by."""

STEPS = (
    {"id": "onnx_export", "pass": "onnx_export", "parameters": {}},
    {
        "id": "session",
        "pass": "session",
        "parameters": {"graph_optimization_level": "all", "intra_op_num_threads": 2},
    },
)


def latency(ratio: float = 0.5, noise: Sequence[float] = QUIET, name: str = "latency") -> Measured:
    """A time of so many times the anchor's 10 ms."""
    sessions = tuple(math.log(ratio) + x for x in noise)
    value = 0.01 * ratio
    ends = (ratio, ratio * 0.97, ratio * 1.03)
    return Measured(
        name, "dev", "timed", value, value * 0.9, value * 1.1, "s", True, 60, ends, sessions
    )


def rate(ratio: float = 2.0) -> Measured:
    """Tokens per second, of which more are better."""
    return replace(latency(ratio), name="throughput", unit="tokens/s", lower_is_better=False)


def accuracy(outcomes: Sequence[int], split: str = "test", items_key: str = "rows") -> Measured:
    """The share of ones."""
    value = sum(outcomes) / len(outcomes)
    return Measured(
        "accuracy", split, "items", value, value - 0.07, value + 0.07, "fraction", False,
        len(outcomes), None, (), tuple(outcomes), items_key,
    )  # fmt: skip


def size(value: float) -> Measured:
    """Bytes on disk."""
    return Measured("size", "dev", "exact", value, value, value, "B", True, 1)


def level(name: str, value: float, unit: str, spread: float = 0.02) -> Measured:
    """Any other number, with an interval of so much on either side."""
    ends = (value, value * (1 - spread), value * (1 + spread))
    return Measured(name, "dev", "level", *ends, unit, True, 3)


def anchor(kernels: Sequence[float] = (1.0, 1.01, 0.99), value: float = 0.01) -> Anchored:
    """The anchor's latency, and its logarithm over the kernel's in each session."""
    return Anchored("latency", value, "s", tuple(kernels))


def watched(
    *metrics: Measured,
    key: str = "a",
    label: str = TONIGHT,
    of_night: str = "n1",
    anchors: Sequence[Anchored] = (),
    **more: Any,
) -> Watched:
    """A candidate that was measured."""
    values: dict[str, Any] = {
        "state": "done", "message": None, "study": f"s/{of_night}/e/watch", "number": 0,
        "parameters": {"session.intra_op_num_threads": 2}, "steps": STEPS,
        "stages": {"onnx_export": "k1"}, "verdict": "feasible",
    } | more  # fmt: skip
    return Watched(
        key=key, label=label, of_night=of_night, metrics=metrics, anchor=tuple(anchors), **values
    )


def entry(*candidates: Watched, name: str = "minilm", **more: Any) -> EntryResult:
    """An entry that is done; its answer is the last of what it watches."""
    values: dict[str, Any] = {
        "space": "spaces/minilm.yaml", "model": "pypi:mini", "device": None,
        "study": f"nightly/n/{name}", "state": "done", "trials": 4, "seconds": 60.0,
        "objectives": ("minimize latency",), "constraints": (),
        "settings": {"pipeline": {"session": {"graph_optimization_level": "all"}}},
    } | more  # fmt: skip
    if "answer" not in values and candidates:
        last = candidates[-1]
        values["answer"] = Answer(last.key, 3, dict(last.parameters), last.steps, "name: recipe\n")
    return EntryResult(name=name, watched=candidates, **values)


def night(*entries: EntryResult, name: str = "n1", at: float | None = None, **more: Any) -> Night:
    """A night; later names begin later."""
    started = 1_790_000_000.0 + 86_400 * int(name[1:]) if at is None else at
    versions: Mapping[str, str | None] = {"onnxruntime": "1.31.1", "torch": "2.13.0"}
    values: dict[str, Any] = {
        "sweep": "nightly", "started": started, "finished": started + 400, "program": "0.1.0",
        "commit": "a" * 40, "dirty": False, "machine": {"cpu": "AMD EPYC", "cores": "2"},
        "versions": versions, "plan": {"name": "nightly"},
    } | more  # fmt: skip
    return Night(name=name, entries=entries, **values)


def same_answer(before: Measured, now: Measured, **more: Any) -> tuple[Night, Night]:
    """Tonight and the night before it, with one entry whose answer is the same candidate."""
    first = night(entry(watched(before)))
    again = watched(now, label=REFERENCE)
    return night(entry(again), name="n2", **more), first
