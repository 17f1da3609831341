"""Turns a finished grid study into the table that `search_replay.py` replays.

    tune --space benchmarks/minilm_table.yaml --strategy grid --trials 216
    python benchmarks/minilm_table.py tuned/study.db [--study NAME] [--output results]

Writes minilm_table.csv, a row per candidate: its decisions by name (empty where there was none to
take), its metrics in canonical units, the seconds of each stage (`seconds:STEP`) and measurement
(`measuring:EVALUATOR`), as they were when it was made; and minilm_table.json, which says where and
with what that was. Only reads the database.
"""

from __future__ import annotations

import argparse
import csv
import json
import sqlite3
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

OUTPUT = Path(__file__).resolve().parents[1] / "results"
METRICS = ("accuracy", "latency", "size")

Row = dict[str, Any]


def main(arguments: Sequence[str]) -> None:
    """Read the study, write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("database", type=Path)
    parser.add_argument("--study", help="where the database holds several")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="a folder")
    options = parser.parse_args(arguments)
    uri = f"{options.database.resolve().as_uri()}?mode=ro"
    with sqlite3.connect(uri, uri=True) as database:
        database.row_factory = sqlite3.Row
        study = name_of(database, options.study)
        rows, facts = table_of(database, study), origin_of(database, study)
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "minilm_table.csv"
    write(rows, path)
    facts |= {"candidates": len(rows), "seconds": round(sum(own_seconds(rows).values()), 1)}
    path.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {path}: {len(rows)} candidates")


def name_of(database: sqlite3.Connection, wanted: str | None) -> str:
    """The study's name; SystemExit where that is open."""
    names = [row["study"] for row in database.execute("select study from tuner_studies")]
    if wanted is not None and wanted in names:
        return wanted
    if wanted is not None or len(names) != 1:
        raise SystemExit(f"give --study one of: {', '.join(names) or 'none is there'}")
    return str(names[0])


def table_of(database: sqlite3.Connection, study: str) -> list[Row]:
    """A row per candidate with numbers, in the order of the grid. SystemExit where one failed."""
    failed = database.execute(
        "select number, message from tuner_trials where study = ? and role = 'trial' "
        "and state != 'complete'",
        (study,),
    ).fetchone()
    if failed is not None:
        raise SystemExit(f"trial {failed['number']} has no numbers: {failed['message']}")
    rows: dict[int, Row] = defaultdict(dict)
    for found in _of(database, "number, name, value from tuner_params", study):
        rows[found["number"]][found["name"]] = found["value"]
    _add_metrics(database, study, rows)
    _add_seconds(database, study, rows)
    return [rows[number] for number in sorted(rows)]


def _of(database: sqlite3.Connection, what: str, study: str) -> Sequence[sqlite3.Row]:
    return database.execute(
        f"select {what} where study = ? and number >= 0 order by number", (study,)
    ).fetchall()


def _add_metrics(database: sqlite3.Connection, study: str, rows: dict[int, Row]) -> None:
    """The estimates on the development split; of latency the median."""
    for found in _of(database, "number, metric, statistic, split, value from tuner_metrics", study):
        usual = found["statistic"] in (None, "p50")
        if found["metric"] in METRICS and found["split"] == "dev" and usual:
            rows[found["number"]][found["metric"]] = found["value"]


def _add_seconds(database: sqlite3.Connection, study: str, rows: dict[int, Row]) -> None:
    """What each stage and measurement took when it was made, in whichever study that was."""
    taken = _taken(database, "tuner_stages") | _taken(database, "tuner_measurements")
    for found in _of(database, "number, step, key, position from tuner_stages", study):
        if 0 <= found["position"] < 100:  # those from 100 on are of twins and of parts
            rows[found["number"]][f"seconds:{found['step']}"] = round(taken[found["key"]], 3)
    columns = "number, evaluator, key, split from tuner_measurements"
    for found in _of(database, columns, study):
        if found["split"] == "dev":
            name, row = f"measuring:{found['evaluator']}", rows[found["number"]]
            row[name] = round(row.get(name, 0.0) + taken[found["key"]], 3)


def _taken(database: sqlite3.Connection, view: str) -> dict[str, float]:
    query = f"select key, max(coalesce(seconds, 0)) from {view} group by key"
    return dict(map(tuple, database.execute(query)))


def own_seconds(rows: Sequence[Row]) -> dict[str, float]:
    """Per column of seconds the sum over the table, as if nothing were shared."""
    totals: dict[str, float] = defaultdict(float)
    for row in rows:
        for name, value in row.items():
            if name.startswith(("seconds:", "measuring:")):
                totals[name] += value
    return totals


def origin_of(database: sqlite3.Connection, study: str) -> Row:
    """Where and with what the study was made."""
    columns = "model, environment, created_at, seconds from tuner_studies"
    found = database.execute(f"select {columns} where study = ?", (study,)).fetchone()
    return {
        "study": study,
        "model": found["model"],
        "environment": json.loads(found["environment"]),
        "created_at": found["created_at"],
        "study_seconds": found["seconds"],
    }


def write(rows: Sequence[Row], path: Path) -> None:
    """The table; columns are decisions, then metrics, then seconds, each as they first come."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    ordered = [n for n in names if ":" not in n and n not in METRICS]
    ordered += [n for n in METRICS if n in names]
    ordered += [n for n in names if ":" in n]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ordered, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main(sys.argv[1:])
