"""What a person sees of studies in optuna-dashboard, in `tune dashboard` and on its own."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser_watch import Watch
from shown_studies import HOSTILE, NUMBERS, forget_older_form, write_studies

from tuner.dashboard import optuna_app
from tuner.dashboard.server import open_server
from tuner.dashboard.site import Site
from tuner.study.database import open_engine

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.skipif(not optuna_app.is_installed(), reason="needs the extra `dashboard`")

FEASIBLE = [NUMBERS[name] for name in ("best", "fast", "beaten")]
INFEASIBLE = [NUMBERS[name] for name in ("slow", "undecided")]
_TRACES = """() => Array.from(document.querySelectorAll(".js-plotly-plot")).flatMap((plot) =>
  plot.data.filter((t) => typeof t.hovertemplate === "string").map((t) => ({
    kind: t.hovertemplate.replace(/.*<extra>(.*)<.extra>/, "$1"),
    texts: [t.text || []].flat(), color: t.marker && t.marker.color})))"""


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """The address of an application, without the slash at its end."""
    server = open_server("127.0.0.1", 0, app)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shown") / "study.db"
    write_studies(path, ["mine", HOSTILE])
    return path


@pytest.fixture(scope="module")
def address(database: Path) -> Iterator[str]:
    """`tune dashboard` over a study of which Optuna's tables have the newer form alone."""
    writing = open_engine(str(database))
    forget_older_form(writing)
    writing.dispose()
    engine = open_engine(str(database), read_only=True)
    with serving(Site(engine, hosts={"127.0.0.1"})) as found:
        yield found
    engine.dispose()


@pytest.fixture(scope="module")
def plain_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """optuna-dashboard as its own command starts it."""
    from optuna.storages import RDBStorage
    from optuna_dashboard import wsgi

    path = tmp_path_factory.mktemp("plain") / "study.db"
    write_studies(path, ["mine"])
    storage = RDBStorage(f"sqlite:///{path}")
    with serving(wsgi(storage)) as found:
        yield found
    storage.engine.dispose()


def _drawn(page: Page, kind: str) -> set[int]:
    """Numbers of the trials drawn as of this kind, in the plot of the front."""
    found: Callable[[], list[dict[str, Any]]] = lambda: page.evaluate(_TRACES)  # noqa: E731
    page.wait_for_function(f"({_TRACES})().some((t) => t.kind === 'Infeasible Trial')")
    texts = [text for trace in found() if trace["kind"] == kind for text in trace["texts"]]
    return {int(number) for text in texts for number in re.findall(r'number": (\d+)', text)}


def _grey(page: Page) -> bool:
    traces = [t for t in page.evaluate(_TRACES) if t["kind"] == "Infeasible Trial"]
    return bool(traces) and all(t["color"] == "#cccccc" for t in traces)


def test_the_front_is_drawn_with_what_is_infeasible_in_grey(
    page: Page, address: str, seen: Watch
) -> None:
    page.goto(f"{address}/dashboard/studies/1")
    page.get_by_text("Pareto Front").first.wait_for()
    assert _drawn(page, "Infeasible Trial") >= set(INFEASIBLE)
    assert not _drawn(page, "Infeasible Trial") & set(FEASIBLE)
    assert _drawn(page, "Best Trial") == {NUMBERS["best"], NUMBERS["fast"]}
    assert _grey(page)
    assert seen.outside == []
    assert seen.errors == []


def test_optuna_dashboard_on_its_own_draws_feasibility_too(page: Page, plain_address: str) -> None:
    page.goto(f"{plain_address}/dashboard/studies/1")
    assert _drawn(page, "Infeasible Trial") >= {NUMBERS["slow"]}
    assert not _drawn(page, "Infeasible Trial") & set(FEASIBLE)
    assert _grey(page)


def test_a_trial_says_its_state_and_its_verdict(page: Page, address: str) -> None:
    for name, state, attributes in (
        ("undecided", "Complete", ["tune state complete", "verdict undecided"]),
        ("screened", "Pruned", ["tune state screened", "verdict infeasible"]),
        ("failed", "Pruned", ["tune state infeasible", "failed because error"]),
    ):
        page.goto(f"{address}/dashboard/studies/1/trials?numbers={NUMBERS[name]}")
        page.get_by_text(f"Trial {NUMBERS[name]} (trial_id=").wait_for()
        text = page.locator("body").inner_text()
        assert state in text
        for attribute in attributes:
            assert attribute in " ".join(text.split()), name


def test_the_best_trials_of_the_list_are_the_front(page: Page, address: str) -> None:
    page.goto(f"{address}/dashboard/studies/1/trials?best=true")
    page.get_by_text("Best").first.wait_for()
    text = page.locator("body").inner_text()
    listed = {int(n) for n in re.findall(r"^Trial (\d+)$", text, re.M)}
    assert listed == {NUMBERS["best"], NUMBERS["fast"]}


def test_a_name_that_is_a_script_does_nothing_anywhere(
    page: Page, address: str, seen: Watch
) -> None:
    page.goto(address)
    assert page.get_by_role("link", name="alert(1)").count() == 1
    page.get_by_role("link", name="alert(1)").click()
    page.wait_for_load_state()
    assert "alert(1)" in page.locator("body").inner_text()
    page.goto(f"{address}/dashboard/studies/2")
    page.get_by_text("Pareto Front").first.wait_for()
    assert seen.executed == []
    assert seen.outside == []


def test_what_a_person_tries_to_delete_stays(page: Page, address: str) -> None:
    page.goto(f"{address}/dashboard")
    page.get_by_text("mine").first.wait_for()
    replied = page.evaluate(
        "() => fetch('/api/studies/1', {method: 'DELETE'}).then((reply) => reply.status)"
    )
    assert replied == 405
    page.reload()
    page.get_by_text("mine").first.wait_for()
