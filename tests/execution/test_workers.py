"""Jobs in processes of their own: what they see, how they end, and that nothing stays behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from process_looks import (
    PATIENCE,
    descendants_of,
    is_alive,
    kill,
    marked,
    name_of,
    parent_of,
    wait_until,
)

from tuner.execution.job import Job, Outcome, Reason
from tuner.execution.workers import Workers

HERE = str(Path(__file__).parent)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="worker processes need Linux")


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers() as workers:
        yield workers


Run = Callable[..., Outcome]


@pytest.fixture
def run(workers: Workers, tmp_path: Path) -> Run:
    """Run a function of `worker_jobs` with a payload and limits."""

    def run(
        function: str,
        payload: dict[str, Any] | None = None,
        *,
        time_limit: float | None = 30,
        memory_limit: int | None = None,
        **more: Any,
    ) -> Outcome:
        log = tmp_path / "log.txt"
        entry = f"worker_jobs:{function}"
        return workers.run(Job(entry, payload or {}, log, time_limit, memory_limit), **more)

    return run


def failure(outcome: Outcome) -> tuple[Reason, str, bool]:
    assert outcome.value is None
    assert outcome.failure is not None
    return outcome.failure.reason, outcome.failure.message, outcome.failure.deterministic


# What a job gets and gives


def test_a_job_returns_what_its_function_returns(run: Run) -> None:
    outcome = run("echo", {"a": [1, None, "é"]})
    assert outcome.value == {"got": {"a": [1, None, "é"]}}
    assert outcome.failure is None
    assert 0 < outcome.seconds < 5
    assert outcome.peak_memory > 1e6


def test_payloads_and_results_of_ten_megabytes_pass(run: Run) -> None:
    text = "ab" * 5_000_000
    outcome = run("long_text", {"text": text})
    assert outcome.value == {"text": text[::-1]}


def test_every_job_has_a_process_and_a_session_of_its_own(run: Run) -> None:
    first, second = run("facts").value, run("facts").value
    assert first is not None
    assert second is not None
    assert first["pid"] != second["pid"]
    assert first["session"] == first["pid"]
    assert first["stdin"] == ""
    assert first["score"] == 1000


def test_a_job_holds_no_connection_of_its_server(workers: Workers, tmp_path: Path) -> None:
    job = Job("worker_jobs:facts", {}, tmp_path / "log.txt")
    value = workers.run(job).value
    assert value is not None
    assert value["sockets"] == []


def test_preloaded_modules_are_there_and_missing_ones_do_no_harm(tmp_path: Path) -> None:
    server_log = tmp_path / "server.txt"
    with Workers(["no_such_module", "wave"], log=server_log) as workers:
        value = workers.run(Job("worker_jobs:facts", {}, tmp_path / "log.txt")).value
    assert value is not None
    assert "wave" in value["modules"]
    assert "No module named 'no_such_module'" in server_log.read_text()


def test_a_preload_that_kills_the_server_is_left_to_the_jobs(tmp_path: Path) -> None:
    (tmp_path / "deadly.py").write_text("import os\nos._exit(3)\n")
    sys.path.insert(0, str(tmp_path))
    try:
        with Workers(["deadly"]) as workers:
            outcome = workers.run(Job("worker_jobs:echo", {}, tmp_path / "log.txt"))
    finally:
        sys.path.remove(str(tmp_path))
    assert outcome.value == {"got": {}}


def test_jobs_see_the_users_environment(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/some/where")
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    with Workers() as workers:
        value = workers.run(Job("worker_jobs:facts", {}, tmp_path / "log.txt")).value
    assert value is not None
    assert value["environment"]["PYTHONPATH"] == "/some/where"
    assert value["environment"]["TOKENIZERS_PARALLELISM"] == "false"


def test_all_output_goes_to_the_log(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run("talk")
    run("talk")
    text = (tmp_path / "log.txt").read_text()
    for line in ("said by python", "complained by python", "said by a child", "said by C"):
        assert text.count(line) == 2
    assert capfd.readouterr() == ("", "")


def test_two_servers_live_side_by_side(run: Run, tmp_path: Path) -> None:
    job = Job("worker_jobs:echo", {}, tmp_path / "other.txt")
    with Workers() as others:
        assert run("echo").value == others.run(job).value
    assert run("echo").value == {"got": {}}


# What a job can do wrong


def test_an_exception_is_an_error_in_one_line_and_a_traceback_in_the_log(
    run: Run, tmp_path: Path
) -> None:
    outcome = run("fail", {"text": "two\nlines"})
    assert failure(outcome) == (Reason.ERROR, "ValueError: two lines", True)
    assert "Traceback" in (tmp_path / "log.txt").read_text()


def test_a_long_message_is_cut(run: Run) -> None:
    _, message, _ = failure(run("fail", {"text": "long " * 1000}))
    assert len(message) == 300
    assert message.endswith("…")


@pytest.mark.parametrize(
    "error",
    [
        "tuner.passes.base:PassError",
        "evaluators.base:MeasurementError",
        "evaluators.base:NotEnoughSamples",
        "search_spaces.data_files:DataError",
    ],
)
def test_a_refusal_is_told_in_its_own_words(run: Run, error: str) -> None:
    outcome = run("refuse", {"error": error, "text": "the model has no adapter"})
    assert failure(outcome) == (Reason.REFUSED, "the model has no adapter", True)


@pytest.mark.parametrize(
    "job", ["fill_disk", "fill_disk_behind_a_library", "fill_disk_with_its_log"]
)
def test_a_full_disk_says_so_and_may_be_better_tomorrow(run: Run, job: str) -> None:
    reason, message, deterministic = failure(run(job))
    assert (reason, deterministic) == (Reason.DISK_FULL, False)
    assert message.startswith("the disk is full (")


def test_a_memory_error_is_out_of_memory(run: Run) -> None:
    reason, _, _ = failure(run("run_out_of_memory"))
    assert reason is Reason.OUT_OF_MEMORY


def test_a_segmentation_fault_leaves_its_stack_in_the_log(run: Run, tmp_path: Path) -> None:
    message = "ended by a segmentation fault (SIGSEGV)"
    assert failure(run("crash")) == (Reason.CRASHED, message, True)
    text = (tmp_path / "log.txt").read_text()
    assert "Fatal Python error: Segmentation fault" in text
    assert "in crash" in text


def test_an_abort_is_a_crash(run: Run) -> None:
    outcome = run("raise_signal", {"signal": signal.SIGABRT})
    assert failure(outcome) == (Reason.CRASHED, "ended by an abort (SIGABRT)", True)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_kill_from_outside_is_not_the_jobs_fault(run: Run, number: signal.Signals) -> None:
    outcome = run("raise_signal", {"signal": number})
    assert failure(outcome) == (Reason.KILLED, f"killed from outside ({number.name})", False)


def test_a_kill_while_the_system_ran_out_of_memory_is_told_as_such(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills = iter([3, 4])  # what the kernel counts before and after the job
    monkeypatch.setattr("tuner.execution.workers.kills_for_memory", lambda: next(kills))
    reason, message, deterministic = failure(run("raise_signal", {"signal": signal.SIGKILL}))
    assert (reason, deterministic) == (Reason.OUT_OF_MEMORY, False)
    assert message.startswith("killed by the system as memory ran out")


@pytest.mark.parametrize(
    ("job", "code", "told"),
    [("leave", 0, 0), ("leave", 7, 7), ("leave", "no", 1), ("leave_at_once", 9, 9)],
)
def test_an_exit_without_a_result_is_an_error(run: Run, job: str, code: object, told: int) -> None:
    outcome = run(job, {"code": code})
    assert failure(outcome) == (Reason.ERROR, f"exited with code {told} without a result", True)


def test_a_value_that_is_no_json_object_is_an_error(run: Run) -> None:
    _, message, _ = failure(run("give_a_list"))
    assert message == "TypeError: worker_jobs:give_a_list returned list, expected a dict"
    _, message, _ = failure(run("give_what_is_not_json"))
    assert "not JSON serializable" in message


def test_an_entry_that_is_not_there_is_an_error(run: Run) -> None:
    reason, message, _ = failure(run("no_such_function"))
    assert reason is Reason.ERROR
    assert "no_such_function" in message


# Limits


def test_a_job_over_its_memory_limit_is_killed(run: Run) -> None:
    outcome = run("hoard", {"megabytes": 2000, "hold": 30}, memory_limit=200_000_000)
    reason, message, deterministic = failure(outcome)
    assert (reason, deterministic) == (Reason.OUT_OF_MEMORY, True)
    assert message.startswith("used ")
    assert message.endswith(" MB, the limit is 200 MB")
    assert 200_000_000 < outcome.peak_memory < 2_000_000_000


def test_the_memory_of_descendants_counts(run: Run) -> None:
    outcome = run("hoard_in_a_child", {"megabytes": 300}, memory_limit=200_000_000)
    reason, _, _ = failure(outcome)
    assert reason is Reason.OUT_OF_MEMORY
    assert outcome.seconds < 25


def test_the_peak_of_memory_is_reported(run: Run) -> None:
    outcome = run("hoard", {"megabytes": 100, "hold": 0.2})
    assert outcome.value == {"blocks": 10}
    assert 100e6 < outcome.peak_memory < 200e6


def test_a_job_over_its_time_limit_is_ended(run: Run) -> None:
    outcome = run("hang", time_limit=0.3)
    assert failure(outcome) == (Reason.TIMEOUT, "took longer than its limit of 0.3 s", True)
    assert 0.3 <= outcome.seconds < PATIENCE


def test_a_job_over_its_time_limit_is_asked_to_end_before_it_is_killed(
    run: Run, tmp_path: Path
) -> None:
    run("say_farewell", {"file": str(tmp_path / "farewell")}, time_limit=0.5)
    assert (tmp_path / "farewell").read_text() == "SIGTERM"


def test_a_job_that_ignores_sigterm_is_killed_after_a_grace(run: Run) -> None:
    outcome = run("hang", {"stubborn": True}, time_limit=0.3)
    assert failure(outcome)[0] is Reason.TIMEOUT
    assert 1.3 <= outcome.seconds < PATIENCE


def test_the_studys_deadline_ends_a_job(run: Run) -> None:
    outcome = run("hang", deadline=time.monotonic() + 0.3)
    assert failure(outcome) == (Reason.DEADLINE, "the study's time was up", False)
    assert outcome.seconds < PATIENCE


def test_after_the_deadline_no_job_starts(run: Run, tmp_path: Path) -> None:
    outcome = run("echo", deadline=time.monotonic() - 1)
    assert failure(outcome)[0] is Reason.DEADLINE
    assert not (tmp_path / "log.txt").exists()


def test_deadline_and_ticks_hold_while_the_server_still_imports(tmp_path: Path) -> None:
    (tmp_path / "slow_module.py").write_text("import time\ntime.sleep(60)\n")
    sys.path.insert(0, str(tmp_path))
    ticks: list[int] = []
    started = time.monotonic()
    try:
        with Workers(["slow_module"]) as workers:
            job = Job("worker_jobs:echo", {}, tmp_path / "log.txt")
            outcome = workers.run(job, deadline=started + 1, on_tick=lambda: ticks.append(1))
    finally:
        sys.path.remove(str(tmp_path))
    assert failure(outcome)[0] is Reason.DEADLINE
    assert len(ticks) >= 2
    assert time.monotonic() - started < PATIENCE


def test_the_server_goes_on_after_every_failure(run: Run) -> None:
    for job in ("crash", "run_out_of_memory", "fill_disk"):
        run(job)
    assert run("echo").value == {"got": {}}


# Interruptions


def test_on_tick_is_called_about_ten_times_a_second(run: Run) -> None:
    ticks: list[float] = []
    outcome = run("hang", time_limit=1.0, on_tick=lambda: ticks.append(time.monotonic()))
    assert 3 <= len(ticks) <= 10 * outcome.seconds + 2


def test_what_on_tick_raises_ends_the_job_and_goes_on(run: Run, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"

    class Cancelled(Exception):
        pass

    def cancel() -> None:
        if pid_file.exists() and pid_file.read_text():
            raise Cancelled

    with pytest.raises(Cancelled):
        run("hang", {"pid_file": str(pid_file)}, on_tick=cancel)
    assert not is_alive(int(pid_file.read_text()))
    assert run("echo").value == {"got": {}}


def test_a_killed_server_is_reported_and_replaced(run: Run, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"

    def kill_server() -> None:
        if pid_file.exists() and pid_file.read_text():
            zygote = parent_of(int(pid_file.read_text()))
            if name_of(zygote) == "tune-zygote":
                kill(zygote)

    outcome = run("hang", {"pid_file": str(pid_file)}, on_tick=kill_server)
    message = "the server of worker processes was killed"
    assert failure(outcome) == (Reason.KILLED, message, False)
    assert not is_alive(int(pid_file.read_text()))
    assert run("echo").value == {"got": {}}


def test_a_server_that_died_between_jobs_is_replaced_unnoticed(run: Run) -> None:
    value = run("facts").value
    assert value is not None
    for name in ("tune-zygote", "tune-guard"):
        for pid in [p for p in descendants_of(os.getpid()) if name_of(p) == name]:
            kill(pid)
        assert run("echo").value == {"got": {}}


# Nothing stays behind


def test_what_a_job_leaves_behind_is_killed(run: Run) -> None:
    outcome = run("leave_children_behind")
    assert outcome.value is not None
    assert [pid for pid in outcome.value["pids"] if is_alive(pid)] == []


HANG = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from tuner.execution.job import Job
from tuner.execution.workers import Workers
try:
    payload = {{"pid_file": sys.argv[1]}}
    Workers().run(Job("worker_jobs:hang_with_children", payload, Path(sys.argv[2])))
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A script that runs a hanging job, and a mark that all its processes have."""
    mark = uuid.uuid4().hex
    script = tmp_path / "script.py"
    script.write_text(HANG.format(here=HERE))
    pid_file = tmp_path / "pid"
    command = [sys.executable, str(script), str(pid_file), str(tmp_path / "log.txt")]
    with subprocess.Popen(
        command, env=os.environ | {"TEST_MARK": mark}, stdout=subprocess.PIPE, text=True
    ) as process:
        wait_until(lambda: pid_file.exists() and len(marked(mark)) >= 6)
        yield process, mark
        process.kill()


