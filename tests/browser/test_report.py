"""The report in a real browser: what a reader sees, does, prints, and what hostile names cannot."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser_watch import Watch
from odd_studies import (
    ALL_FAILED,
    HOSTILE,
    HOSTILE_TEXT,
    NO_TRIAL,
    NOTHING_FITS,
    RUNNING,
    write_odd_studies,
)
from sample_document import document

from tuner.report.page.collect import collect
from tuner.report.page.render import render, write
from tuner.study.api import Study
from tuner.study.database import open_engine
from tuner.study.reader import StudyReader

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PHONE: Any = {"width": 390, "height": 844}
ODD = (NO_TRIAL, ALL_FAILED, NOTHING_FITS, RUNNING, HOSTILE)
RUNS = "script run by a name"
ATTACK = f"<img src=x onerror=\"alert('{RUNS}')\"><script>alert('{RUNS}')</script>"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a report of 24 trials."""
    return put(tmp_path_factory.mktemp("report"), render(document()))


@pytest.fixture(scope="module")
def opened(browser: Browser, report: str) -> Iterator[Page]:
    """The report with all plots drawn: opened once for the tests that only read."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(report)
    draw_all(page)
    yield page
    context.close()


@pytest.fixture
def reading(opened: Page) -> Page:
    """The open report as it is at first: nothing filtered, no trial open, sources off."""
    opened.set_viewport_size({"width": 1280, "height": 800})
    if opened.locator("#trial-dialog").is_visible():
        opened.locator("#trial-close").click()
    if opened.locator("#sources").get_attribute("aria-pressed") == "true":
        opened.locator("#sources").click()
    for field in ("#trials-state", "#trials-verdict"):
        opened.locator(field).select_option("")
    opened.locator("#trials-text").fill("")
    number = opened.locator("#trials-table thead th").first
    while number.get_attribute("aria-sort") != "ascending":
        number.locator("button").click()
    opened.evaluate("document.activeElement.blur(); scrollTo({top: 0, behavior: 'instant'})")
    return opened


def put(folder: Path, page: str) -> str:
    path = folder / "report.html"
    write(path, page)
    return path.as_uri()


def shown(page: Page, selector: str) -> bool:
    """Whether an element lies on the first screen with all of its height."""
    box = page.locator(selector).first.bounding_box()
    size = page.viewport_size
    assert size is not None
    return box is not None and box["y"] >= 0 and box["y"] + box["height"] <= size["height"]


def draw_all(page: Page) -> None:
    """Draw every plot now, as if each had been scrolled to."""
    page.evaluate("() => document.querySelectorAll('[data-plot]').forEach(draw)")


def column(page: Page, index: int) -> list[str]:
    cells = page.locator(f"#trials-table tbody tr > :nth-child({index})")
    return [text.strip() for text in cells.all_text_contents()]


def test_nothing_leaves_the_machine_and_nothing_goes_wrong(
    page: Page, seen: Watch, report: str
) -> None:
    page.goto(report)
    draw_all(page)
    assert seen.errors == []
    assert seen.fetched == [report]


@pytest.mark.parametrize("size", [{"width": 1280, "height": 800}, PHONE])
def test_the_first_screen_is_the_answer(reading: Page, size: Any) -> None:
    reading.set_viewport_size(size)
    for selector in ("h1", "#answer h2", ".pipeline", ".asked", "#answer a[href='#use']"):
        assert shown(reading, selector), selector
    assert "confirmed" in reading.locator(".asked").inner_text()


@pytest.mark.parametrize("width", [320, 390, 820, 1440])
def test_the_page_never_scrolls_sideways(reading: Page, width: int) -> None:
    reading.set_viewport_size({"width": width, "height": 800})
    reading.wait_for_timeout(200)  # plots follow the window with a delay
    assert reading.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", [ATTACK, HOSTILE, HOSTILE_TEXT])
def test_hostile_names_are_shown_and_execute_nothing(
    page: Page, seen: Watch, tmp_path: Path, name: str
) -> None:
    page.goto(put(tmp_path, render(document(name, value=name))))
    draw_all(page)
    page.locator("#plot-front").focus()
    page.keyboard.press("ArrowRight")
    page.locator("#parallel-only").select_option(index=1)
    page.locator("#trials-table tbody tr").first.click()
    page.locator("#trial-dialog").wait_for()
    page.locator("#trial-close").click()
    page.locator("#sources").click()
    page.locator("#answer .figure").first.click()
    assert page.locator("h1").text_content() == name
    assert name in page.locator("#trials-table").all_text_contents()[0]
    assert seen.executed == []
    assert seen.errors == []
    assert len(seen.fetched) == 1


def test_script_that_is_put_into_the_page_does_not_run(page: Page, report: str) -> None:
    page.goto(report)
    page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.got = 1';"
        "document.body.append(s); document.body.insertAdjacentHTML('beforeend',"
        "'<button id=trap onclick=\"window.got = 1\">x</button>');"
        "document.getElementById('trap').click(); }"
    )
    assert page.evaluate("window.got") is None


def test_a_heading_sorts_by_its_column_and_says_so(reading: Page) -> None:
    page = reading
    head = page.locator("#trials-table thead th", has_text="latency")
    assert head.get_attribute("aria-sort") == "none"
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    found = [float(text.split()[0]) for text in column(page, 8) if text]
    assert found == sorted(found)
    assert column(page, 8)[-1] == ""
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    found = [float(text.split()[0]) for text in column(page, 8) if text]
    assert found == sorted(found, reverse=True)
    assert column(page, 8)[-1] == ""


def test_trials_are_found_by_text_state_and_verdict(reading: Page) -> None:
    page = reading
    page.locator("#trials-state").select_option("failed")
    assert column(page, 2) == ["failed"] * 3
    page.locator("#trials-state").select_option("")
    page.locator("#trials-verdict").select_option("undecided")
    assert len(column(page, 1)) == 4
    page.locator("#trials-verdict").select_option("")
    page.locator("#trials-text").fill("FP32 undecided")
    assert column(page, 1) == ["2", "16"]
    assert page.locator("#trials-count").inner_text().startswith("2 of 24")


def test_a_row_opens_its_trial_and_the_link_names_it(reading: Page) -> None:
    page = reading
    page.locator("#trials-table tbody tr").nth(3).click()
    dialog = page.locator("#trial-dialog")
    dialog.get_by_role("heading", name="Trial 3", exact=True).wait_for()
    assert page.url.endswith("#trial-3")
    assert "93.0 ms (88.3-97.7)" in dialog.inner_text()
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert "#" not in page.url


def test_a_link_to_a_trial_opens_it(page: Page, report: str) -> None:
    page.goto(f"{report}#trial-12")
    dialog = page.locator("#trial-dialog")
    dialog.get_by_role("heading", name="Trial 12", exact=True).wait_for()
    assert "it broke" in dialog.inner_text()
    page.locator("#trial-next").click()
    dialog.get_by_role("heading", name="Trial 13", exact=True).wait_for()


def test_points_are_walked_through_and_opened_by_keyboard(reading: Page) -> None:
    page = reading
    plot = page.locator("#plot-front")
    plot.scroll_into_view_if_needed()
    plot.focus()
    page.keyboard.press("ArrowRight")
    first = page.locator("#said").text_content() or ""
    assert plot.locator(".hoverlayer .hovertext").count() == 1
    page.keyboard.press("ArrowRight")
    second = page.locator("#said").text_content() or ""
    assert first.startswith("Trial ")
    assert second != first
    page.keyboard.press("Enter")
    number = re.findall(r"\d+", second)[0]
    page.get_by_role("heading", name=f"Trial {number}", exact=True).wait_for()


def test_a_click_on_a_point_opens_its_trial(reading: Page) -> None:
    page = reading
    plot = page.locator("#plot-front")
    plot.scroll_into_view_if_needed()
    at = page.evaluate(
        "() => { const g = document.getElementById('plot-front'), box = g.getBoundingClientRect();"
        "const t = g.data.find((t) => t.name === 'infeasible'), l = g._fullLayout;"
        "return [box.x + l.xaxis._offset + l.xaxis.d2p(t.x[0]),"
        " box.y + l.yaxis._offset + l.yaxis.d2p(t.y[0]), t.customdata[0]]; }"
    )
    page.mouse.move(at[0], at[1])
    plot.locator(".hoverlayer .hovertext").first.wait_for()
    assert f"Trial {at[2]}: infeasible" in (plot.locator(".hoverlayer").text_content() or "")
    page.mouse.click(at[0], at[1])
    page.get_by_role("heading", name=f"Trial {at[2]}", exact=True).wait_for()


def test_kinds_of_trials_differ_in_shape_and_colour(reading: Page) -> None:
    page = reading
    traces = page.evaluate(
        "() => document.getElementById('plot-front').data.filter((t) => t.mode === 'markers')"
        ".map((t) => [t.name, t.marker.symbol[0], t.marker.color])"
    )
    assert {name for name, _, _ in traces} >= {"feasible", "infeasible", "undecided", "baseline"}
    assert len({symbol for _, symbol, _ in traces}) == len(traces)
    assert len({tint for _, _, tint in traces}) == len(traces)


def test_limits_are_lines_and_intervals_are_bars(reading: Page) -> None:
    page = reading
    layout = page.evaluate("document.getElementById('plot-front').layout")
    [line] = layout["shapes"]
    assert line["x0"] == pytest.approx(50)
    assert layout["annotations"][0]["text"] == "latency&lt;50ms"
    bars = page.evaluate(
        "document.getElementById('plot-front').data.find((t) => t.name === 'feasible').error_x"
    )
    assert all(up > 0 for up in bars["array"])


def test_with_three_objectives_one_chooses_which_are_drawn(page: Page, tmp_path: Path) -> None:
    page.goto(put(tmp_path, render(document(objectives=3))))
    draw_all(page)
    page.locator("#front-y").select_option(label="size")
    title = page.evaluate("document.getElementById('plot-front').layout.yaxis.title.text")
    assert title.startswith("size (MB)")


def test_one_objective_is_drawn_over_the_trials(page: Page, tmp_path: Path) -> None:
    page.goto(put(tmp_path, render(document(objectives=1))))
    draw_all(page)
    layout = page.evaluate("document.getElementById('plot-front').layout")
    assert layout["xaxis"]["title"]["text"] == "trial"
    assert layout["yaxis"]["title"]["text"].startswith("latency (ms)")


def test_a_number_says_which_query_gives_it(reading: Page) -> None:
    page = reading
    page.locator("#sources").press("Enter")
    figure = page.locator("#answer .figure[data-source]").first
    figure.focus()
    figure.press("Enter")
    source = page.locator("#source")
    source.wait_for()
    assert (figure.get_attribute("data-source") or "?") in source.inner_text()
    page.locator("#trials-table tbody tr").nth(3).locator("td.n").first.click()
    assert "number = 3" in source.inner_text()
    assert not page.locator("#trial-dialog").is_visible()


def luminance(colour: str) -> float:
    found = re.findall(r"[\d.]+", colour)
    parts = [float(v) / 255 for v in found[:3]]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


TEXTS = """() => [...document.querySelectorAll('body *')].filter((e) => e.checkVisibility() &&
  !e.closest('svg, .plot') && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
  .map((e) => { let b = e; while (b && getComputedStyle(b).backgroundColor === 'rgba(0, 0, 0, 0)')
  b = b.parentElement; return [e.tagName + '.' + e.className, getComputedStyle(e).color,
  b ? getComputedStyle(b).backgroundColor : 'rgb(255, 255, 255)']; })"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_marks_stand_out_from_what_is_behind_them(
    page: Page, report: str, scheme: Any
) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(report)
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    found = page.evaluate(TEXTS)
    assert len(found) > 300
    weak = {f"{name} {c} on {b}" for name, c, b in found if contrast(c, b) < 4.5}
    assert weak == set()
    draw_all(page)
    behind = page.evaluate("getComputedStyle(document.body).backgroundColor")
    marks = page.evaluate(
        "() => { const probe = document.createElement('i'); document.body.append(probe);"
        "return document.getElementById('plot-front').data.filter((t) => t.mode === 'markers')"
        ".map((t) => { probe.style.color = t.marker.color;"
        " return getComputedStyle(probe).color; }); }"
    )
    assert all(contrast(mark, behind) >= 3 for mark in marks)


