"""The A/A check: the baseline's blocks of a session compared with each other, as if of two models.

Half of the blocks, alternately taken so that drift hits both halves alike, is the one model and the
other half the other; their ratio should be 1, and its interval should hold 1. Knows nothing of
databases and pages.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluators.base import Interval
from evaluators.timing import Spread, moderated

Json = Mapping[str, Any]

_MOST_FREEDOM = 16  # what all other sessions together weigh at most


@dataclass(frozen=True, slots=True)
class Halves:
    """A session of the baseline. `logs`: of each pair of blocks, the logarithm of their ratio."""

    number: int
    session: int
    split: str
    logs: tuple[float, ...]


def halves(rows: Sequence[tuple[int, str, str, Sequence[Json]]], metric: str) -> list[Halves]:
    """The sessions of measurements that have enough blocks of the baseline, each once.

    `rows`: trial, split, key and raw detail, as `tuner_measurements` has them.
    """
    seen: set[str] = set()
    found = []
    for number, split, key, detail in rows:
        if key not in seen:
            seen.add(key)
            for session, data in enumerate(detail, 1):
                logs = tuple(_logs(baseline_blocks(data, metric, number)))
                found += [Halves(number, session, split, logs)] if logs else []
    return found


def baseline_blocks(data: Json, metric: str, number: int) -> list[list[float]]:
    """The baseline's samples by block: of a candidate's session those that were taken beside it."""
    beside = data.get("anchor") or {}
    own = data.get("samples") or {}
    return known_blocks(beside.get(metric) or (own.get(metric, ()) if number < 0 else ()))


def known_blocks(blocks: Sequence[Sequence[Any]]) -> list[list[float]]:
    """Blocks of samples without what is no number; none is empty."""
    found = [[float(x) for x in block if isinstance(x, (int, float))] for block in blocks]
    return [block for block in found if block]


def _logs(blocks: Sequence[Sequence[float]]) -> Iterator[float]:
    """The logarithm of a block's median over the next one's, the order changing from pair to pair.

    As blocks of two models would be: A B B A A B ...
    """
    medians = [statistics.median(block) for block in blocks]
    if len(medians) < 2 or min(medians) <= 0:
        return
    for pair in range(len(medians) // 2):
        log = math.log(medians[2 * pair] / medians[2 * pair + 1])
        yield log if pair % 2 == 0 else -log


def self_ratios(sessions: Sequence[Halves]) -> list[Interval]:
    """Of every session the ratio of its halves, with the 95 % interval.

    By `evaluators.timing.moderated`, as a candidate's ratio in a session is: a session's few pairs
    of blocks borrow the spread of all sessions' pairs.
    """
    prior = _prior(sessions)
    found = []
    for session in sessions:
        pairs = len(session.logs)
        here = Spread(prior.variance / pairs, prior.freedom)
        found.append(moderated([session.logs], here).interval())
    return found


def pooled_ratio(sessions: Sequence[Halves]) -> Interval:
    """The ratio over all sessions together, with the 95 % interval; at least one session."""
    prior = _prior(sessions)
    pairs = sum(len(session.logs) for session in sessions) / len(sessions)
    each = Spread(prior.variance / pairs, prior.freedom)
    return moderated([session.logs for session in sessions], each).interval()


def _prior(sessions: Sequence[Halves]) -> Spread:
    """The variance of one pair's logarithm about none, from all sessions' pairs."""
    logs = [log for session in sessions for log in session.logs]
    variance = math.fsum(log * log for log in logs) / max(1, len(logs))
    return Spread(variance, max(1.0, min(float(len(logs)), _MOST_FREEDOM)))


def holds_one(ratio: Interval) -> bool:
    """Whether an interval says that the two may be the same."""
    return ratio.low <= 1.0 <= ratio.high
