"""The trials as a data frame, and every table as CSV and Parquet."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from odd_studies import (
    ALL_FAILED,
    BASELINE_ONLY,
    HOSTILE,
    HOSTILE_TEXT,
    MIXED,
    NO_NUMBERS,
    NO_TRIAL,
    RUNNING,
    write_odd_studies,
)
from sqlalchemy import Engine
from stored_studies import Maker, Model

from tuner.report.tables import TABLES, TableError, guarded, table_of, write, write_csv
from tuner.study.api import Study
from tuner.study.database import open_engine
from tuner.study.frames import Kind
from tuner.study.reader import StudyReader
from tuner.study.schema import metadata


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    path = tmp_path_factory.mktemp("odd") / "study.db"
    write_odd_studies(path)
    engine = open_engine(str(path))
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = open_engine(str(tmp_path_factory.mktemp("made") / "study.db"))
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def reader(engine: Engine, made: Study) -> StudyReader:
    return StudyReader(engine)


@pytest.fixture(scope="module")
def made(engine: Engine) -> Study:
    """Two feasible trials that were confirmed, one infeasible, one that failed."""
    models = [
        Model(0.05, 0.8, held_out=0.78),
        Model(0.04, 0.7, held_out=0.69),
        Model(0.4, 0.9),
        Model(0.1, 0.5, state="failed"),
    ]
    return Maker(engine, ["latency<200ms"]).study(Model(0.2, 0.75), *models)


def frame_of(engine: Engine, name: str) -> pd.DataFrame:
    return Study(StudyReader(engine), name).trials_dataframe()


def csv_rows(engine: Engine, study: str, table: str) -> list[dict[str, str]]:
    stream = io.StringIO()
    write_csv(table_of(StudyReader(engine), study, table), stream)
    return list(csv.DictReader(io.StringIO(stream.getvalue())))


def test_a_frame_has_a_row_per_trial_and_a_type_per_column(made: Study) -> None:
    frame = made.trials_dataframe()
    assert list(frame["number"]) == [0, 1, 2, 3]
    kinds = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert kinds["number"] == "int64"
    assert kinds["on_front"] == kinds["chosen"] == "bool"
    assert kinds["started_at"] == kinds["finished_at"] == "datetime64[us, UTC]"
    assert kinds["metrics_latency"] == kinds["seconds"] == "float64"
    assert kinds["verdict"] == kinds["message"] == "str"
    assert frame.attrs["units"]["metrics_latency_low"] == "s"
    assert frame.attrs["units"]["confirmed_accuracy"] == "fraction"


def test_a_frame_holds_the_numbers_of_the_study(made: Study) -> None:
    frame = made.trials_dataframe().set_index("number")
    for trial in made.trials:
        row = frame.loc[trial.number]
        assert row["state"] == trial.row.state
        assert row["started_at"].timestamp() == pytest.approx(trial.row.started_at, abs=1e-5)
        for name in ("latency", "accuracy"):
            if name in trial.metrics:
                metric = trial.metrics[name]
                ends = [row[f"metrics_{name}{end}"] for end in ("", "_low", "_high")]
                assert ends == [metric.value, metric.low, metric.high]
        for name, value in trial.parameters.items():
            assert row[f"params_{name}"] == value
        for constraint in trial.constraints:
            assert row[f"violation_{constraint.text}"] == constraint.violation
    best = made.best
    assert best is not None
    assert list(frame.index[frame["chosen"]]) == [best.number]
    estimate = next(e for e in made.confirmations[0].estimates if e["metric"] == "accuracy")
    assert frame.loc[0, "confirmed_accuracy"] == estimate["value"]
    assert pd.isna(frame.loc[2, "confirmed_accuracy"])
    assert frame.loc[3, ["reason", "message", "failed_where"]].tolist() == [
        "error",
        "it broke",
        "genai_builder",
    ]


def test_the_baseline_comes_first_where_it_is_asked_for(made: Study) -> None:
    frame = made.trials_dataframe(baseline=True)
    assert list(frame["number"]) == [-1, 0, 1, 2, 3]
    assert list(frame["role"][:2]) == ["baseline", "trial"]
    assert made.baseline is not None
    assert frame["metrics_accuracy"][0] == made.baseline.metrics["accuracy"].value
    assert not math.isnan(frame["confirmed_accuracy"][0])


def test_a_parameter_of_several_types_is_text_that_is_read_back(odd: Engine) -> None:
    found = frame_of(odd, MIXED)["params_lora.targets"]
    assert list(found.drop(4)) == ["16", "0.5", "all-linear", '["q_proj", "v_proj"]', "true"]
    assert pd.isna(found[4])


@pytest.mark.parametrize("study", [NO_TRIAL, BASELINE_ONLY])
def test_a_study_without_trials_is_an_empty_frame_with_its_columns(odd: Engine, study: str) -> None:
    frame = frame_of(odd, study)
    assert len(frame) == 0
    assert {"number", "state", "verdict", "started_at"} <= set(frame.columns)
    assert str(frame["finished_at"].dtype) == "datetime64[us, UTC]"


def test_what_is_missing_is_missing_and_what_is_infinite_stays_so(odd: Engine) -> None:
    assert frame_of(odd, NO_NUMBERS)["metrics_latency"][0] == math.inf
    assert pd.isna(frame_of(odd, NO_NUMBERS)["metrics_accuracy"][0])
    running = frame_of(odd, RUNNING)
    assert pd.isna(running["finished_at"][1])
    assert pd.isna(running["verdict"][1])
    assert list(frame_of(odd, ALL_FAILED)["deterministic"]) == [True, False, True]


@pytest.mark.parametrize("table", TABLES)
def test_parquet_and_csv_hold_the_same(
    made: Study, reader: StudyReader, table: str, tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra `parquet`")
    write(table_of(reader, made.name, table), tmp_path / "t.parquet", "parquet")
    write(table_of(reader, made.name, table), tmp_path / "t.csv", "csv")
    stored = parquet.read_table(tmp_path / "t.parquet").to_pylist()
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        plain = list(csv.DictReader(file))
    assert len(stored) == len(plain)
    assert stored or table == "stages"  # a made-up study has none
    for one, other in zip(stored, plain, strict=True):
        assert list(one) == list(other)
        for name, value in one.items():
            if value is None:
                assert other[name] == ""
            elif isinstance(value, bool):
                assert other[name] == str(value).lower()
            elif isinstance(value, float):
                assert float(other[name]) == value
            elif isinstance(value, str):
                assert other[name] == guarded(value)


def test_the_wide_table_is_the_frame_with_the_baseline(
    made: Study, reader: StudyReader, tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow", reason="needs the extra `parquet`")
    write(table_of(reader, made.name, "trials"), tmp_path / "t.parquet", "parquet")
    stored = pd.read_parquet(tmp_path / "t.parquet")
    frame = made.trials_dataframe(baseline=True)
    assert list(stored.columns) == list(frame.columns)
    for name in ("number", "metrics_latency", "metrics_accuracy_high", "seconds"):
        pd.testing.assert_series_equal(stored[name], frame[name], check_dtype=False)
    assert list(stored["finished_at"]) == list(frame["finished_at"])


def test_every_column_of_a_view_has_the_kind_of_its_table(engine: Engine, made: Study) -> None:
    """A column that a later schema adds is not text by accident."""
    declared: dict[str, set[str]] = {}
    for stored in (c for t in metadata.sorted_tables for c in t.columns):
        declared.setdefault(stored.name, set()).add(str(stored.type))
    kinds = {"INTEGER": Kind.INTEGER, "BIGINT": Kind.INTEGER, "BOOLEAN": Kind.BOOLEAN}
    for table in TABLES[1:]:
        columns = table_of(StudyReader(engine), made.name, table).columns
        assert columns[0].name in ("study", "id")
        for column in columns:
            types = declared.get(column.name, set())
            if types <= kinds.keys() and types:
                assert column.kind in {kinds[t] for t in types}, (table, column)
            elif types and all(t.startswith("DOUBLE") for t in types):
                assert column.kind in (Kind.FLOAT, Kind.TIME), (table, column)
            elif types == {"TEXT"}:
                assert column.kind is Kind.TEXT, (table, column)


def test_what_a_spreadsheet_would_run_is_text_and_numbers_stay_numbers(odd: Engine) -> None:
    for cell in ("=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\n=1", "＝1+1"):
        assert guarded(cell) == f"'{cell}"
    for cell in ("-1", "+2.5", "-1e-3", "latency<50ms", "", "a=b"):
        assert guarded(cell) == cell
    values = [row["value"] for row in csv_rows(odd, HOSTILE, "params")]
    assert "'-1+1" in values
    assert f"{HOSTILE_TEXT}0" in values
    names = [row["study"] for row in csv_rows(odd, HOSTILE, "metrics")]
    assert set(names) == {f"'{HOSTILE}"}


def test_a_file_is_written_whole_or_not_at_all(
    made: Study, reader: StudyReader, tmp_path: Path
) -> None:
    target = tmp_path / "t.csv"
    target.write_text("before")
    table = table_of(reader, made.name, "metrics")

    def broken() -> Iterator[list[tuple[int, ...]]]:
        yield [(1,)]

    wrong = type(table)(table.name, table.columns, broken())
    with pytest.raises(ValueError, match="zip"):
        write(wrong, target, "csv")
    assert target.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]


def test_a_place_that_cannot_be_written_is_named(
    made: Study, reader: StudyReader, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(TableError, match=r"file/t\.csv cannot be written"):
        write(table_of(reader, made.name, "runs"), tmp_path / "file" / "t.csv", "csv")
