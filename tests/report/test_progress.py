"""What a running study shows, from events alone."""

from __future__ import annotations

import io
import json

from rich.console import Console

from tuner.report.progress import JsonLines, Progress
from tuner.study.events import (
    Event,
    Failed,
    Judged,
    Measured,
    StageFinished,
    StudyStarted,
    Told,
    TrialAsked,
)

ESTIMATE = {
    "metric": "tpot",
    "statistic": "p50",
    "value": 0.0054,
    "low": 0.005,
    "high": 0.006,
    "unit": "s",
    "samples": 45,
}


def events() -> list[Event]:
    objective = {"text": "minimize tpot", "metric": "tpot", "statistic": None, "minimize": True}
    settings = {"trials": 2, "max_time": None}
    space = {"model": "pypi:some==1/model#sha256=00"}
    return [
        StudyStarted("mine", True, space, (objective,), (), settings, {}),
        TrialAsked(0, "trial", "k", {"lora": False, "builder.precision": "int4"}, ()),
        Measured(0, "latency", "dev", "k", False, 2.0, (ESTIMATE,), ()),
        Judged(0, "feasible", ()),
        Told(0, "complete", (0.0054,), (0,), 12.0),
        TrialAsked(1, "trial", "l", {"lora": True, "builder.precision": "int8"}, ()),
        Failed(1, "builder", "out_of_memory", "used 3.2 GB, the limit is 3 GB", True, None),
        Told(1, "infeasible", None, (0,), 3.0),
    ]


def shown(terminal: bool) -> str:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=80, color_system=None)
    with Progress(console) as progress:
        for event in events():
            progress(event)
    return stream.getvalue()


def test_plain_lines_say_what_was_tried_and_what_came_of_it() -> None:
    lines = shown(terminal=False).splitlines()
    assert lines[0] == "study        mine (continued)"
    assert lines[1] == "model        pypi:some==1/model"
    assert lines[4:7] == ["#0 *  feasible, 12 s", "    no lora precision=int4", "    tpot 5.40 ms"]
    assert "#1  failed in builder: used 3.2 GB, the limit is 3 GB, 3.0 s" in lines


def test_a_terminal_has_a_status_line_with_the_best_so_far() -> None:
    text = shown(terminal=True)
    assert "best #0 tpot 5.40 ms" in text
    assert "2/2 trials" in text


def test_every_event_is_a_json_line() -> None:
    stream = io.StringIO()
    listener = JsonLines(stream)
    for event in events():
        listener(event)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines][:2] == ["StudyStarted", "TrialAsked"]
    assert lines[2]["estimates"][0]["value"] == 0.0054


def test_what_a_pass_tells_of_its_result_is_shown_once() -> None:
    text = "12 of 400 texts were cut to 512 tokens (3.1 % of all tokens lost)"
    stream = io.StringIO()
    with Progress(Console(file=stream, width=80, color_system=None)) as progress:
        for number in (0, 1):
            progress(TrialAsked(number, "trial", "k", {}, ()))
            cost = (number == 1, 1.0, 1, None, None)  # the second finds the result in the store
            progress(StageFinished(number, 0, "lora", "lora", "k", *cost, notices=(text,)))
    assert " ".join(stream.getvalue().split()) == f"lora: {text}"
