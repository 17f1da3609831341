"""How often the program's times and verdicts are wrong where the truth is known.

    python benchmarks/measurement.py [--part aa ab verdicts] [--pairs 100] [--studies 150]

aa: the same model as two candidates, half of the pairs with the machine loaded by another process.
ab: true slowdowns of 5 % and 3 %. verdicts: simulated latencies with known percentiles. Each is
done the usual way too: one block of requests after another. About half an hour in all; writes
results/measurement.md, and beside it each record as it comes, so that `--resume` goes on after a
kill. Parts that are not asked for keep what is there.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from measurement_page import page
from measurement_pairs import Bench, Effort, plan
from measurement_simulation import KINDS, refusal, study

from evaluators import machine
from evaluators.base import Json
from evaluators.comparison import LOOKS

PARTS = ("aa", "ab", "verdicts")
BELONGS = {"truth": "ab", "refusal": "verdicts"}
"""Records that go with a part of another name."""

SLOWDOWNS = (0.05, 0.03)
DRIFTS = (0.05, 0.08)
RUNS = (50, 20)
"""Requests of the usual way's block: one block, all of it and its beginning."""

OUTPUT = Path(__file__).resolve().parents[1] / "results" / "measurement.md"


class Records:
    """The records of a study, kept in a file of JSON lines that each is appended to at once."""

    def __init__(self, path: Path, dropped: Sequence[str]) -> None:
        """Take what the file holds, without the parts that are `dropped`. It stays as it is."""
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        # A line that a kill cut short has no end.
        self.all: list[Json] = [json.loads(line) for line in text.split("\n")[:-1]]
        self.all = [r for r in self.all if BELONGS.get(r["part"], r["part"]) not in dropped]
        if {r["part"] for r in self.all} <= {"machine"}:
            self.all = []
        self._path = path

    def rewrite(self) -> None:
        """Make the file hold these records, whole lines and no others."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text("".join(map(_line, self.all)), encoding="utf-8")

    def has(self, **key: object) -> bool:
        """Whether there is a record with these values."""
        return any(key.items() <= record.items() for record in self.all)

    def add(self, record: Json) -> Json:
        """Keep a record."""
        self.all.append(record)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line(record))
        return record


def _line(record: Json) -> str:
    return json.dumps(record) + "\n"


def main(arguments: Sequence[str]) -> None:
    """Measure what is missing, then write the page, also of what an interrupted run has."""
    options = parsed(arguments)
    records = Records(options.output.with_suffix(".jsonl"), [] if options.resume else options.part)
    effort = Effort(
        options.blocks, options.seconds, options.warmup, RUNS, options.rounds, options.sessions
    )
    if options.part:
        start(records, arguments, effort)
    try:
        if {"aa", "ab"} & set(options.part):
            with Bench(effort) as bench:
                for line in pairs(bench, options, records):
                    say(line)
        if "verdicts" in options.part:
            for line in verdicts(options.studies, records):
                say(line)
    finally:
        options.output.write_text(page(records.all), encoding="utf-8")
        say(f"wrote {options.output}")


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--part", nargs="*", choices=PARTS, default=PARTS, help="none: only write the page"
    )
    parser.add_argument("--pairs", type=int, default=100, help="of A/A, and of each slowdown")
    parser.add_argument("--studies", type=int, default=150, help="simulated, of each kind")
    parser.add_argument("--blocks", type=int, default=4, help="of each model, in a session")
    parser.add_argument("--seconds", type=float, default=0.025, help="the shortest of a block")
    parser.add_argument("--warmup", type=int, default=6, help="the most requests before the first")
    parser.add_argument("--sessions", type=int, default=LOOKS[-1], help="the most for a verdict")
    parser.add_argument("--rounds", type=int, default=400, help="requests for the true ratio")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--resume", action="store_true", help="keep the records that are there")
    return parser.parse_args(arguments)


def start(records: Records, arguments: Sequence[str], effort: Effort) -> None:
    """Record what is run where. SystemExit where pairs that are there were measured otherwise."""
    known = [r["effort"] for r in records.all if r["part"] == "machine"]
    this = json.loads(json.dumps(asdict(effort)))
    if this != (known or [this])[-1] and any(r["part"] in ("aa", "ab") for r in records.all):
        raise SystemExit(
            f"the pairs that are there were measured with {known[-1]}, these would be with {this}: "
            "give the same options, or another --output"
        )
    records.rewrite()
    libraries = machine.versions("onnxruntime", "onnx", "numpy")
    found = {
        "part": "machine",
        "at": time.time(),
        "arguments": " ".join(arguments),
        **machine.conditions(),
        "load": machine.load(),
        "versions": {"Python": platform.python_version(), **libraries},
        "effort": this,
    }
    records.add(found)


def pairs(bench: Bench, options: argparse.Namespace, records: Records) -> Iterator[str]:
    """Measure the pairs that are missing. A line for each."""
    extras = {"aa": (0.0,), "ab": SLOWDOWNS}
    for part in (part for part in extras if part in options.part):
        for extra in SLOWDOWNS if part == "ab" else ():
            if not records.has(part="truth", extra=extra):
                yield str(records.add(bench.truth(extra)))
        for extra, number, load in plan(part, extras[part], options.pairs):
            if not records.has(part=part, extra=extra, number=number):
                record = records.add(bench.pair(part, extra, number, load=load))
                yield f"{part} {extra:.0%} {number + 1}/{options.pairs} {told(record)}"


def told(record: Json) -> str:
    """A pair's record in a line."""
    ways = {"ours": record["ours"], **record["usual"]}
    found = (
        f"{name} {w['ratio']:.3f} [{w['low']:.3f}, {w['high']:.3f}]"
        f"{' DIFFER' if w['differ'] else ''} {w['seconds']:.1f} s"
        for name, w in ways.items()
        if "mean" not in name
    )
    return ("loaded: " if record["load"] else "quiet: ") + "; ".join(found)


def verdicts(studies: int, records: Records) -> Iterator[str]:
    """Simulate the studies that are missing. A line for each kind and drift."""
    if not records.has(part="refusal"):
        records.add({"part": "refusal", "message": refusal()})
    for kind in KINDS:
        for drift in DRIFTS:
            for number in range(studies):
                key = {"part": "verdicts", "kind": str(kind), "drift": drift, "number": number}
                if not records.has(**key):
                    records.add(study(kind, drift, number))
            yield f"verdicts on {kind}, drift {drift:.0%}: {studies} studies"


def say(line: str) -> None:
    """Print it at once."""
    print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
