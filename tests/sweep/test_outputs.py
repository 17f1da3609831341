from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from made_nights import accuracy, anchor, entry, latency, night, size, watched
from markdown_it import MarkdownIt

from tuner.sweep.annotations import annotations, append_step_summary
from tuner.sweep.changes import Comparison, Verdict
from tuner.sweep.index_page import index_page
from tuner.sweep.judging import judge
from tuner.sweep.junit import junit
from tuner.sweep.markdown import escaped
from tuner.sweep.outputs import table, write_index, write_night
from tuner.sweep.records import REFERENCE, EntryResult, Night, Rules, read_night
from tuner.sweep.records import write_night as write_record
from tuner.sweep.terminal import WIDTH, terminal_lines

HOSTILE = (
    "\"'><script>alert(1)</script></title> | =cmd()\n::error::x \x1b[31m 🎉 `a` "
    "[b](http://c.example) $d$"
)
SLOWER = 1.6


def pair(tonight: Night, reference: Night) -> tuple[Night, Comparison]:
    comparison = judge(tonight, reference, Rules(), [reference])
    return replace(tonight, verdict=comparison.verdict, reference=reference.name), comparison


def front(*pairs: tuple[float, float]) -> tuple[dict[str, object], ...]:
    """Trials as `trial_json` makes them: seconds and a fraction right."""

    def metric(value: float, unit: str) -> dict[str, object]:
        return {"value": value, "low": value * 0.9, "high": value * 1.1, "unit": unit}

    return tuple(
        {"number": n, "metrics": {"latency": metric(t, "s"), "accuracy": metric(a, "fraction")}}
        for n, (t, a) in enumerate(pairs, start=2)
    )


def minilm(ratio: float, label: str, of_night: str = "n1") -> EntryResult:
    right = accuracy([1] * 120 + [0] * 40)
    made = watched(
        latency(ratio), right, size(5e7), label=label, of_night=of_night, anchors=[anchor()]
    )
    goals = ("minimize latency", "maximize accuracy")
    return entry(made, objectives=goals, front=front((0.005, 0.6), (0.009, 0.75)))


@pytest.fixture(scope="module")
def worse() -> tuple[Night, Comparison]:
    """A night with a regression of one entry; another failed, a third was skipped."""
    first = night(minilm(0.5, "tonight"), entry(watched(latency(0.9)), name="smollm2"))
    lost = entry(name="smollm2", state="failed", message="lora: out of memory", answer=None)
    skipped = entry(name="gpu", state="skipped", message="needs a GPU", answer=None)
    versions = {"onnxruntime": "1.32.0", "torch": "2.13.0"}
    now = night(minilm(0.5 * SLOWER, REFERENCE), lost, skipped, name="n2", versions=versions)
    return pair(now, first)


@pytest.fixture(scope="module")
def hostile() -> tuple[Night, Comparison]:
    """Names and messages that every format has to keep from meaning something."""

    def made(ratio: float, label: str) -> EntryResult:
        name = HOSTILE.replace("\n", "\\n")
        parameters = {f"session.{name}": HOSTILE}
        candidate = watched(latency(ratio), label=label, of_night=HOSTILE, parameters=parameters)
        more = {"model": HOSTILE, "device": HOSTILE, "study": HOSTILE, "front": front((1, 1))}
        goals = ("minimize latency", "maximize accuracy")
        return entry(candidate, name=HOSTILE, objectives=goals, **more)

    versions = {HOSTILE: "=1+1", "onnxruntime": "1"}
    lost = entry(name="gone", state="failed", message=HOSTILE, answer=None)
    first = night(made(0.5, "tonight"), entry(watched(latency()), name="gone"), sweep=HOSTILE)
    return pair(
        night(made(0.9, REFERENCE), lost, name="n2", sweep=HOSTILE, versions=versions), first
    )


