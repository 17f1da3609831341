"""The page for those who come from Olive: its example is imported, its counts are counted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tuner.olive.coverage import Reach, by_group, by_reach, coverage
from tuner.olive.importing import import_olive
from tuner.olive.passes.names import PASSES

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data" / "olive-recipes"
PAGE = (ROOT / "docs" / "olive.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The page's config, as a file of the name that the page gives it."""
    [text] = blocks("json")
    path = tmp_path / "phi3-tones.json"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_pages_config_gives_the_pages_space(config: Path) -> None:
    assert import_olive(config).text == blocks("yaml")[0]


def test_the_pages_search_is_the_one_that_is_written(config: Path) -> None:
    shown = blocks("yaml")[1]
    written = import_olive(config, searchable=True).text
    pipeline = shown[: shown.index("  - session:")]  # which depends on the machine's cores
    assert pipeline in written
    assert shown[shown.index("metrics:") :] in written


def test_the_page_names_olives_passes_as_olive_does() -> None:
    table = PAGE.split("## Our passes beside Olive's")[1].split("### For vendors'")[0]
    rows = re.findall(r"^\| (.+?) \|", table, re.MULTILINE)[2:]
    named = {name for row in rows for name in re.findall(r"[A-Z]\w+", row)}
    shortened = {"AutoAWQ", "HQQ", "AutoRound"}  # what they are called beside passes
    parts = {"IoUpdate", "OptimumConversion", "Conversion", "Quantization"}
    assert named - shortened - parts <= set(PASSES)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the example recipes are not here")
def test_the_pages_counts_of_the_examples_are_true() -> None:
    """But for what depends on the machine: whether a device is here that is built for."""
    files = coverage(SHARED)
    counts = by_reach(files)
    for reach in (Reach.ELSEWHERE, Reach.CANNOT):
        assert re.search(rf"^\| \*\*{reach.value}\*\*.*\| {counts[reach]} \| \d+ \|$", PAGE, re.M)
    for reach, group, count in by_group(files):
        if reach in (Reach.ELSEWHERE, Reach.CANNOT):
            row = rf"^\| {reach.value} \| {re.escape(group)} \| {count} \| \d+ \|$"
            assert re.search(row, PAGE, re.MULTILINE), (reach, group, count)
