"""`tune export`: tables of a study into files and pipes."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

import pytest
from odd_studies import ALL_FAILED, FOREIGN, MIXED, write_odd_studies

from tuner.cli.main import main
from tuner.report.tables import TABLES


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "study.db"
    write_odd_studies(path)
    return path


class Command:
    """`tune export` with a database, in this process."""

    def __init__(
        self, db: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self._db, self._patch, self._capsys = db, patch, capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        self._patch.setattr(sys, "argv", ["tune", "export", *arguments, "--db", str(self._db)])
        with pytest.raises(SystemExit) as end:
            main()
        printed = self._capsys.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, printed.out, printed.err


@pytest.fixture
def export(
    database: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(database, monkeypatch, capsys)


def test_trials_go_to_the_terminal_as_csv(export: Command) -> None:
    code, out, err = export(MIXED)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert (code, err) == (0, "")
    assert [row["number"] for row in rows] == ["-1", "0", "1", "2", "3", "4", "5"]
    assert [row["role"] for row in rows] == ["baseline", *["trial"] * 6]
    assert rows[1]["metrics_latency"] == "0.03"
    assert rows[1]["on_front"] == "true"


@pytest.mark.parametrize("table", ["metrics", "front", "runs"])
def test_a_view_is_written_as_its_file_says(export: Command, table: str, tmp_path: Path) -> None:
    code, out, _ = export(FOREIGN, "--table", table, "-o", "deep/t.csv")
    assert (code, out) == (0, "wrote deep/t.csv\n")
    rows = list(csv.DictReader((tmp_path / "deep" / "t.csv").open(newline="")))
    assert rows
    assert {row["study"] for row in rows} == {FOREIGN}


def test_all_tables_go_into_a_folder(export: Command, tmp_path: Path) -> None:
    code, out, _ = export(ALL_FAILED, "--table", "all", "-o", "tables")
    assert code == 0
    assert "wrote 11 tables into tables/" in out
    assert {p.name for p in (tmp_path / "tables").iterdir()} == {f"{t}.csv" for t in TABLES}


def test_parquet_goes_into_files(export: Command, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow", reason="needs the extra `parquet`")
    assert export(MIXED, "-o", "t.parquet")[0] == 0
    frame = pandas.read_parquet(tmp_path / "t.parquet")
    assert list(frame["params_lora.targets"][1:3]) == ["16", "0.5"]
    assert export(MIXED, "--table", "all", "--format", "parquet", "-o", "all")[0] == 0
    assert len(list((tmp_path / "all").glob("*.parquet"))) == len(TABLES)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--table", "trails"], "did you mean 'trials'"),
        (["--table", "metrics", "-o", "t.xlsx"], "end it with .csv or .parquet"),
        (["--table", "all"], "-o FOLDER"),
        (["--format", "parquet"], "-o FILE.parquet"),
        (["-o", "."], "name a file in it"),
    ],
)
def test_a_mistake_says_what_would_work(
    export: Command, arguments: list[str], words: str, tmp_path: Path
) -> None:
    code, out, err = export(MIXED, *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_study_names_the_nearest(export: Command) -> None:
    code, _, err = export("mixed-type")
    assert code == 2
    assert "the nearest name is 'mixed-types'" in err


def test_without_pyarrow_it_says_what_to_install(
    export: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tuner.report.tables.is_installed", lambda name: False)
    code, _, err = export(MIXED, "-o", "t.parquet")
    assert code == 2
    assert "tuner[parquet]" in err
    assert list(tmp_path.iterdir()) == []
