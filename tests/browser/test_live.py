"""A report that loads itself anew, as its reader sees it: from a file, without a server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser_watch import Watch
from shown_studies import write_studies

from tuner.report.page.live import report_page
from tuner.report.page.render import write
from tuner.study.database import open_engine
from tuner.study.reader import StudyReader

if TYPE_CHECKING:
    from playwright.sync_api import Page

QUICKLY = 1.0  # seconds
_IDLE = 15_000  # ms; it waits for a reader's hands to rest


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudyReader]:
    path = tmp_path_factory.mktemp("live") / "study.db"
    write_studies(path, ["mine"])
    engine = open_engine(str(path))
    yield StudyReader(engine)
    engine.dispose()


@pytest.fixture(scope="module")
def running(reader: StudyReader) -> str:
    """The page of a study that runs."""
    return report_page(reader, "mine", QUICKLY)


@pytest.fixture(scope="module")
def over(reader: StudyReader) -> str:
    """The page of a study that is over."""
    return report_page(reader, "mine", None)


def _retitled(page: str, title: str) -> str:
    """The page with something that can be told from outside the scripts."""
    return re.sub(r"<title>.*?</title>", f"<title>{title}</title>", page, count=1, flags=re.S)


def _await_title(page: Page, title: str) -> None:
    page.wait_for_function("(title) => document.title === title", arg=title, timeout=_IDLE)


def test_it_takes_up_where_its_reader_was_and_ends_with_the_study(
    page: Page, seen: Watch, tmp_path: Path, running: str, over: str
) -> None:
    path = tmp_path / "report.html"
    write(path, _retitled(running, "first"))
    page.goto(path.as_uri())
    page.locator("#trials-text").fill("int8")
    page.locator("#trials-state").select_option("complete")
    page.locator("#trials th button").first.click()
    page.locator("#front details").first.evaluate("(d) => { d.open = true; }")
    rows = page.locator("#trials tbody tr:visible").count()
    page.evaluate("scrollTo(0, 700)")
    before = page.evaluate("scrollY")

    write(path, _retitled(running, "second"))
    _await_title(page, "second")
    page.wait_for_timeout(600)
    assert page.locator("#trials-text").input_value() == "int8"
    assert page.locator("#trials-state").input_value() == "complete"
    assert page.locator("#trials th").first.get_attribute("aria-sort") in (
        "ascending",
        "descending",
    )
    assert page.locator("#front details").first.evaluate("(d) => d.open")
    assert page.locator("#trials tbody tr:visible").count() == rows
    assert page.evaluate("scrollY") == before > 0

    write(path, _retitled(over, "third"))
    _await_title(page, "third")
    page.wait_for_timeout(600)
    assert page.locator("#trials-text").input_value() == "int8"
    assert page.evaluate("scrollY") == before
    assert page.locator("#live-note").count() == 0
    assert seen.outside == []
    assert seen.errors == []


def test_its_reader_may_hold_it_still(page: Page, tmp_path: Path, running: str) -> None:
    path = tmp_path / "report.html"
    write(path, _retitled(running, "first"))
    page.goto(path.as_uri())
    page.get_by_role("button", name="Hold still").click()
    write(path, _retitled(running, "second"))
    page.wait_for_timeout(3000)
    assert page.title() == "first"
    page.get_by_role("button", name="Follow").click()
    _await_title(page, "second")
