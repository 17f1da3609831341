"""The study database with 100,000 trials in it, and while a dashboard polls it.

    python benchmarks/database.py [scale] [polling] [--minutes 10] [--postgres URL]

`scale` fills a database and times the queries of docs/database.md and the commands that read;
`polling` measures by how much a dashboard slows a study. Each is written to results/database.json
and shown in results/database.md beside what the other found before. `--postgres` takes the URL of
an empty database, on which `scale` is run too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import database_polling
from database_fill import fill
from database_page import page
from database_times import documented_queries, time_commands, time_queries
from sqlalchemy import Engine, text

from evaluators import machine
from evaluators.base import Json
from tuner.study.database import open_engine

LARGE = "large"
TEMPLATE = 500
NIGHTS = {f"nightly/2026-11-{day:02}/minilm": TEMPLATE for day in range(1, 10)}
SIZES = {LARGE: 60_000, "medium": 20_000, "small": 10_000, "smaller": 5_000} | NIGHTS


def scale(postgres: str | None, share: float = 1.0) -> Json:
    """Fill, and time queries and commands. `share`: of the trials, for a quick look."""
    sizes = {n: max(TEMPLATE, round(share * t / TEMPLATE) * TEMPLATE) for n, t in SIZES.items()}
    found: Json = {"trials": sum(sizes.values()) + TEMPLATE, "studies": len(sizes) + 1}
    found |= {"large": sizes[LARGE], "databases": {}}
    with tempfile.TemporaryDirectory() as folder:
        urls = {"SQLite": str(Path(folder) / "study.db")}
        urls |= {} if postgres is None else {"PostgreSQL": postgres}
        for name, url in urls.items():
            found["databases"][name] = _database(url, sizes)
        found["databases"]["SQLite"]["commands"] = time_commands(urls["SQLite"], LARGE)
    return found


def _database(url: str, sizes: dict[str, int]) -> Json:
    engine = open_engine(url)
    began = time.perf_counter()
    fill(engine, sizes, TEMPLATE)
    filled = time.perf_counter() - began
    found = {"queries": time_queries(engine, LARGE), "fill_s": filled, "bytes": _bytes(engine)}
    found["server"] = _server(engine)
    engine.dispose()
    return found


def _bytes(engine: Engine) -> int:
    if engine.dialect.name == "sqlite":
        return Path(str(engine.url.database)).stat().st_size
    with engine.connect() as connection:
        query = text("SELECT pg_database_size(current_database())")
        return int(connection.execute(query).scalar_one())


def _server(engine: Engine) -> str:
    if engine.dialect.name == "sqlite":
        return sqlite3.sqlite_version
    with engine.connect() as connection:
        return str(connection.execute(text("SHOW server_version")).scalar_one()).split()[0]


def polling(minutes: float, trials: int | None) -> Json:
    """The slowdown, and how many queries a poll has."""
    return database_polling.measure(minutes, trials) | {"queries": len(documented_queries())}


def measured(act: Callable[[], Json]) -> Json:
    """What a part found, with the machine, its load before and after, versions and the date."""
    before = os.getloadavg()[0]
    found = act()
    versions = {"Python": platform.python_version(), "SQLAlchemy": version("sqlalchemy")}
    servers = {n: d.pop("server") for n, d in found.get("databases", {}).items()}
    versions |= servers or {"SQLite": sqlite3.sqlite_version, "Optuna": version("optuna")}
    of_machine = {"cpu": machine.cpu_model(), "cores": machine.cores()}
    found |= {"machine": of_machine, "versions": versions}
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    return found | {"load": [before, os.getloadavg()[0]], "date": date}


def write(folder: Path, found: dict[str, Any]) -> None:
    """Keep what was found, with what was found before of other parts, and the page of all."""
    records = folder / "database.json"
    known = json.loads(records.read_text()) if records.exists() else {}
    known |= found
    folder.mkdir(parents=True, exist_ok=True)
    records.write_text(json.dumps(known, indent=1) + "\n")
    (folder / "database.md").write_text(page(known))


def main() -> None:
    """Measure the parts that were named, all by default, and write them down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help="scale, polling; all by default")
    parser.add_argument("--minutes", type=float, default=10.0, help="of polling")
    parser.add_argument("--trials", type=int, help="of a study that is polled; as many as fit")
    parser.add_argument("--share", type=float, default=1.0, help="of the 100,000 trials")
    parser.add_argument("--postgres", metavar="URL", help="an empty database")
    parser.add_argument("--output", type=Path, default=Path("results"))
    arguments = parser.parse_args()
    parts = {
        "scale": lambda: scale(arguments.postgres, arguments.share),
        "polling": lambda: polling(arguments.minutes, arguments.trials),
    }
    unknown = sorted(set(arguments.parts) - parts.keys())
    if unknown:
        parser.error(f"no part {unknown[0]!r}; parts: {', '.join(parts)}")
    for name in arguments.parts or parts:
        write(arguments.output, {name: measured(parts[name])})
    print((arguments.output / "database.md").read_text())


if __name__ == "__main__":
    main()
