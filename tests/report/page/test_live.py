"""A report that follows a study: when it is written, and when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from odd_studies import KILLED, RUNNING, write_odd_studies
from sqlalchemy import Engine

from tuner.cli.main import main
from tuner.report.page.live import follow, reloading_script
from tuner.study.database import open_engine
from tuner.study.events import StudyStarted, StudyStopped, Told, TrialAsked
from tuner.study.reader import StudyReader
from tuner.study.writer import StudyWriter

TUNE = Path(sys.executable).parent / "tune"
STARTED = StudyStarted(
    "mine",
    False,
    {"name": "s", "path": "s.yaml", "model": "m", "fingerprint": "f" * 64, "text": "model: m\n"},
    ({"text": "minimize size", "metric": "size", "statistic": None, "minimize": True},),
    (),
    {"strategy": "tpe", "trials": 2, "max_time": None, "seed": 0},
    {},
)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(str(tmp_path / "study.db"))
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("odd") / "study.db"
    write_odd_studies(path)
    return path


def _steps(*steps: Callable[[], None]) -> Callable[[float], None]:
    """A `sleep` that lets something happen instead, one step for each call."""
    left = list(steps)
    return lambda _seconds: left.pop(0)()


def test_it_is_written_anew_with_every_change_until_the_study_ends(
    engine: Engine, tmp_path: Path
) -> None:
    path, states, begun = tmp_path / "report.html", [], []
    with StudyWriter(engine, "mine") as writer:
        writer(STARTED)

        def try_one() -> None:
            writer(TrialAsked(0, "trial", "c" * 64, {"lora": True}, ()))
            writer(Told(0, "infeasible", None, (), 1.0))

        def look(then: Callable[[], None]) -> Callable[[], None]:
            def step() -> None:
                states.append(path.stat().st_mtime_ns)
                then()

            return step

        sleep = _steps(
            look(lambda: None),
            look(try_one),
            look(lambda: writer(StudyStopped("trials", None, 9.0))),
        )
        followed = follow(StudyReader(engine), "mine", path, 1.0, lambda: begun.append(True), sleep)
    assert followed
    assert begun == [True]
    assert states[0] == states[1], "nothing had changed"
    assert states[1] < states[2] < path.stat().st_mtime_ns
    assert "const every = null" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("study", [KILLED, "all-failed", "nothing-fits"])
def test_a_study_that_nobody_works_on_is_written_once(
    odd: Path, tmp_path: Path, study: str
) -> None:
    def never(_seconds: float = 0.0) -> None:
        pytest.fail("it waited")

    engine = open_engine(str(odd))
    path = tmp_path / "report.html"
    assert not follow(StudyReader(engine), study, path, 1.0, never, never)
    engine.dispose()
    assert "const every = null" in path.read_text(encoding="utf-8")


def test_what_takes_long_is_done_less_often(odd: Path, tmp_path: Path) -> None:
    rests: list[float] = []

    def sleep(seconds: float) -> None:
        rests.append(seconds)
        raise KeyboardInterrupt

    engine = open_engine(str(odd))
    started = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        follow(StudyReader(engine), RUNNING, tmp_path / "r.html", 0.0, lambda: None, sleep)
    took = time.perf_counter() - started
    engine.dispose()
    assert 2 * took < rests[0] < 10 * took
    assert "const every = 0.0" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_the_script_knows_its_interval_and_what_it_shows() -> None:
    script = reloading_script(5.0, "(1, 17.5)")
    assert "const every = 5.0;" in script
    assert 'const version = "(1, 17.5)";' in script


def test_ctrl_c_leaves_the_last_state(odd: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    command = [str(TUNE), "report", RUNNING, "--db", str(odd), "-o", str(path), "--live"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert f"writing {path} while 'running' runs" in line
    assert process.returncode == 130
    assert "the last state" in told
    assert "Traceback" not in told
    assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--every", "5s"], "with --live, which is missing"),
        (["--live", "--every", "0.1s"], "expected at least 1s"),
        (["--live", "--every", "soon"], "is not a duration"),
    ],
)
def test_a_wrong_interval_is_said(
    tmp_path: Path,
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    odd: Path,
) -> None:
    whole = ["tune", "report", KILLED, "--db", str(odd), "-o", str(tmp_path / "r"), *arguments]
    monkeypatch.setattr(sys, "argv", whole)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "r").exists()
