"""Every figure of a report can be traced: its SQL over the public views gives it again.

What is worked out is worked out once more from the rows that its SQL gives.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import SPACE
from odd_studies import write_odd_studies
from sqlalchemy import Engine
from stored_studies import Maker, Model, random_models
from study.postgres import postgres, postgres_url  # noqa: F401  # fixtures
from study.scripted_study import Script

import tuner
from tuner.report.page.collect import collect
from tuner.report.page.collect_quality import read_detail
from tuner.report.page.document import Cell, Column, Document, Figure, Series, to_json
from tuner.report.page.figures import at_number, text_of
from tuner.report.page.self_check import halves, holds_one, pooled_ratio, self_ratios
from tuner.report.why import reasons
from tuner.review.shortfall import shortfall_of
from tuner.study.api import Study
from tuner.study.database import open_engine
from tuner.study.reader import StudyReader
from tuner.study.writer import StudyWriter

HOSTILE = 'it\'s :number </script> \U0001f600 100% \\ "q"'

# Of these every figure is worked out again by a test of its own.
ELSEWHERE = {
    "tuner.report.why.reasons",
    "tuner.review.shortfall.shortfall_of",
    "tuner.report.page.self_check.self_ratios",
    "tuner.report.page.self_check.pooled_ratio",
}


@dataclass
class Report:
    """A study's document, and the database that it was collected from."""

    reader: StudyReader
    name: str

    @cached_property
    def document(self) -> Document:
        return collect(Study(self.reader, self.name), self.reader)

    def figures(self) -> list[Figure]:
        return [found for found in walk(self.document) if isinstance(found, Figure)]

    def first(self, sql: str) -> tuple[Any, ...]:
        return self.reader.rows(sql)[0]


def walk(value: Any) -> Iterator[Any]:
    """Every dataclass within a document, whatever its sections are."""
    if isinstance(value, tuple):
        for item in value:
            yield from walk(item)
    elif is_dataclass(value) and not isinstance(value, type):
        yield value
        for name in (f.name for f in fields(value)):
            yield from walk(getattr(value, name))


def fill(engine: Engine, trials: int = 50) -> dict[str, str]:
    """Studies with something of everything; what is asked for -> the study's name."""
    events = Script(trials, HOSTILE).events()
    with StudyWriter(engine, HOSTILE) as writer:
        writer(next(events))
        with writer.batch():
            for event in events:
                writer(event)
    held_out = [Model(0.03, 0.8, held_out=0.8), Model(0.05, 0.9, held_out=0.85)]
    limits = ("latency<70ms", "accuracy>=baseline-2%")
    Maker(engine, limits, name="chosen").study(Model(0.1, 0.8), *held_out, *random_models(3, 10))
    Maker(engine, ("latency<5ms", "accuracy>=0.5"), name="priced").study(
        Model(0.1, 0.8), *random_models(4, 8)
    )
    return {"scripted": HOSTILE, "chosen": "chosen", "priced": "priced"}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Report]]:
    folder = tmp_path_factory.mktemp("traces")
    engine, odd = open_engine(str(folder / "study.db")), folder / "odd.db"
    names = fill(engine)
    found = {key: Report(StudyReader(engine), name) for key, name in names.items()}
    odd_names = write_odd_studies(odd)
    odd_engine = open_engine(str(odd))
    found |= {f"odd {n}": Report(StudyReader(odd_engine), name) for n, name in enumerate(odd_names)}
    toy = ran(folder)
    found["real"] = Report(StudyReader(toy), StudyReader(toy).studies()[0].name)
    yield found
    for used in (engine, odd_engine, toy):
        used.dispose()