def test_plots_follow_when_the_system_turns_dark(page: Page, report: str) -> None:
    page.emulate_media(color_scheme="light")
    page.goto(report)
    draw_all(page)
    tint = "document.getElementById('plot-front').layout.font.color"
    light = page.evaluate(tint)
    page.emulate_media(color_scheme="dark")
    for _ in range(50):
        if page.evaluate(tint) != light:
            break
        page.wait_for_timeout(100)
    assert contrast_of_hex(page.evaluate(tint), light) > 10


def contrast_of_hex(one: str, other: str) -> float:
    return contrast(
        *(f"rgb({', '.join(str(b) for b in bytes.fromhex(c[1:]))})" for c in (one, other))
    )


def test_on_paper_plots_are_light_and_controls_are_gone(page: Page, report: str) -> None:
    page.emulate_media(color_scheme="dark")
    page.goto(report)
    assert len(page.pdf(format="A4")) > 20_000
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("document.getElementById('plot-costs').layout.font.color") == "#1b1f24"
    for selector in ("#trials-text", ".contents", "#sources", ".modebar"):
        assert not page.locator(selector).first.is_visible(), selector


def test_without_scripts_the_answer_and_the_tables_are_there(browser: Browser, report: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report)
    assert page.get_by_role("heading", name="Chosen: trial 4").is_visible()
    assert page.locator("#trials-table tbody tr").count() == 24
    for selector in ("#sources", "#trials-text", ".plot"):
        assert not page.locator(selector).first.is_visible(), selector
    page.get_by_text("The data as a table").first.click()
    assert page.locator("#front details table").is_visible()
    context.close()


