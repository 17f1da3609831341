"""The page as text: one file with nothing to fetch, in which a study's text is only ever text."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import itertools
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from odd_studies import HOSTILE, HOSTILE_TEXT, NOTHING_FITS, write_odd_studies
from sample_document import document

from tuner.cli import study_commands
from tuner.cli.arguments import parse
from tuner.report.page.collect import collect
from tuner.report.page.document import Document, Figure, to_json
from tuner.report.page.render import render, write
from tuner.study.api import Study
from tuner.study.database import open_engine
from tuner.study.reader import StudyReader

NAMES = (HOSTILE, HOSTILE_TEXT, "<!--<script>", "a\u2028b\x00c", "{{x}} ${y} %{z} \\u003c")


class Parsed(HTMLParser):
    """What is in a page: its elements, the text of its scripts, and its visible text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[str | None, str]] = []
        self.text: list[str] = []
        self._inside = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag if tag in ("script", "style") else ""
        if tag == "script":
            self.scripts.append((dict(attrs).get("type"), ""))

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            kind, text = self.scripts[-1]
            self.scripts[-1] = kind, text + data
        elif not self._inside:
            self.text.append(data)

    @property
    def words(self) -> str:
        return "".join(self.text)

    @property
    def data(self) -> dict[str, Any]:
        [text] = [text for kind, text in self.scripts if kind == "application/json"]
        found: dict[str, Any] = json.loads(text)
        return found


@pytest.fixture(scope="module")
def sample() -> Document:
    return document()


@pytest.fixture(scope="module")
def page(sample: Document) -> Parsed:
    return Parsed(render(sample))


def figures(value: object) -> Iterator[Figure]:
    """Every figure anywhere in a document."""
    if isinstance(value, Figure):
        yield value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from figures(getattr(value, field.name))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from figures(item)


def test_nothing_is_loaded_from_anywhere(page: Parsed) -> None:
    for tag, attributes in page.elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "form")
        assert not {"src", "srcset", "action", "data", "poster"} & attributes.keys(), tag
        assert (attributes.get("href") or "#").startswith("#")
    style = render(document()).partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_the_policy_names_exactly_the_scripts_that_are_there(sample: Document) -> None:
    parsed = Parsed(render(sample, script="window.more = 1;"))
    [policy] = [a["content"] for t, a in parsed.elements if t == "meta" and "http-equiv" in a]
    assert policy is not None
    digests = set(re.findall(r"'sha256-([^']+)'", policy))
    scripts = [text for kind, text in parsed.scripts if kind is None]
    assert digests == {
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts
    }
    assert len(scripts) == 3
    assert scripts[-1] == "window.more = 1;"
    assert policy.startswith("default-src 'none'")
    assert "unsafe-eval" not in policy
    assert "script-src 'unsafe-inline'" not in policy


def test_no_element_has_a_handler_of_its_own(page: Parsed) -> None:
    assert not [a for _, a in page.elements if any(name.startswith("on") for name in a)]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_text_whatever_they_contain(name: str, page: Parsed) -> None:
    found = Parsed(render(document(name, value=name)))
    assert [tag for tag, _ in found.elements] == [tag for tag, _ in page.elements]
    assert [a.keys() for _, a in found.elements] == [a.keys() for _, a in page.elements]
    assert name.replace("\x00", "\ufffd") in found.words.replace("\x00", "\ufffd")
    assert found.data["study"] == name


def test_the_data_of_the_plots_is_that_of_the_document(sample: Document, page: Parsed) -> None:
    expected = json.loads(json.dumps(to_json(sample)))
    assert page.data["front"] == expected["front"]
    assert page.data["trials"] == expected["trials"]


def test_every_figure_of_the_page_is_there_and_says_where_it_comes_from(
    sample: Document, page: Parsed
) -> None:
    sources = {a["data-source"] for _, a in page.elements if a.get("data-source")}
    shown = (sample.head, sample.answer, sample.effects, sample.stages, sample.failures)
    left_out = {  # the metric's own figure, and a limit that is shown as it was written
        figure.source for limit in sample.answer.limits for figure in (limit.value, limit.limit)
    }
    for found in figures(shown):
        if found.source in left_out or (found.form == "count" and found.value in (0, 1)):
            continue  # no failures of a stage, and one message only, are not worth a word
        assert found.text.split(" (")[0] in page.words
        assert found.source in sources


