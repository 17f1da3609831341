"""What a one-shot command made, as a person reads it: before and now, where it is, what is next.

Reads a `Study` with one candidate and the folder of its answer; decides nothing.
"""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import asdict

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from search_spaces.kinds import ENCODER, kind_of_folder
from search_spaces.sources import MODEL_FOLDER, SourceError, source_format
from search_spaces.units import format_quantity
from tuner.report.answer import WIDTH, asked_metrics, floor_lines
from tuner.report.words import duration, interval_text, plural
from tuner.study.api import Study, Trial
from tuner.study.events import BASELINE

TEST_MODEL = "a test with random weights: no number of quality means anything"

_FORMATS = {
    "hf": "a transformers checkpoint",
    "quantized": "a transformers checkpoint of packed weights",
    "adapter": "a peft adapter",
    "genai": "an ONNX Runtime GenAI model",
    "onnx": "an ONNX model with its tokenizer",
}


def is_test(study: Study) -> bool:
    """Whether the study's model is a stand-in."""
    return bool(study.info.space.get("test_model"))


def print_made(console: Console, study: Study) -> None:
    """The numbers of the only candidate beside those of the model that came in, and its place."""
    made = study.best
    assert made is not None, "there is nothing to show where nothing was made"
    console.print(_table(study, made))
    notes = [*floor_lines(study), *_missed(made), *_faults(study, made)]
    if is_test(study):
        notes.append(TEST_MODEL)
    for note in notes:
        for row in textwrap.wrap(note, WIDTH - 1, subsequent_indent="  ", break_on_hyphens=False):
            console.print(Text(row))
    for name, text in _fields(study):
        console.print(Text(f"{name:<7}{text}"), soft_wrap=True)


def _table(study: Study, made: Trial) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("", "before", "now (95 % interval)"):
        table.add_column(title)
    for name in asked_metrics(study):
        metric = made.metrics.get(name)
        now = "-" if metric is None else interval_text(asdict(metric))
        table.add_row(name, _before(study, name), now)
    return table


def _before(study: Study, name: str) -> str:
    metric = None if study.baseline is None else study.baseline.metrics.get(name)
    if metric is None or metric.value is None:
        return "-"
    return format_quantity(metric.value, metric.unit)


def _missed(made: Trial) -> Iterator[str]:
    for constraint in made.constraints:
        if constraint.verdict != "feasible":
            yield f"warning: {constraint.text} is {constraint.verdict}"


def _faults(study: Study, made: Trial) -> Iterator[str]:
    """Why its answers are worth nothing, where they are; and whether they were before."""
    if is_test(study):
        return
    before = {row.evaluator for row in study.measurements.get(BASELINE, ()) if _found(row.detail)}
    for row in study.measurements.get(made.number, ()):
        for fault in _found(row.detail)[:1]:
            since = "; so was the model that came in" if row.evaluator in before else ""
            yield f"warning: {row.evaluator}: {fault}{since}"


def _found(detail: tuple[object, ...]) -> list[str]:
    return [f for one in detail if isinstance(one, dict) for f in one.get("faults") or ()]


def _fields(study: Study) -> Iterator[tuple[str, str]]:
    stages = study.stages()
    reused = sum(stage.cached for stage in stages)
    took = f"{duration(study.seconds)} in all"
    took += f", {reused} of {plural(len(stages), 'stage')} reused" if reused else ""
    if study.output is None:
        yield "study", f"{study.name}, {took}"
        return
    model = study.output / MODEL_FOLDER
    try:
        form = source_format(model)
    except SourceError:
        form = "hf"
    yield "made", f"{model}  ({_FORMATS[form]})"
    yield "next", _next(study, form, encodes=kind_of_folder(model) == ENCODER)
    yield "study", f"{study.name}, {took}; report: {study.output / 'report.html'}"


def _next(study: Study, form: str, *, encodes: bool) -> str:
    """One line that does something with it."""
    place = shlex.quote(str(study.output))
    if form == "genai":
        return f"tune generate {place} --prompt 'Hello'"
    if form == "adapter":
        base = shlex.quote(str(study.info.space["model"]))
        return f"tune optimize --model {base} --adapter {place} --device cpu"
    if form == "onnx" or encodes:
        return f"tune package {place} -o model.zip"
    return f"tune optimize --model {place} --device cpu   (builds it for ONNX Runtime)"
