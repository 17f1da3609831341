"""How often a sweep cries wolf, and how large a regression must be to be seen: simulated nights.

`python -m benchmarks.regressions [--nights N]` writes results/regressions.md. Each simulated night
watches ten answers, each measured in three sessions beside the unoptimised model; what sessions and
nights differ by is set, and `tuner.sweep.judging` judges the night by its reference and what is
known of earlier nights, as a real one. Knows nothing of models.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tuner.sweep.changes import Comparison, Verdict
from tuner.sweep.judging import judge
from tuner.sweep.records import REFERENCE, EntryResult, Measured, Night, Rules, Watched

ANSWERS = 10
"""Comparisons of a night."""

DAY = 86_400.0
SESSION_NOISE = (0.04, 0.07, 0.15)
NIGHT_NOISE = (0.0, 0.03, 0.06)
HISTORIES = (1, 10)
SLOWER = (1.10, 1.20, 1.40, 2.00)
_FEWER = 4  # false alarms are rare: they take more nights to count than what is found
RESULT = Path(__file__).parent.parent / "results" / "regressions.md"


@dataclass(frozen=True, slots=True)
class World:
    """Standard deviations of the log ratio: between sessions, and between nights beyond that.

    `history`: nights before tonight; the last is the reference. `processes`: sessions of a night.
    `uneven`: that is the noise of the first answer; the others' sessions differ by a quarter of it.
    """

    sessions: float
    nights: float
    history: int
    processes: int = 3
    uneven: bool = False


@dataclass(frozen=True, slots=True)
class Rates:
    """What was found, as shares.

    `alarms`: of calm nights, those with a regression. `undecided`: of unchanged answers, those
    that look like a change. `found`: of slower answers, by how much slower.
    """

    alarms: float
    undecided: float
    found: tuple[float, ...]


def main() -> None:
    """Simulate every world, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int, default=400, help="calm nights of each kind")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    started = time.monotonic()
    worlds = [World(s, n, h) for h in HISTORIES for s in SESSION_NOISE for n in NIGHT_NOISE]
    worlds += [World(0.07, 0.03, 10, processes) for processes in (2, 6, 12)]
    worlds += [World(0.15, 0.03, history, uneven=True) for history in HISTORIES]
    with ProcessPoolExecutor(2) as pool:
        found = list(pool.map(rates, worlds, [options.nights] * len(worlds)))
    page = "\n".join(_page(worlds, found, options.nights, time.monotonic() - started))
    options.output.write_text(page + "\n", encoding="utf-8")


def rates(world: World, nights: int) -> Rates:
    """Simulate nights without a change, and as many with one answer slower."""
    chance = random.Random(repr(world))
    calm = [_night(world, chance, 1.0) for _ in range(nights)]
    slower = [[_night(world, chance, f) for _ in range(nights // _FEWER)] for f in SLOWER]
    return Rates(
        _share(bool(c.regressions) for c in calm),
        sum(len(c.of(Verdict.UNDECIDED)) for c in calm) / nights / ANSWERS,
        tuple(_share(_is_found(c) for c in found) for found in slower),
    )


def _is_found(comparison: Comparison) -> bool:
    return any(c.entry == "0" for c in comparison.regressions)


def _share(values: Iterator[bool]) -> float:
    found = list(values)
    return sum(found) / len(found)


def _night(world: World, chance: random.Random, slower: float) -> Comparison:
    """Judge one night; the first answer is so many times as slow as before."""
    history = [_made(world, chance, number) for number in range(world.history)]
    tonight = _made(world, chance, world.history, slower)
    return judge(tonight, history[-1], Rules(), history)


def _made(world: World, chance: random.Random, number: int, slower: float = 1.0) -> Night:
    entries = tuple(
        _entry(world, chance, str(i), slower if i == 0 else 1.0, number) for i in range(ANSWERS)
    )
    started = DAY * (1 + number)
    return Night(f"night-{number}", "simulated", started, started, "", None, False, {}, {}, {},
                 entries=entries)  # fmt: skip


def _entry(
    world: World, chance: random.Random, name: str, slower: float, number: int
) -> EntryResult:
    centre = math.log(0.5 * slower) + chance.gauss(0, world.nights)
    noise = world.sessions / 4 if world.uneven and name != "0" else world.sessions
    logs = tuple(chance.gauss(centre, noise) for _ in range(world.processes))
    measured = Measured("latency", "dev", "timed", 1.0, 1.0, 1.0, "s", True, 60, None, logs)
    watched = Watched("a", REFERENCE, "night-0", "done", None, "", 0, {}, (), (measured,))
    return EntryResult(name, "", "", None, "", "done", watched=(watched,))


def _page(
    worlds: Sequence[World], found: Sequence[Rates], nights: int, seconds: float
) -> Iterator[str]:
    yield "# How sure a sweep's regressions are"
    yield ""
    yield (
        f"Simulated by `python -m benchmarks.regressions`: {nights} calm nights in each row and "
        f"{nights // _FEWER} with one slower answer in each column, {ANSWERS} answers a night, at "
        f"the defaults (`least: 5%`, `confidence: 0.99`; {seconds:.0f} s). *Sessions* and "
        "*nights*: what the logarithm of the ratio to the "
        "unoptimised model differs by (standard deviation) between the sessions of a night, and "
        "between nights on which nothing changed; with a star: of the slower answer, the others' "
        "sessions differ by a quarter of it. *History*: nights known before tonight. *False "
        "alarms*: nights with a regression named where nothing changed. *Looks like one*: answers, "
        "unchanged, that are called undecided. The rest: how often one answer of the ten that "
        "became so much slower is named."
    )
    yield ""
    alarms = round(sum(rate.alarms * nights for rate in found))
    yield f"In all {len(found) * nights} calm nights together: {alarms} with a false alarm."
    yield ""
    slower = " | ".join(f"+{factor - 1:.0%}" for factor in SLOWER)
    yield (
        f"| sessions | nights | processes | history | false alarms | looks like one | {slower} |"
    )
    yield "|---" * (6 + len(SLOWER)) + "|"
    for world, rate in zip(worlds, found, strict=True):
        cells = " | ".join(f"{share:.0%}" for share in rate.found)
        yield (
            f"| {world.sessions:.2f}{'*' * world.uneven} | {world.nights:.2f} | "
            f"{world.processes} | {world.history} | "
            f"{rate.alarms:.1%} | {rate.undecided:.0%} | {cells} |"
        )


if __name__ == "__main__":
    main()