def test_a_column_of_the_trials_says_where_its_numbers_come_from(page: Parsed) -> None:
    sources = [a["data-columnsource"] for _, a in page.elements if "data-columnsource" in a]
    assert sources
    assert all(source is not None and ":number" in source for source in sources)


def test_without_scripts_the_answer_and_every_trial_are_there(
    sample: Document, page: Parsed
) -> None:
    rows = [a["id"] for tag, a in page.elements if tag == "tr" and "id" in a]
    assert rows == [f"trial-{n}" for n in range(24)]
    for text in (sample.answer.title, "model = og.Model('model')", "x0.47", "latency<50ms"):
        assert text in page.words


def test_headings_come_in_order(page: Parsed) -> None:
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_every_plot_has_a_sentence_and_its_data_as_a_table(page: Parsed) -> None:
    places = [a for _, a in page.elements if "data-plot" in a]
    kinds = {(a["data-plot"] or "").partition(":")[0] for a in places}
    assert kinds == {"front", "effects", "parallel", "progress", "check", "blocks", "costs"}
    assert all(len(a["aria-label"] or "") > 20 and a["tabindex"] == "0" for a in places)
    summaries = page.words.count("as a table")
    assert summaries == len(places) - 1  # the trials' table is that of the parallel coordinates


def test_every_link_leads_somewhere(page: Parsed) -> None:
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    links = {(a["href"] or "")[1:] for tag, a in page.elements if tag == "a"}
    assert links <= set(ids)


def test_the_language_and_a_title_are_given(page: Parsed) -> None:
    attributes = dict(page.elements[0][1])
    assert attributes["lang"] == "en"
    assert "Chosen: trial 4 - sample" in page.words


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write(path, "<!doctype html>\nfirst")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write(tmp_path / "folder", "second")
    assert path.read_text() == "<!doctype html>\nfirst"
    assert {p.name for p in tmp_path.iterdir()} == {"report.html", "folder"}


def test_every_odd_study_has_a_page(odd_database: Path) -> None:
    engine = open_engine(str(odd_database), read_only=True)
    reader = StudyReader(engine)
    for summary in reader.studies():
        found = Parsed(render(collect(Study(reader, summary.name), reader)))
        assert found.data["study"] == summary.name
        assert summary.name in found.words
        assert not [a for _, a in found.elements if any(name.startswith("on") for name in a)]
    engine.dispose()


@pytest.fixture(scope="module")
def odd_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("odd") / "study.db"
    write_odd_studies(path)
    return path


def tune(*arguments: str) -> int:
    return study_commands.run(parse(list(arguments)))


def test_the_command_writes_the_report(
    odd_database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "night.html"
    assert tune("report", NOTHING_FITS, "--db", str(odd_database), "-o", str(path)) == 0
    assert str(path) in capsys.readouterr().out
    assert Parsed(path.read_text(encoding="utf-8")).data["study"] == NOTHING_FITS


@pytest.mark.parametrize(
    ("study", "output", "says"),
    [
        (NOTHING_FITS, "", "is a folder"),
        (NOTHING_FITS, "none/report.html", "no folder"),
        (NOTHING_FITS, "study.db", "is the study's database"),
        ("nothing-fit", "report.html", NOTHING_FITS),
    ],
)
def test_the_command_says_what_is_wrong_and_writes_nothing(
    odd_database: Path,
    capsys: pytest.CaptureFixture[str],
    study: str,
    output: str,
    says: str,
) -> None:
    before = odd_database.read_bytes()
    target = odd_database.parent / output
    assert tune("report", study, "--db", str(odd_database), "-o", str(target)) == 2
    assert says in capsys.readouterr().err
    assert odd_database.read_bytes() == before
    assert not (odd_database.parent / "report.html").exists()
