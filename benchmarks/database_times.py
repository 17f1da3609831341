"""Times the documented queries, and commands that read, on a database of many trials.

Knows nothing of how the database was filled or of the page that shows the times.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, Engine, text

from evaluators.base import Json
from tuner.study.reader import StudyReader

DOCUMENT = Path(__file__).parents[1] / "docs" / "database.md"
TUNE = Path(sys.executable).parent / "tune"
REPEATS = 5


def documented_queries() -> dict[str, str]:
    """Title -> SQL, as docs/database.md has them."""
    pattern = r"^### ([^\n]+)\n(?:(?!^#).)*?```sql\n(.*?)```"
    return dict(re.findall(pattern, DOCUMENT.read_text(), re.M | re.S))


def parameters(study: str, at: float) -> Json:
    """A value for every parameter that a documented query has."""
    asked = {"parameter": "genai_builder.precision", "metric": "tpot", "pattern": "nightly/%"}
    return {"study": study, "at": at, **asked}


def time_queries(engine: Engine, study: str) -> list[Json]:
    """For every query its rows, and the best of five in ms: wall time, and this process's CPU.

    The CPU time of SQLite is in this process; that of a server is not.
    """
    values = parameters(study, _middle(engine, study))
    found = []
    with engine.connect() as connection:
        for title, query in documented_queries().items():
            count = len(connection.execute(text(query), values).all())
            wall, cpu = _best(_asking(connection, query, values))
            found.append({"title": title, "rows": count, "wall_ms": wall, "cpu_ms": cpu})
    return found


def _asking(connection: Connection, query: str, values: Json) -> Callable[[], object]:
    return lambda: connection.execute(text(query), values).all()


def _best(act: Callable[[], object]) -> tuple[float, float]:
    """The shortest of five, in ms, by wall time; and the least CPU time."""
    times = []
    for _ in range(REPEATS):
        wall, cpu = time.perf_counter(), time.process_time()
        act()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return 1000 * min(w for w, _ in times), 1000 * min(c for _, c in times)


def _middle(engine: Engine, study: str) -> float:
    """A moment in the middle of the study's work."""
    row = StudyReader(engine).study(study)
    return (row.created_at + row.runs[-1].last_event_at) / 2


def time_commands(url: str, study: str, repeats: int = REPEATS) -> list[Json]:
    """For each command its lines, and the best as a whole process: wall and CPU in seconds."""
    commands = {
        "tune list": ["list"],
        "tune best STUDY": ["best", study],
        "tune show STUDY TRIAL": ["show", study, "17"],
        "tune show STUDY": ["show", study],
    }
    found = []
    for title, arguments in commands.items():
        often = repeats if title == "tune list" else 1  # the others take long
        times = [_run([*arguments, "--db", url]) for _ in range(often)]
        best = min(times, key=lambda t: float(t["wall_s"]))
        found.append({"title": title} | best)
    return found


def _run(arguments: list[str]) -> Json:
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [str(TUNE), *arguments],
        capture_output=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    wall, after = time.perf_counter() - wall, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"lines": done.stdout.count(b"\n"), "wall_s": wall, "cpu_s": cpu}