@pytest.mark.parametrize(
    "victims",
    [
        ("python",),
        ("python", "tune-zygote"),
        ("python", "tune-guard"),
        ("python", "tune-zygote", "tune-job"),
        ("python", "tune-guard", "tune-job"),
    ],
    ids="+".join,
)
def test_nothing_outlives_a_killed_coordinator(
    coordinator: tuple[subprocess.Popen[str], str], victims: tuple[str, ...]
) -> None:
    process, mark = coordinator
    names = {pid: name_of(pid) for pid in marked(mark)}
    names[process.pid] = "python"
    assert sorted(names.values()) == [
        "python", "sleep", "sleep", "tune-guard", "tune-job", "tune-zygote",
    ]  # fmt: skip
    for pid, name in names.items():
        if name in victims:
            kill(pid)
    process.wait()
    wait_until(lambda: not any(is_alive(pid) for pid in names))


FORKING = """
import os, sys, time
from pathlib import Path
from tuner.execution.workers import Workers
workers = Workers()
fork = os.fork()
if fork == 0:
    time.sleep(60)
Path(sys.argv[1]).write_text(str(fork))
time.sleep(60)
"""


def test_a_fork_of_the_coordinator_that_lives_on_keeps_nothing_alive(tmp_path: Path) -> None:
    script, mark, started = tmp_path / "script.py", uuid.uuid4().hex, tmp_path / "started"
    script.write_text(FORKING)
    command = [sys.executable, str(script), str(started)]
    with subprocess.Popen(command, env=os.environ | {"TEST_MARK": mark}) as process:
        wait_until(lambda: started.exists() and len(marked(mark)) == 4)
        process.kill()
    fork = int(started.read_text())
    try:
        wait_until(lambda: marked(mark) == [fork])
    finally:
        kill(fork)