def ran(folder: Path) -> Engine:
    """The database of a study that really ran, on the toy passes."""
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    (folder / "model" / "model.safetensors").write_bytes(b"weights")
    (folder / "space.yaml").write_text(SPACE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("TOY_COUNTER", raising=False)
        tuner.tune("space.yaml", trials=8, store="store", db=str(folder / "toy.db"))
    return open_engine(str(folder / "toy.db"))


def test_every_figure_is_what_its_sql_gives(reports: dict[str, Report]) -> None:
    checked = {key: check_figures(report) for key, report in reports.items()}
    assert checked["scripted"] > 200
    assert checked["chosen"] > 60
    assert checked["real"] > 60


def check_figures(report: Report) -> int:
    plain = [f for f in report.figures() if f.computed is None]
    for figure in plain:
        row = report.first(figure.source)
        assert len(row) in (1, 3), figure
        low, high = row[1:] if len(row) == 3 else (None, None)
        assert same((row[0], low, high), (figure.value, figure.low, figure.high)), figure
        assert figure.text == text_of(figure.form, figure.unit, figure.value, low, high), figure
    return len(plain)


def same(found: tuple[Any, ...], shown: tuple[Any, ...]) -> bool:
    """Equal, sums up to the order of their terms; NULL where nothing is shown."""
    return all(
        (a is None and b is None) or (None not in (a, b) and a == pytest.approx(b, rel=1e-9))
        for a, b in zip(found, shown, strict=True)
    )


def test_every_cell_of_the_tables_is_what_its_columns_sql_gives(
    reports: dict[str, Report],
) -> None:
    checked = sum(check_cells(report) for report in reports.values())
    assert checked > 1000


def check_cells(report: Report) -> int:
    table, checked = report.document.trials, 0
    assert table.columns[0].name == "number"
    for row in table.rows:
        assert row[0] is not None
        for column, cell in zip(table.columns, row, strict=True):
            if column.source is not None:
                checked += check_cell(report, column, column.source, int(str(row[0].value)), cell)
    for point in report.document.front.points:
        for axis, cell in zip(report.document.front.axes, point.values, strict=True):
            column = Column(axis.name, axis.label, "metric", axis.unit, axis.form)
            checked += check_cell(report, column, axis.source, point.number, cell)
    return checked


def check_cell(report: Report, column: Column, source: str, number: int, cell: Cell | None) -> int:
    rows = report.reader.rows(at_number(source, number))
    row = rows[0] if rows else (None,)
    if cell is None:
        assert row[0] is None, (column, number)
        return 0
    if column.kind == "decision" and not column.numeric:
        assert rows, (column, number)  # the database has it as text, the page as one reads it
        return 0
    if isinstance(cell.value, (bool, str)):
        assert cell.value == (bool(row[0]) if column.kind == "flag" else row[0])
        return 1
    low, high = row[1:] if len(row) == 3 else (None, None)
    assert same((row[0], low, high), (cell.value, cell.low, cell.high)), (column, number)
    if column.form:
        assert isinstance(cell.value, (int, float))
        assert cell.text == text_of(column.form, column.unit, cell.value, low, high)
    return 1


def test_every_series_is_what_its_sql_gives(reports: dict[str, Report]) -> None:
    for report in reports.values():
        for series in (s for s in walk(report.document) if isinstance(s, Series)):
            shown = [(p.number, p.at, p.value) for p in series.points]
            assert report.reader.rows(series.source) == shown
            assert [p.text for p in series.points] == [
                text_of(series.form, series.unit, p.value) for p in series.points
            ]
    assert len(reports["scripted"].document.progress.best[0].points) > 1


def test_what_is_computed_from_rows_comes_out_again(reports: dict[str, Report]) -> None:
    names: set[str] = set()
    for report in reports.values():
        for figure in (f for f in report.figures() if f.computed is not None):
            assert figure.computed is not None
            names.add(figure.computed)
            module, _, name = figure.computed.rpartition(".")
            function = getattr(importlib.import_module(module), name)
            rows = report.reader.rows(figure.source)
            assert rows or not figure.value, figure
            if figure.computed not in ELSEWHERE:
                found = function(rows)
                shown = (figure.value, figure.low, figure.high)
                assert same((found.value, found.low, found.high), shown), figure
            ends = (figure.value, figure.low, figure.high)
            assert figure.text == text_of(figure.form, figure.unit, *ends)
    assert names >= {*ELSEWHERE, "tuner.report.page.change.paired_gap"}


def test_effects_are_those_of_the_rows_that_their_sql_gives(reports: dict[str, Report]) -> None:
    for key in ("chosen", "scripted", "real"):
        report = reports[key]
        study = Study(report.reader, report.name)
        for shown, found in zip(report.document.effects, reasons(study), strict=True):
            changes = [e.change for e in shown.effects if e.change is not None]
            again = [e for e in found.analysis.effects if e.change is not None]
            assert [(c.value, c.low, c.high) for c in changes] == [
                (e.change, e.low, e.high) for e in again
            ]
            numbers = {row[0] for row in report.reader.rows(shown.results.source)}
            measured = {t.number for t in study.trials if shown.metric in t.metrics}
            assert numbers == {n for n in measured if study.trials[n].parameters}
    assert any(e.change for m in reports["chosen"].document.effects for e in m.effects)


def test_prices_are_those_that_are_worked_out_from_the_study(reports: dict[str, Report]) -> None:
    report = reports["priced"]
    shown = [p for found in report.document.answer.prices for p in found.prices]
    bindings = shortfall_of(Study(report.reader, report.name)).bindings
    again = [p for binding in bindings for p in binding.prices]
    assert [(p.number, p.relaxation.value) for p in shown] == [
        (p.trial.number, p.relaxation) for p in again
    ]
    assert shown


def test_the_self_check_comes_out_of_the_raw_measurements(reports: dict[str, Report]) -> None:
    report = reports["chosen"]
    check = report.document.quality.check
    assert check.share is not None
    sessions = halves(read_detail(report.reader.rows(check.share.source)), check.metric)
    ratios = self_ratios(sessions)
    assert [(c.ratio.value, c.ratio.low, c.ratio.high) for c in check.comparisons] == [
        (r.value, r.low, r.high) for r in ratios
    ]
    assert check.share.value == sum(map(holds_one, ratios)) / len(ratios)
    assert check.compared == len(ratios)
    together = pooled_ratio(sessions)
    assert check.pooled is not None
    assert (check.pooled.value, check.pooled.low) == (together.value, together.low)


def test_blocks_are_those_of_the_raw_measurements(reports: dict[str, Report]) -> None:
    report, checked = reports["chosen"], 0
    for measured in report.document.quality.measured:
        detail = json.loads(report.first(measured.source)[0])
        for session, raw in zip(measured.sessions, detail, strict=True):
            blocks = raw["samples"][measured.metric]
            assert [list(b.values) for b in session.blocks] == blocks
            checked += len(blocks)
    assert checked > 10


def test_a_column_is_traced_in_a_study_whose_name_looks_like_a_place_holder() -> None:
    source = f"SELECT state FROM tuner_trials WHERE study = '{HOSTILE}' AND number = :number"
    assert at_number(source, 7).endswith("AND number = 7")
    assert HOSTILE in at_number(source, 7)


def test_a_report_is_plain_data(reports: dict[str, Report]) -> None:
    for report in reports.values():
        text = json.dumps(to_json(report.document), allow_nan=False)
        assert json.loads(text)["head"]["study"] == report.name


def test_figures_of_postgresql_can_be_traced_too(postgres_url: str) -> None:  # noqa: F811
    engine = open_engine(postgres_url)
    try:
        for name in fill(engine, trials=15).values():
            report = Report(StudyReader(engine), name)
            assert check_figures(report) > 30
            assert check_cells(report) > 20
            for series in (s for s in walk(report.document) if isinstance(s, Series)):
                shown = [(p.number, p.at, p.value) for p in series.points]
                assert [(n, a, float(v)) for n, a, v in report.reader.rows(series.source)] == shown
    finally:
        engine.dispose()
