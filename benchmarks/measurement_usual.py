"""The usual way to compare two models: one block of requests each, one after the other.

As optimisers do it that evaluate one candidate after another: warm-up, requests in a row, and an
interval that takes single requests for independent. Knows nothing of sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from evaluators.base import Artifact, Interval, Json
from evaluators.workloads import open_workload

BLOCK_JOB = "measurement_usual:block_job"
RESAMPLES = 1000
CENTRES: dict[str, Callable[..., Any]] = {"median": np.median, "mean": np.mean}


def block_job(payload: Json) -> Json:
    """Latencies in seconds of "runs" requests after "warmup" others, to "model" (an artifact)."""
    workload = open_workload(Artifact.from_json(payload["model"]), payload["options"])
    for _ in range(payload["warmup"]):
        workload.request()
    return {"latency": [workload.request()["latency"] for _ in range(payload["runs"])]}


def ratio(first: Sequence[float], second: Sequence[float], centre: str, seed: int) -> Interval:
    """The second's median or mean over the first's: bootstrap over single runs, 95 %."""
    rng = np.random.default_rng(seed)
    of = CENTRES[centre]
    tops, bottoms = (
        of(rng.choice(np.asarray(x), (RESAMPLES, len(x))), axis=1) for x in (second, first)
    )
    low, high = np.percentile(tops / bottoms, [2.5, 97.5])
    return Interval(float(of(second) / of(first)), float(low), float(high))
