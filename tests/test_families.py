"""The table of model families and passes: that the check finds what is so, and the page is fresh.

The whole table takes minutes (benchmarks/families.py); here a part of it is run.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from search_spaces.data import DataSpec
from search_spaces.kinds import CAUSAL, ENCODER
from tuner.execution.workers import Workers
from tuner.passes import all_passes

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "benchmarks"))

import families  # noqa: E402  # found on the path set above
import family_table  # noqa: E402
from families import Bench, Cell  # noqa: E402
from family_chains import Column, columns  # noqa: E402
from family_models import FAMILIES  # noqa: E402

# Quantisers that these chains do not use cost seconds to import.
UNUSED = {"auto_round", "neural_compressor.torch.quantization"}
PRELOAD = [*(name for name in families.PRELOAD if name not in UNUSED), families.CHECK]
AGAIN = "run `python benchmarks/families.py`"


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return (ROOT / "docs" / "families.md").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers(PRELOAD) as started:
        yield started


def column(kind: str, title: str) -> Column:
    return next(c for c in columns(kind) if str(c.subject) == title)


def rows(text: list[str]) -> list[list[str]]:
    """The cells of every row of every table, without the lines between."""
    tables = [[cell.strip() for cell in line[1:-1].split("|")] for line in text if line[:1] == "|"]
    return [row for row in tables if set(row) != {"---"}]


@pytest.mark.parametrize(
    ("kind", "family", "title", "answer", "reason"),
    [
        (CAUSAL, "Qwen 2", "genai_builder (int4)", "yes", ""),
        (CAUSAL, "Gemma", "genai_builder (fp32)", "yes", ""),
        (CAUSAL, "GPT-2", "drop_layers", "torch", "builder does not know GPT2LMHeadModel"),
        (CAUSAL, "GPT-2", "genai_builder (fp32)", "no", "builder does not know GPT2LMHeadModel"),
        (ENCODER, "RoBERTa", "dynamic_int8", "yes", ""),
        (ENCODER, "DistilBERT", "onnx_export (torchscript)", "yes", ""),
    ],
)
def test_a_cell_says_whether_a_pass_works_on_a_family(
    kind: str,
    family: str,
    title: str,
    answer: str,
    reason: str,
    workers: Workers,
    tones: DataSpec,
    tmp_path: Path,
) -> None:
    bench = Bench(workers, tmp_path, kind, tones)
    bench.write(FAMILIES[kind][family])
    cell = bench.cell(column(kind, title))
    assert cell.answer == answer, cell.reason
    assert reason in cell.reason
    assert bool(reason) == bool(cell.reason)
    if answer == "yes":
        assert cell.cosine is not None
        assert cell.cosine > 0.5


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> DataSpec:
    return families.tones(tmp_path_factory.mktemp("tones"))


def test_a_model_that_computes_something_else_is_not_taken_for_one_that_works(
    workers: Workers, tones: DataSpec, tmp_path: Path
) -> None:
    bench = Bench(workers, tmp_path, CAUSAL, tones)
    bench.write(FAMILIES[CAUSAL]["Qwen 2"])
    built = bench.folder / "other"
    payload = {"config": dict(FAMILIES[CAUSAL]["Qwen 3"]), "folder": str(built)}
    bench.run("transformers", "family_check:write_model", payload)
    steps = column(CAUSAL, "genai_builder (fp32)").steps
    model = bench.make(steps)
    for path in built.glob("*"):  # the source is now another model than the one that was built
        (bench.folder / "source" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(families.Wrong, match="not as PyTorch does"):
        bench.check(steps, model)


def test_equal_reasons_have_one_number_and_are_written_once() -> None:
    cells = {
        "First": [Cell("no", "lib: cannot <x>"), Cell("yes")],
        "Second": [Cell("torch", "other"), Cell("no", "lib: cannot <x>")],
    }
    text = family_table.page({CAUSAL: (["a", "b"], cells)})
    assert rows(text.splitlines())[1:] == [
        ["First", "no (1)", "yes"],
        ["Second", "torch (2)", "no (1)"],
    ]
    assert text.count("lib: cannot &lt;x>") == 1


def test_the_page_has_every_family_and_every_pass_that_transforms_models(lines: list[str]) -> None:
    for kind, heading in family_table.HEADINGS.items():
        start = lines.index(f"## {heading}")
        end = next(i for i, line in enumerate(lines) if i > start and line.startswith("## "))
        header, *found = rows(lines[start:end])
        assert header[1:] == [str(c.subject) for c in columns(kind)], AGAIN
        assert [row[0] for row in found] == list(FAMILIES[kind]), AGAIN
        for row in found:
            assert all(re.fullmatch(r"(yes|torch|no|-)( \(\d+\))?", cell) for cell in row[1:])


def test_every_pass_of_this_package_has_a_column() -> None:
    tested = {c.subject.name for kind in FAMILIES for c in columns(kind)}
    ours = {n for n, p in all_passes().items() if type(p).__module__.startswith("tuner.")}
    assert tested == ours


def test_the_page_explains_every_cell_that_is_not_a_plain_yes(lines: list[str]) -> None:
    text = "\n".join(lines)
    for part in text.split("\n## ")[1:]:
        inside = part.splitlines()
        table = rows(inside)
        numbers = {n for row in table for cell in row for n in re.findall(r" \((\d+)\)$", cell)}
        assert numbers == {n for line in inside for n in re.findall(r"^(\d+)\. \S", line)}
        for row in table:
            assert not {"no", "torch", "-"} & set(row[1:]), "an answer without a reason"
    assert "/tmp" not in text
    assert "Traceback" not in text
