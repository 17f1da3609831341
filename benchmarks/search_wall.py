"""The quick start by the clock: one strategy after the other, each with a store of its own.

    python benchmarks/search_wall.py [--strategies auto tpe] [--output results] [--max-time 8m]

Runs `tune` on the space with the same budget; of what the one made the other finds nothing but the
fetched model, which both have before they start. Writes search_wall.md, which front was there when,
and search_wall.jsonl, every run. Needs a quiet machine, and the budget for each strategy.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from search_page import prose, table
from search_volume import Losses, add, hypervolume

from evaluators import machine
from evaluators.base import Json
from search_spaces import find_space, read_space
from search_spaces.references import Reference
from tuner.models.resolver import fetch, fingerprint, needs_fetch
from tuner.pipeline.store import Store
from tuner.registry import vocabulary

RESULTS = Path(__file__).resolve().parents[1] / "results"
TUNE = Path(sys.executable).parent / "tune"
MARKS = (1 / 8, 1 / 4, 1 / 2, 1.0)
_MARGIN = 0.05  # of an objective's range: how far the reference is beyond the worst


def main(arguments: Sequence[str]) -> None:
    """Run the strategies, write the page."""
    options = parsed(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "search_wall.md"
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        records = [
            one(strategy, Path(folder) / strategy, options) for strategy in options.strategies
        ]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    path.with_suffix(".jsonl").write_text(lines, encoding="utf-8")
    path.write_text(page(records, " ".join(arguments)), encoding="utf-8")
    print(f"wrote {path}")


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--space", default="quickstart", help="a file, or a shipped space")
    parser.add_argument("--constraint", nargs="*", default=["latency<200ms"])
    parser.add_argument("--strategies", nargs="+", default=["auto", "tpe"])
    parser.add_argument("--trials", help="in place of the space's own")
    parser.add_argument("--max-time", help="in place of the space's own")
    parser.add_argument("--seed", help="in place of the space's own")
    parser.add_argument("--work", type=Path, help="where there is room for the stores")
    parser.add_argument("--output", type=Path, default=RESULTS, help="a folder")
    return parser.parse_args(arguments)


def one(strategy: str, folder: Path, options: argparse.Namespace) -> Json:
    """Run a strategy in a folder of its own; what it found when."""
    folder.mkdir(parents=True)
    store = Store(folder / "store")
    have_model(read_space(find_space(options.space), vocabulary()).space.model, store)
    command = [str(TUNE), "--space", options.space, "--strategy", strategy, "--quiet"]
    for name in ("trials", "max_time", "seed"):
        if getattr(options, name) is not None:
            command += [f"--{name.replace('_', '-')}", getattr(options, name)]
    command += [word for text in options.constraint for word in ("--constraint", text)]
    database = folder / "study.db"
    command += ["--db", str(database), "--output", str(folder / "answer")]
    load, begun = machine.load(), time.time()
    environment = os.environ | {"TUNER_STORE": str(store.root)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if not database.exists():
        raise SystemExit(f"{' '.join(command)} gave no study: {done.stderr.strip()}")
    return {
        "strategy": strategy,
        "seconds": round(time.time() - begun, 1),
        "status": done.returncode,
        "load": load,
        **machine.conditions(),
        "versions": {
            "Python": platform.python_version(),
            **machine.versions("torch", "onnxruntime", "onnxruntime-genai", "optuna"),
        },
        **found_in(database),
    }


def have_model(reference: Reference, store: Store) -> None:
    """Put the model that a space names into the store, where it has to be fetched at all."""
    if not needs_fetch(reference):
        return
    key = fingerprint(reference, store.root / "hashes")
    with store.draft(key) as draft:
        fetch(reference, draft.output)
        description = {"kind": "source", "reference": reference.text}
        draft.commit({"description": description, "pass": "fetch", "seconds": 0.0})


def found_in(database: Path) -> Json:
    """The trials of the one study, with the seconds from its start; its objectives and answer."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        study = connection.execute("select objectives, chosen from tuner_studies").fetchone()
        start = connection.execute("select min(started_at) from tuner_runs").fetchone()[0]
        trials = connection.execute("select * from tuner_trials where number >= 0").fetchall()
        values = connection.execute("select * from tuner_objectives where number >= 0").fetchall()
    losses: dict[int, dict[int, float | None]] = {}
    for row in values:
        sign = 1 if row["minimize"] else -1
        loss = None if row["value"] is None else sign * row["value"]
        losses.setdefault(row["number"], {})[row["position"]] = loss
    return {
        "objectives": json.loads(study["objectives"]),
        "chosen": study["chosen"],
        "trials": [
            {
                "number": t["number"],
                "state": t["state"],
                "verdict": t["verdict"],
                "at": None if t["finished_at"] is None else round(t["finished_at"] - start, 1),
                "losses": [losses[t["number"]][p] for p in sorted(losses.get(t["number"], {}))],
                "parameters": json.loads(t["parameters"] or "{}"),
                "on_front": bool(t["on_front"]),
            }
            for t in trials
        ],
    }