@pytest.fixture(scope="module")
def written(worse: tuple[Night, Comparison], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results of two nights."""
    results = tmp_path_factory.mktemp("nightly")
    first = replace(night(minilm(0.5, "tonight")), verdict="ok")
    for one, comparison in ((first, judge(first, None, Rules())), worse):
        write_record(results / one.name, one)
        write_night(results / one.name, one, comparison, [first, worse[0]])
    write_index(results)
    return results


def summary(results: Path, name: str = "n2") -> str:
    return (results / name / "summary.md").read_text(encoding="utf-8")


def test_the_summary_begins_with_the_verdict_and_names_size_and_cause(written: Path) -> None:
    text = summary(written)
    assert text.splitlines()[2].startswith("**2 regressions since n1")
    assert "is 1.60 times what it was" in text
    assert "99 % sure" in text
    assert "likely cause: onnxruntime 1.31.1 -&gt; 1.32.0 (runtime of this model)" in text
    assert "out of memory" in text
    assert "skipped" in text
    assert "[minilm.recipe.yaml](minilm.recipe.yaml)" in text


def test_the_first_night_s_summary_says_that_there_is_nothing_to_compare(written: Path) -> None:
    assert "nothing to compare with yet" in summary(written, "n1")


def test_the_table_has_a_row_per_metric_with_what_the_record_holds(written: Path) -> None:
    with (written / "n2" / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    [first] = [r for r in rows if r["entry"] == "minilm" and r["metric"] == "latency"]
    measured = read_night(written / "n2").entries[0].watched[0].metrics[0]
    assert float(first["value"]) == measured.value
    assert float(first["change"]) == pytest.approx(SLOWER)
    assert (first["verdict"], first["sessions"], first["change_is"]) == (
        "regression",
        "3",
        "factor",
    )
    assert {r["metric"] for r in rows if r["entry"] == "minilm"} == {"latency", "accuracy", "size"}
    [failed] = [r for r in rows if r["entry"] == "smollm2"]
    assert failed["message"] == "lora: out of memory"


def test_the_comparison_is_kept_as_data(written: Path) -> None:
    known = json.loads((written / "n2" / "comparison.json").read_text(encoding="utf-8"))
    assert known["verdict"] == "regression"
    assert known["changes"][0]["verdict"] == "regression"
    assert known["causes"]["minilm"][0]["kind"] == "library"


def test_plots_are_drawn_and_shown_where_matplotlib_is(written: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("front-minilm.svg", "history-minilm.svg"):
        ElementTree.parse(written / "n2" / name)
        assert f"]({name})" in summary(written)


def test_without_matplotlib_the_summary_says_why_there_are_no_plots(
    worse: tuple[Night, Comparison], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    write_night(tmp_path, *worse, [worse[0]])
    assert not list(tmp_path.glob("*.svg"))
    assert "matplotlib is not installed" in (tmp_path / "summary.md").read_text(encoding="utf-8")


def test_the_index_lists_every_night_with_its_verdict_and_links(written: Path) -> None:
    page = (written / "index.html").read_text(encoding="utf-8")
    for part in ("n1/summary.md", "n2/summary.md", "regression", "0.80", "needs a GPU", "<svg"):
        assert part in page
    text = (written / "index.md").read_text(encoding="utf-8")
    assert text.index("[n2](n2/summary.md)") < text.index("[n1](n1/summary.md)")
    assert "(0.78-0.82); regression" in text


def test_writing_again_gives_the_same_bytes(written: Path, worse: tuple[Night, Comparison]) -> None:
    def contents() -> dict[str, bytes]:
        return {str(p): p.read_bytes() for p in sorted(written.rglob("*")) if p.is_file()}

    before = contents()
    first = replace(night(minilm(0.5, "tonight")), verdict="ok")
    write_night(written / "n2", *worse, [first, worse[0]])
    write_index(written)
    assert contents() == before


def test_a_comparison_that_cannot_be_read_leaves_the_index_without_its_verdicts(
    worse: tuple[Night, Comparison], tmp_path: Path
) -> None:
    write_record(tmp_path / "n2", worse[0])
    (tmp_path / "n2" / "comparison.json").write_text("{]", encoding="utf-8")
    write_index(tmp_path)
    assert "n2/summary.md" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_an_index_of_no_night_says_so(tmp_path: Path) -> None:
    write_index(tmp_path)
    assert "Nothing was run yet" in (tmp_path / "index.html").read_text(encoding="utf-8")


# JUnit


def test_junit_has_a_suite_per_entry_whose_counts_are_those_of_its_cases(
    worse: tuple[Night, Comparison],
) -> None:
    root = ElementTree.fromstring(junit(*worse))
    assert root.tag == "testsuites"
    assert [s.get("name") for s in root] == ["nightly.minilm", "nightly.smollm2", "nightly.gpu"]
    for many, one in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        for suite in root:
            assert int(suite.get(many, "")) == len(suite.findall(f"testcase/{one}"))
        assert int(root.get(many, "")) == len(root.findall(f".//testcase/{one}")) > 0
    assert int(root.get("tests", "")) == len(root.findall(".//testcase"))


def test_junit_follows_the_common_schema(worse: tuple[Night, Comparison]) -> None:
    allowed = {
        "testsuites": {"name", "tests", "failures", "errors", "skipped", "time"},
        "testsuite": {
            "name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname",
        },
        "properties": set(),
        "property": {"name", "value"},
        "testcase": {"name", "classname", "time"},
        "failure": {"message", "type"},
        "error": {"message", "type"},
        "skipped": {"message"},
        "system-out": set(),
    }  # fmt: skip
    children = {
        "testsuites": {"testsuite"},
        "testsuite": {"properties", "testcase"},
        "properties": {"property"},
        "testcase": {"failure", "error", "skipped", "system-out"},
    }
    for element in ElementTree.fromstring(junit(*worse)).iter():
        assert set(element.keys()) <= allowed[element.tag]
        assert {child.tag for child in element} <= children.get(element.tag, set())


def test_a_regression_is_a_failure_and_a_failed_entry_an_error(
    worse: tuple[Night, Comparison],
) -> None:
    root = ElementTree.fromstring(junit(*worse))
    [failure] = root.findall(".//failure")
    assert "1.60 times" in failure.get("message", "")
    assert "likely cause: onnxruntime" in failure.get("message", "")
    [error] = root.findall(".//error")
    assert "out of memory" in error.get("message", "")


def test_what_cannot_be_told_is_skipped_with_the_reason() -> None:
    first = night(entry(watched(latency(0.5))))
    one = pair(night(entry(watched(latency(0.6), label=REFERENCE)), name="n2"), first)
    assert one[1].of(Verdict.UNDECIDED)
    [skipped] = ElementTree.fromstring(junit(*one)).findall(".//skipped")
    assert "processes a night would" in skipped.get("message", "")


# GitHub


def test_annotations_name_regressions_as_errors_and_end_with_the_night(
    worse: tuple[Night, Comparison],
) -> None:
    lines = annotations(*worse)
    assert sum(line.startswith("::error title=sweep nightly n2%3A minilm::") for line in lines) == 1
    assert lines[-1].startswith("::error title=sweep nightly n2::2 regressions")
    assert "99 %25 sure" in "".join(lines)


def test_a_night_without_a_regression_is_a_notice() -> None:
    first = night(minilm(0.5, "tonight"))
    [line] = annotations(*pair(night(minilm(0.5, REFERENCE), name="n2"), first))
    assert line.startswith("::notice ")


def test_the_job_s_summary_is_appended_where_the_variable_names_a_file(
    worse: tuple[Night, Comparison], tmp_path: Path
) -> None:
    path = tmp_path / "summary"
    path.write_text("before\n", encoding="utf-8")
    append_step_summary(*worse, {"GITHUB_STEP_SUMMARY": str(path)})
    text = path.read_text(encoding="utf-8")
    assert text.startswith("before\n# Sweep nightly")
    assert ".svg" not in text
    append_step_summary(*worse, {})
    append_step_summary(*worse, {"GITHUB_STEP_SUMMARY": ""})
    assert path.read_text(encoding="utf-8") == text


# The terminal


def test_the_terminal_names_the_regression_within_80_columns(
    worse: tuple[Night, Comparison],
) -> None:
    lines = terminal_lines(*worse)
    assert max(map(len, lines)) <= WIDTH
    text = " ".join(" ".join(lines).split())
    assert "REGRESSION minilm: latency of the answer of n1 is 1.60 times what it was (" in text
    assert "likely cause: onnxruntime 1.31.1 -> 1.32.0" in text
    assert "REGRESSION smollm2: it failed: lora: out of memory" in text
    assert lines[-1].startswith("2 regressions since n1")


def test_the_terminal_shows_the_reference_s_answer_and_tonight_s_where_they_differ() -> None:
    first = night(entry(watched(latency(0.5), key="old")))
    old = watched(latency(0.5), key="old", label=REFERENCE)
    new = watched(latency(0.3), key="new", of_night="n2")
    tonight = night(entry(old, new), name="n2")
    text = "\n".join(terminal_lines(*pair(tonight, first)))
    assert "minilm, the answer of n1\n  latency 0.50 of the baseline; 1.00 times" in text
    assert "minilm, the answer of n2\n  latency 0.30 of the baseline\n" in text
    assert "better minilm: latency of tonight's answer beside that of n1: 0.60 times" in " ".join(
        text.split()
    )


def test_the_anchor_is_a_remark_and_no_case_that_fails() -> None:
    made = [watched(latency(0.5), label=label, anchors=[anchor(kernels)]) for label, kernels in
            (("tonight", (0.0, 0.01)), (REFERENCE, (1.5, 1.51)))]  # fmt: skip
    one = pair(night(entry(made[1]), name="n2"), night(entry(made[0])))
    text = " ".join("\n".join(terminal_lines(*one)).split())
    assert "anchor minilm: latency of the unoptimised model is 4.48 times what it was" in text
    assert not ElementTree.fromstring(junit(*one)).findall(".//failure")
    assert one[1].exit_code == 0


def test_a_better_night_is_told_as_such() -> None:
    first = night(minilm(0.9, "tonight"))
    text = "\n".join(terminal_lines(*pair(night(minilm(0.5, REFERENCE), name="n2"), first)))
    assert "better minilm: latency" in text
    assert "REGRESSION" not in text


# Names that mean something elsewhere


def test_hostile_names_are_text_in_every_output(
    hostile: tuple[Night, Comparison], tmp_path: Path
) -> None:
    tonight, comparison = hostile
    assert comparison.regressions
    write_record(tmp_path / "n2", tonight)
    write_night(tmp_path / "n2", *hostile, [tonight])
    write_index(tmp_path)
    for name in ("n2/summary.md", "index.md", "index.html"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert "<script>alert" not in text
        assert "&lt;script&gt;" in text
        assert "\x1b" not in text
        if name.endswith(".md"):
            shown = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
            assert "<script" not in shown
            assert "c.example" in shown
            assert not re.search(r'href="(?!n2/|gone|%22)', shown)
    assert all(path.parent == tmp_path / "n2" for path in (tmp_path / "n2").rglob("*.svg"))
    for path in (tmp_path / "n2").glob("*.svg"):
        assert {e.tag.rpartition("}")[2] for e in ElementTree.parse(path).iter()}.isdisjoint(
            {"script", "foreignObject", "a"}
        )


def test_hostile_names_do_not_break_rows_of_a_markdown_table(
    hostile: tuple[Night, Comparison], tmp_path: Path
) -> None:
    write_night(tmp_path, *hostile, [hostile[0]])
    text = (tmp_path / "summary.md").read_text(encoding="utf-8")
    heads = [i for i, line in enumerate(text.splitlines()) if line.startswith("|---")]
    lines = text.splitlines()
    for head in heads:
        columns = lines[head].count("|")
        row = head + 1
        while row < len(lines) and lines[row].startswith("|"):
            assert lines[row].replace("\\|", "").count("|") == columns
            row += 1


def test_hostile_names_start_no_formula_no_command_and_no_control_sequence(
    hostile: tuple[Night, Comparison],
) -> None:
    for row in csv.reader(table(*hostile).splitlines()):
        assert not any(cell.startswith(("=", "@")) for cell in row)
    lines = annotations(*hostile)
    assert all(
        "\n" not in line and line.count("::error") + line.count("::notice") <= 2 for line in lines
    )
    assert all(line.startswith("::") for line in lines)
    shown = "\n".join(terminal_lines(*hostile))
    assert all(c == "\n" or c.isprintable() for c in shown)
    ElementTree.fromstring(junit(*hostile))


def test_what_xml_cannot_hold_is_left_out_of_junit() -> None:
    bad = entry(name="a", state="failed", message="\x00\x08\ud800\ufffe end", answer=None)
    one = night(bad)
    text = junit(one, judge(one, None, Rules()))
    ElementTree.fromstring(text.encode("utf-8"))
    assert "end" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|b", "a\\|b"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("one\ntwo", "one two"),
        ("[a](b)", "\\[a\\](b)"),
        ("graph_level", "graph_level"),
        ("_x_", "\\_x\\_"),
        ("http://a.example", "http&#58;//a.example"),
    ],
)
def test_markdown_shows_a_text_as_it_is(text: str, expected: str) -> None:
    assert escaped(text) == expected


def test_a_page_holds_no_script_and_asks_for_nothing(worse: tuple[Night, Comparison]) -> None:
    page = index_page([worse[0]], {})
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert "http://" not in page.replace("http-equiv", "")
    assert "https://" not in page