def test_every_control_is_reached_by_tab_and_shows_it(reading: Page) -> None:
    page = reading
    page.evaluate("scrollTo(0, 0)")
    reached, hidden = set(), []
    page.locator(".skip").focus()
    for _ in range(140):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            "() => { const e = document.activeElement, s = getComputedStyle(e);"
            "return [e.id || e.tagName, s.outlineStyle + ' ' + parseFloat(s.outlineWidth)]; }"
        )
        reached.add(name)
        if outline.startswith("none") or outline.endswith(" 0"):
            hidden.append(name)
        if name == "BODY":
            break
    assert {"sources", "plot-front", "plot-parallel", "trials-text", "trials-state"} <= reached
    assert "SUMMARY" in reached
    assert [name for name in hidden if name != "BODY"] == []


def test_thousands_of_trials_stay_quick(page: Page, seen: Watch, tmp_path: Path) -> None:
    page.goto(put(tmp_path, render(document(trials=2000))))
    assert page.locator("#trials-table tbody tr").count() == 200
    took = page.evaluate(
        "() => { const t = performance.now();"
        "document.querySelectorAll('#trials-table thead button')[7].click();"
        "document.body.offsetHeight; return performance.now() - t; }"
    )
    assert took < 1000  # about 30 ms on a machine that does nothing else
    page.locator("#trials-all").click()
    assert page.locator("#trials-table tbody tr").count() == 2000
    page.evaluate(
        "() => ['front', 'parallel'].forEach((n) => draw(document.getElementById('plot-' + n)))"
    )
    assert seen.errors == []


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Odd studies by name: the addresses of their reports."""
    folder = tmp_path_factory.mktemp("odd")
    write_odd_studies(folder / "study.db")
    engine = open_engine(str(folder / "study.db"))
    reader = StudyReader(engine)
    found = {}
    for index, name in enumerate(ODD):
        (folder / str(index)).mkdir()
        found[name] = put(folder / str(index), render(collect(Study(reader, name), reader)))
    engine.dispose()
    return found


def test_odd_studies_are_shown_without_an_error(
    page: Page, seen: Watch, odd: dict[str, str]
) -> None:
    for name, address in odd.items():
        page.goto(address)
        draw_all(page)
        assert page.locator("#answer h2").inner_text(), name
        assert seen.errors == [], name
        assert seen.executed == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280, name