def feasible(record: Json) -> Iterator[tuple[float, list[float]]]:
    """(seconds, losses) of the trials that were found feasible, in the order of their ends."""
    for trial in sorted(record["trials"], key=lambda t: t["at"] or 0.0):
        whole = trial["state"] == "complete" and trial["verdict"] == "feasible"
        if whole and trial["at"] is not None:
            yield trial["at"], trial["losses"]


def page(records: Sequence[Json], arguments: str) -> str:
    """The page in Markdown."""
    points = [losses for record in records for _, losses in feasible(record)]
    text = [
        "# Search by the clock",
        prose(
            "The quick start with the same budget, one strategy after the other; each has a store "
            "and a database of its own, and the fetched model. The hypervolume is that of what was "
            "measured as feasible, as a share of what all runs found together, at shares of the "
            "longest run. Written by `benchmarks/search_wall.py`; every trial is in "
            "`search_wall.jsonl`. One run of each: what differs by little is noise."
        ),
        _summary(records, points),
        *(_front(record) for record in records),
        _origin(records, arguments),
    ]
    return "\n\n".join(text) + "\n"


def _summary(records: Sequence[Json], points: Sequence[Losses]) -> str:
    longest = max(record["seconds"] for record in records)
    rows = []
    for record in records:
        volumes = [_volume(record, points, longest * mark) for mark in MARKS]
        states = Counter(t["state"] for t in record["trials"])
        became = ", ".join(f"{n} {state}" for state, n in states.most_common())
        first = next((f"{at:.0f} s" for at, _ in feasible(record)), "none")
        rows.append([record["strategy"], f"{record['seconds']:.0f}", became, first, *volumes])
    titles = ["strategy", "s in all", "trials", "first feasible"]
    return table([*titles, *(f"by {longest * mark:.0f} s" for mark in MARKS)], rows)


def _volume(record: Json, points: Sequence[Losses], until: float) -> str:
    if not points:
        return "-"
    reference = [_beyond(column) for column in zip(*points, strict=True)]
    whole = hypervolume(_front_of(points), reference)
    own = _front_of([losses for at, losses in feasible(record) if at <= until])
    return f"{hypervolume(own, reference) / whole:.3f}"


def _beyond(values: Sequence[float]) -> float:
    return max(values) + _MARGIN * ((max(values) - min(values)) or abs(max(values)) or 1.0)


def _front_of(points: Sequence[Losses]) -> list[Losses]:
    front: list[Losses] = []
    for point in points:
        front = add(front, point)
    return front


def _front(record: Json) -> str:
    objectives = record["objectives"]
    signs = [1 if objective["minimize"] else -1 for objective in objectives]
    rows = [
        [
            f"{t['number']}{' (chosen)' if t['number'] == record['chosen'] else ''}",
            f"{t['at']:.0f}",
            *(f"{sign * loss:.4g}" for sign, loss in zip(signs, t["losses"], strict=True)),
            _parameters(t["parameters"]),
        ]
        for t in record["trials"]
        if t["on_front"]
    ]
    head = f"## The front of {record['strategy']}"
    names = [objective["text"] for objective in objectives]
    return f"{head}\n\n{table(['trial', 'after s', *names, 'decisions'], rows)}"


def _parameters(found: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in found.items())


def _origin(records: Sequence[Json], arguments: str) -> str:
    first = records[0]
    versions = ", ".join(f"{name} {v}" for name, v in first["versions"].items())
    loads = ", ".join(f"{r['strategy']} {r['load']:.1f}" for r in records)
    return prose(
        f"`python benchmarks/search_wall.py {arguments}`; {first['cpu']}, {first['cores']} cores, "
        f"load at the start: {loads}; {versions}."
    )


if __name__ == "__main__":
    main(sys.argv[1:])
