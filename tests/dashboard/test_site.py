"""The site: what it answers, what it refuses, and that it changes nothing."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from odd_studies import KILLED, RUNNING, write_odd_studies
from shown_studies import HOSTILE, NUMBERS, write_studies
from site_visit import ask
from sqlalchemy import Engine

from tuner.dashboard import optuna_app
from tuner.dashboard.index_page import report_address
from tuner.dashboard.site import Site
from tuner.study.database import open_engine

LOCAL = {"127.0.0.1", "localhost", "::1"}
needs_optuna_dashboard = pytest.mark.skipif(
    not optuna_app.is_installed(), reason="needs the extra `dashboard`"
)


@pytest.fixture(scope="module")
def engine(shown_db: Path) -> Iterator[Engine]:
    engine = open_engine(str(shown_db), read_only=True)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def site(engine: Engine) -> Site:
    return Site(engine, hosts=LOCAL)


def test_the_index_links_every_study_whatever_its_name(site: Site) -> None:
    page = ask(site, "/")
    assert page.code == 200
    assert "<script" not in page.text
    links = [unescape(link) for link in re.findall(r'href="(/report/[^"]*)"', page.text)]
    reports = [ask(site, link) for link in links]
    assert len(links) == 2
    assert {r.code for r in reports} == {200}
    assert [" - mine" in r.text.partition("</title>")[0] for r in reports].count(True) == 1


@pytest.mark.parametrize("name", [HOSTILE, "..", ".", "a/../b", "50%2f", "?study=x", "#1", " "])
def test_the_address_of_a_report_leads_to_its_study(site: Site, name: str) -> None:
    address = report_address(name)
    assert "/../" not in address
    assert not address.endswith(("/..", "/."))
    found = ask(site, address)
    if name == HOSTILE:
        assert found.code == 200
    else:
        assert found.code == 404
        assert repr(name) in unescape(found.text)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/api/studies", "/api/studies/1", "/api/trials/1/tell"])
def test_what_would_write_is_refused_with_a_sentence(site: Site, method: str, path: str) -> None:
    reply = ask(site, path, method, b'{"study_name": "x", "directions": ["minimize"]}')
    assert reply.code == 405
    assert reply.headers["Allow"] == "GET, HEAD"
    assert "nothing can be changed" in reply.text


def test_a_name_that_is_not_this_machines_is_refused(site: Site) -> None:
    assert ask(site, "/", host="evil.example").code == 421
    assert ask(site, "/api/studies", host="evil.example:8080").code == 421
    assert ask(site, "/", host="[::1]:80").code == 200
    assert ask(site, "/", host="LOCALHOST").code == 200


def test_a_site_for_everybody_answers_by_any_name(engine: Engine) -> None:
    assert ask(Site(engine), "/", host="nightly.example").code == 200


def test_what_is_not_there_says_so(site: Site) -> None:
    missing = ask(site, "/report/mien")
    assert missing.code == 404
    assert "nearest name is &#x27;mine&#x27;" in missing.text
    assert ask(site, "/<script>alert(1)</script>").code == 404
    assert "<script" not in ask(site, "/<script>alert(1)</script>").text


def test_pages_may_run_nothing_and_be_framed_nowhere(site: Site) -> None:
    headers = ask(site, "/").headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "script-src" not in headers["Content-Security-Policy"]


def test_a_head_request_has_the_headers_alone(site: Site) -> None:
    reply = ask(site, "/", "HEAD")
    assert (reply.code, reply.body) == (200, b"")
    assert int(reply.headers["Content-Length"]) > 100


@needs_optuna_dashboard
def test_studies_that_were_not_named_are_not_there(engine: Engine) -> None:
    site = Site(engine, ["mine"], hosts=LOCAL)
    assert "alert" not in ask(site, "/").text
    assert ask(site, report_address(HOSTILE)).code == 404
    assert [s["study_name"] for s in ask(site, "/api/studies").json["study_summaries"]] == ["mine"]
    for path in ("/api/studies/2", "/api/studies/2/param_importances", "/csv/2"):
        assert "best_trials" not in ask(site, path).text
        assert ask(site, path).code in (404, 500)


@needs_optuna_dashboard
def test_the_best_trials_are_the_front(site: Site) -> None:
    first = ask(site, "/api/studies/1?after=0").json
    later = ask(site, "/api/studies/1?after=8").json
    for detail in (first, later):
        best = sorted(t["number"] for t in detail["best_trials"])
        assert best == [NUMBERS["best"], NUMBERS["fast"]]
    assert later["trials"] == []


@needs_optuna_dashboard
def test_each_trial_is_said_to_be_what_it_is(site: Site) -> None:
    trials = {t["number"]: t for t in ask(site, "/api/studies/1?after=0").json["trials"]}
    drawn_feasible = {n for n, t in trials.items() if all(v <= 0 for v in t["constraints"])}
    shown = {n: {a["key"]: a["value"] for a in t["user_attrs"]} for n, t in trials.items()}
    assert {n for n in drawn_feasible if trials[n]["state"] == "Complete"} == {
        NUMBERS[name] for name in ("best", "fast", "beaten")
    }
    assert shown[NUMBERS["undecided"]]["verdict"] == "undecided"
    assert "feasible" not in shown[NUMBERS["undecided"]]
    assert shown[NUMBERS["screened"]]["tune state"] == "screened"
    assert trials[NUMBERS["stopped"]]["state"] == "Pruned"
    assert shown[NUMBERS["failed"]]["failed because"] == "error"


@needs_optuna_dashboard
def test_the_baseline_is_told_of_the_study(site: Site) -> None:
    studies = ask(site, "/api/studies").json["study_summaries"]
    told = {a["key"]: a["value"] for a in studies[0]["user_attrs"]}
    assert told["baseline (no trial)"].startswith("accuracy 90")
    assert told["chosen"] in ("trial 0", "trial 1")


@needs_optuna_dashboard
def test_notes_are_written_where_that_was_allowed_and_nothing_else(
    shown_db: Path, tmp_path: Path
) -> None:
    path = tmp_path / "study.db"
    shutil.copy(shown_db, path)
    engine = open_engine(str(path))
    site = Site(engine, hosts=LOCAL, notes=True)
    note = b'{"version": 1, "body": "look here"}'
    assert ask(site, "/api/studies/1/note", "PUT", note, origin="http://evil.example").code == 403
    assert ask(site, "/api/studies/1/note", "PUT", note).code == 204
    assert ask(site, "/api/studies/1?after=0").json["note"]["body"] == "look here"
    assert ask(site, "/api/studies/1", "DELETE").code == 405
    assert ask(site, "/api/trials/1/user-attrs", "POST", b'{"user_attrs": {"a": 1}}').code == 405
    engine.dispose()


def test_reading_changes_nothing_in_the_file(shown_db: Path, tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    shutil.copy(shown_db, path)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    engine = open_engine(str(path), read_only=True)
    site = Site(engine, hosts=LOCAL)
    for address in ("/", "/report/mine", "/api/studies/1?after=0", "/dashboard", "/csv/1"):
        ask(site, address)
    engine.dispose()
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    assert [p.name for p in tmp_path.iterdir()] == ["study.db"]


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, list[str]]]:
    """A site over studies that something is odd about, none of which Optuna's tables know."""
    path = tmp_path_factory.mktemp("odd") / "study.db"
    names = list(write_odd_studies(path))
    engine = open_engine(str(path), read_only=True)
    yield Site(engine, hosts=LOCAL), names
    engine.dispose()


