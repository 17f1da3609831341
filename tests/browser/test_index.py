"""The page of all nights of a sweep, as its reader sees it: from a file, without a server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser_watch import Watch
from made_nights import QUIET, accuracy, anchor, entry, latency, night, watched

from tuner.sweep.judging import judge
from tuner.sweep.outputs import write_index, write_night
from tuner.sweep.records import REFERENCE, TONIGHT, Night, Rules
from tuner.sweep.records import write_night as write_record

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = "<img src=x onerror=alert(1)>\"'</style><script>alert(1)</script> 🎉"
PHONE = {"width": 390, "height": 800}
CONTRAST = """() => {
  const light = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).map((v) => { v /= 255;
    return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const back = light(getComputedStyle(document.body).backgroundColor);
  const found = [...document.querySelectorAll("td, th, p, h1, a, span, div.soft, figcaption")];
  return Math.min(...found.map((e) => { const ink = light(getComputedStyle(e).color);
    return (Math.max(ink, back) + 0.05) / (Math.min(ink, back) + 0.05); })); }"""


def a_night(number: int, ratio: float, *others: str) -> Night:
    label = TONIGHT if number == 1 else REFERENCE
    metrics = (latency(ratio), accuracy([1, 1, 0, 1] * 40))
    made = watched(*metrics, label=label, anchors=[anchor(QUIET)])
    entries = [entry(made, name=name) for name in ("minilm", "smollm2", HOSTILE, *others)]
    return night(*entries, name=f"n{number}")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six nights, the last of them with a regression."""
    folder = tmp_path_factory.mktemp("nightly")
    nights: list[Night] = []
    for number, ratio in enumerate((0.5, 0.51, 0.5, 0.49, 0.5, 0.95), start=1):
        reference = nights[-1] if nights else None
        one = a_night(number, ratio)
        comparison = judge(one, reference, Rules(), nights)
        nights.append(replace(one, verdict=comparison.verdict))
        write_record(folder / one.name, nights[-1])
        write_night(folder / one.name, nights[-1], comparison, nights)
    write_index(folder)
    return folder


def test_the_index_shows_every_night_and_follows_links_to_its_files(
    page: Page, results: Path, seen: Watch
) -> None:
    page.goto((results / "index.html").as_uri())
    assert page.locator("tbody tr").count() == 6
    assert "regression" in page.locator("tbody tr").first.inner_text()
    assert page.locator("svg[role=img]").count() == 3
    for link in page.locator("a").all():
        assert (results / (link.get_attribute("href") or "none")).is_file()
    assert seen.errors == []
    assert seen.outside == []


def test_names_that_are_markup_are_shown_and_do_nothing(
    page: Page, results: Path, seen: Watch
) -> None:
    page.goto((results / "index.html").as_uri())
    assert HOSTILE in page.locator("thead").inner_text()
    assert page.locator("img, script").count() == 0
    assert seen.executed == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_the_page_is_as_wide_as_the_screen_and_readable(
    browser: Browser, results: Path, scheme: str
) -> None:
    options = {"viewport": PHONE, "color_scheme": scheme}
    context = browser.new_context(**options)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto((results / "index.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.evaluate(CONTRAST) >= 4.5
    context.close()


def test_the_table_can_be_reached_and_scrolled_by_keyboard(page: Page, results: Path) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto((results / "index.html").as_uri())
    table = page.get_by_role("region", name="Every night")
    table.focus()
    for _ in range(50):  # a page that was opened just now may miss a key
        page.keyboard.press("ArrowRight")
        if table.evaluate("e => e.scrollLeft") > 0:
            return
        page.wait_for_timeout(100)
    pytest.fail("the arrow keys do not scroll the table")