def test_ctrl_c_ends_the_job_and_reaches_the_caller(
    coordinator: tuple[subprocess.Popen[str], str],
) -> None:
    process, mark = coordinator
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE)
    assert (output, process.returncode) == ("interrupted\n", 0)
    assert marked(mark) == []


LEAVING = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from tuner.execution.job import Job
from tuner.execution.workers import Workers
workers = Workers()
while True:
    workers.run(Job("worker_jobs:leave_children_behind", {{}}, Path(sys.argv[1])))
"""


def test_nothing_outlives_a_coordinator_killed_at_any_moment(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    script = tmp_path / "script.py"
    script.write_text(LEAVING.format(here=HERE))
    moments = random.Random(0)
    for _ in range(6):
        with subprocess.Popen(
            [sys.executable, str(script), str(tmp_path / "log.txt")],
            env=os.environ | {"TEST_MARK": mark},
        ) as process:
            time.sleep(moments.uniform(0.05, 0.6))
            process.kill()
        wait_until(lambda: marked(mark) == [])


def test_a_script_without_a_main_guard_runs_once(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {HERE!r})\n"
        "print('top')\n"
        "from pathlib import Path\n"
        "from tuner.execution.job import Job\n"
        "from tuner.execution.workers import Workers\n"
        "with Workers() as workers:\n"
        "    print(workers.run(Job('worker_jobs:echo', {}, Path('log.txt'))).value)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert (done.stdout, done.stderr) == ("top\n{'got': {}}\n", "")