def test_odd_studies_are_listed_and_have_their_reports(odd: tuple[Site, list[str]]) -> None:
    site, names = odd
    page = ask(site, "/").text
    assert "<img" not in page
    assert page.count('href="/report/') == len(names)
    assert page.count("<td>running</td>") == 2
    assert "http-equiv=refresh" in page
    for name in names:
        assert ask(site, report_address(name)).code == 200, name


def test_the_report_of_a_study_that_runs_loads_itself_anew(odd: tuple[Site, list[str]]) -> None:
    site, _ = odd
    assert "const every = 5.0" in ask(site, report_address(RUNNING)).text
    assert "const every = null" in ask(site, report_address(KILLED)).text


@needs_optuna_dashboard
def test_a_database_without_optunas_tables_is_a_sentence(odd: tuple[Site, list[str]]) -> None:
    site, _ = odd
    assert "/dashboard/studies" not in ask(site, "/").text
    reply = ask(site, "/dashboard")
    assert reply.code == 503
    assert "holds nothing that optuna-dashboard could show" in reply.text


def test_a_database_that_goes_away_is_a_sentence(shown_db: Path, tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    shutil.copy(shown_db, path)
    engine = open_engine(str(path), read_only=True)
    site = Site(engine, hosts=LOCAL)
    assert ask(site, "/").code == 200
    path.write_bytes(b"no database any more" * 100)
    engine.dispose()
    for address in ("/", "/report/mine"):
        reply = ask(site, address)
        assert reply.code == 503
        assert "Traceback" not in reply.text


def test_without_the_library_the_index_still_stands(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optuna_app, "is_installed", lambda: False)
    site = Site(engine, hosts=LOCAL)
    assert "/dashboard" not in ask(site, "/").text
    assert "pip install" in ask(site, "/").text
    reply = ask(site, "/dashboard")
    assert reply.code == 404
    assert "tuner[dashboard]" in reply.text


@needs_optuna_dashboard
def test_a_postgresql_database_is_shown_alike(postgres_url: str) -> None:
    write_studies(postgres_url, ["mine", HOSTILE])
    engine = open_engine(postgres_url, read_only=True)
    site = Site(engine, hosts=LOCAL)
    try:
        assert ask(site, "/").text.count('href="/report/') == 2
        assert ask(site, report_address(HOSTILE)).code == 200
        best = [t["number"] for t in ask(site, "/api/studies/1?after=0").json["best_trials"]]
        assert sorted(best) == [NUMBERS["best"], NUMBERS["fast"]]
    finally:
        engine.dispose()
