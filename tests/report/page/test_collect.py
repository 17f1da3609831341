"""What a report says of studies whose events are known."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from odd_studies import (
    ALL_FAILED,
    ALL_SCREENED,
    BASELINE_FAILED,
    BASELINE_ONLY,
    BUILT_ONLY,
    FOREIGN,
    HOSTILE,
    KILLED,
    MIXED,
    NO_NUMBERS,
    NO_TRIAL,
    NOTHING_FITS,
    RUNNING,
    write_odd_studies,
)
from sqlalchemy import Engine
from stored_studies import Maker, Model, random_models
from study.scripted_study import Script, asked, started

from search_spaces import parse_space
from tuner.registry import vocabulary
from tuner.report.page import change, collect_trials
from tuner.report.page.collect import collect
from tuner.report.page.collect_head import sweep_of
from tuner.report.page.document import Document, StageNode
from tuner.report.page.figures import literal, text_of
from tuner.report.page.self_check import Halves, halves, holds_one, pooled_ratio, self_ratios
from tuner.report.page.use import use_of
from tuner.study.api import Study
from tuner.study.database import open_engine
from tuner.study.events import StudyStopped
from tuner.study.reader import StudyReader
from tuner.study.writer import StudyWriter


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    found = open_engine(str(tmp_path_factory.mktemp("collect") / "study.db"))
    yield found
    found.dispose()


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudyReader]:
    path = tmp_path_factory.mktemp("odd") / "odd.db"
    write_odd_studies(path)
    found = open_engine(str(path))
    yield StudyReader(found)
    found.dispose()


@pytest.fixture(scope="module")
def chosen(engine: Engine) -> Document:
    models = [Model(0.03, 0.8, held_out=0.75), Model(0.05, 0.9, state="screened")]
    limits = ("latency<70ms", "accuracy>=baseline-10%")
    maker = Maker(engine, limits, name="chosen")
    maker.study(Model(0.1, 0.7, held_out=0.7), *models, *random_models(3, 6))
    return of(engine, "chosen")


@pytest.fixture(scope="module")
def scripted(engine: Engine) -> Document:
    events = Script(120).events()
    with StudyWriter(engine, "tones") as writer:
        writer(next(events))
        with writer.batch():
            for event in events:
                writer(event)
    return of(engine, "tones")


def of(engine: Engine, name: str) -> Document:
    reader = StudyReader(engine)
    return collect(Study(reader, name), reader)


# The answer


def test_the_chosen_trial_is_shown_beside_the_baseline(chosen: Document) -> None:
    answer = chosen.answer
    assert (answer.kind, answer.trial) == ("chosen", 0)
    metrics = {m.name: m for m in answer.metrics}
    assert list(metrics) == ["accuracy", "tpot", "latency"]
    accuracy, tpot = metrics["accuracy"], metrics["tpot"]
    assert accuracy.search is not None
    assert accuracy.search.value == pytest.approx(0.8)
    assert accuracy.confirmed is not None
    assert accuracy.confirmed.value == pytest.approx(0.75)
    assert accuracy.change is not None
    assert accuracy.change.form == "points"
    assert tpot.change is not None
    assert tpot.change.form == "ratio"
    assert tpot.change.value == pytest.approx(0.3, rel=0.1)
    assert tpot.better is True


def test_limits_say_how_the_chosen_trial_stands_to_them(chosen: Document) -> None:
    limits = {limit.text: limit for limit in chosen.answer.limits}
    latency = limits["latency<70ms"]
    assert (latency.verdict, latency.confirmed) == ("feasible", "feasible")
    assert latency.limit.text == "70.0 ms"
    assert latency.sentence.startswith("holds: it has ")


def test_a_pipeline_says_which_parameters_the_search_chose(chosen: Document) -> None:
    steps = {step.name: step for step in chosen.answer.pipeline}
    by_name = {p.name: p for p in steps["genai_builder"].parameters}
    assert by_name["precision"].chosen
    assert not by_name["accuracy_level"].chosen


def test_a_model_of_a_known_format_comes_with_a_snippet(chosen: Document) -> None:
    use = chosen.answer.use
    assert use is not None
    assert use.format == "genai"
    compile(use.snippet, "snippet", "exec")
    assert ("tune --space recipe.yaml") in dict(use.commands)


@pytest.mark.parametrize(
    ("passes", "found"),
    [
        (["lora", "merge_adapter"], "hf"),
        (["lora"], "adapter"),
        (["full_finetune", "onnx_export", "static_int8", "session"], "onnx"),
        (["gptq"], "quantized"),
        (["a-plug-in"], ""),
        ([], "hf"),
    ],
)
def test_what_a_pipeline_gives_is_known_by_its_passes(
    engine: Engine, chosen: Document, passes: list[str], found: str
) -> None:
    study = Study(StudyReader(engine), "chosen")
    best = study.best
    assert best is not None
    steps = tuple({"id": name, "pass": name, "parameters": {}} for name in passes)
    study.load()
    study.name = "it's"
    use = use_of(study, replace(best, row=replace(best.row, steps=steps)))
    assert use.format == found
    compile(use.snippet, "snippet", "exec")
    assert "'it'\"'\"'s'" in use.commands[1][0]


def test_where_nothing_fits_prices_say_what_would_help(odd: StudyReader) -> None:
    answer = collect(Study(odd, NOTHING_FITS), odd).answer
    assert answer.kind == "nothing_fits"
    assert answer.trial is None
    assert "latency<50ms" in answer.sentence
    assert all(n.missed for n in answer.nearest)
    assert answer.prices[0].prices[0].limits.startswith("latency<")


def test_where_all_failed_the_causes_are_told(odd: StudyReader) -> None:
    document = collect(Study(odd, ALL_FAILED), odd)
    assert document.answer.kind == "all_failed"
    assert document.answer.sentence == "1 of 3 trials failed in lora."
    assert {c.message for c in document.answer.causes} == {
        f"rank {n} is not to be had" for n in range(3)
    }
    assert document.failures.sentence == "3 of 3 trials failed (100%)."
    assert [g.reason for g in document.failures.groups] == ["error", "out_of_memory", "timeout"]


@pytest.mark.parametrize(
    ("name", "kind", "state"),
    [
        (NO_TRIAL, "running", "running"),
        (BASELINE_ONLY, "nothing_yet", "empty"),
        (BASELINE_FAILED, "nothing_yet", "empty"),
        (ALL_SCREENED, "nothing_fits", "finished"),
        (RUNNING, "running", "running"),
        (KILLED, "chosen", "killed"),
        (NO_NUMBERS, "nothing_yet", "finished"),
        (BUILT_ONLY, "chosen", "finished"),
        (FOREIGN, "chosen", "finished"),
        (MIXED, "chosen", "finished"),
    ],
)
def test_odd_studies_have_a_report_too(odd: StudyReader, name: str, kind: str, state: str) -> None:
    document = collect(Study(odd, name), odd)
    assert (document.answer.kind, document.head.state) == (kind, state)
    assert document.answer.title
    assert document.answer.sentence.endswith(".")


def test_names_are_kept_as_they_are(odd: StudyReader) -> None:
    document = collect(Study(odd, HOSTILE), odd)
    assert document.head.study == HOSTILE
    labels = [c.label for c in document.trials.columns]
    assert "lora.<b>0</b>|=1" in labels


def test_a_study_that_runs_or_was_killed_has_a_best_so_far(odd: StudyReader) -> None:
    for name in (RUNNING, KILLED):
        assert collect(Study(odd, name), odd).answer.title == "Best so far: trial 0"


def test_a_baseline_that_failed_is_told(odd: StudyReader) -> None:
    answer = collect(Study(odd, BASELINE_FAILED), odd).answer
    assert answer.sentence == (
        "The baseline gave no numbers: crashed in latency: it ended with signal 11."
    )


# The head


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("nightly/2026-11-20/minilm", ("nightly", "2026-11-20", "minilm")),
        ("nightly/2026-11-20/minilm/watch-1", ("nightly", "2026-11-20", "minilm/watch-1")),
        ("quickstart-be9f8d94", (None, None, None)),
        ("a/b", (None, None, None)),
        ("//", (None, None, None)),
    ],
)
def test_a_sweeps_study_says_its_night(name: str, parts: tuple[str | None, ...]) -> None:
    assert sweep_of(name) == parts


def test_the_head_counts_trials_by_how_they_ended(scripted: Document) -> None:
    head = scripted.head
    assert head.trials.value == 120
    assert sum(s.count.value or 0 for s in head.states) == 120
    assert head.objectives == ("minimize tpot", "maximize accuracy")
    assert head.state == "finished"
    assert head.last_event is not None


# Trials and the front


def test_every_trial_is_a_row_with_what_was_chosen_and_measured(scripted: Document) -> None:
    table = scripted.trials
    assert (table.shown, len(table.rows), table.sentence) == (120, 120, "")
    names = [c.name for c in table.columns]
    assert {"lora.r", "genai_builder.precision", "tpot", "accuracy", "latency"} <= set(names)
    kinds = {c.name: c.numeric for c in table.columns if c.kind == "decision"}
    assert kinds["lora.r"]
    assert not kinds["genai_builder.precision"]
    assert not kinds["lora"]


def test_of_a_long_study_those_that_matter_and_a_sample_are_shown(
    engine: Engine, scripted: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect_trials, "MOST_TRIALS", 60)
    monkeypatch.setattr(collect_trials, "_LAST", 10)
    found = of(engine, "tones")
    numbers = {row[0].value for row in found.trials.rows if row[0] is not None}
    whole = {p.number for p in scripted.front.points if p.on_front}
    assert whole <= numbers
    assert set(range(110, 120)) <= numbers
    assert 50 <= len(numbers) <= 70
    assert found.trials.sentence.startswith(f"{len(numbers)} trials of 120 are shown")
    states = {row[1].value for row in found.trials.rows if row[1] is not None}
    assert states == {s.name for s in found.head.states}


def test_a_limit_on_an_objective_is_a_line(chosen: Document) -> None:
    [line] = chosen.front.limits
    assert chosen.front.axes[line.axis].name == "accuracy"
    assert not line.upper
    assert line.limit.value == pytest.approx(0.6)
    assert chosen.front.baseline is not None
    assert [p.number for p in chosen.front.points if p.chosen] == [0]


# Stages, failures, environment, recipe


def nodes(found: tuple[StageNode, ...]) -> Iterator[StageNode]:
    for node in found:
        yield node
        yield from nodes(node.children)


def test_the_tree_of_stages_adds_up_to_its_totals(scripted: Document) -> None:
    stages = scripted.stages
    every = list(nodes(stages.roots))
    assert not stages.more
    assert not sum(node.more for node in every)
    assert sum(n.spent.value or 0.0 for n in every) == pytest.approx(stages.spent.value)
    assert sum(n.saved.value or 0.0 for n in every) == pytest.approx(stages.saved.value)
    assert sum(p.hits.value or 0 for p in stages.passes) == sum(n.hits.value or 0 for n in every)
    lora = next(p for p in stages.passes if p.name == "lora")
    assert lora.saved.value == pytest.approx(20.0 * (lora.hits.value or 0))


def test_a_stage_says_what_the_search_chose_of_it(scripted: Document) -> None:
    texts = {n.parameters for n in nodes(scripted.stages.roots) if n.step == "genai_builder"}
    assert "precision=int4, block_size=32" in texts


def test_what_changed_between_commands_is_told(engine: Engine) -> None:
    first = started("changed")
    changed = {**first.environment, "python": "3.12.1"}
    second = replace(first, resumed=True, environment=changed)
    for event in (first, second):
        with StudyWriter(engine, "changed") as writer:
            for one in (event, asked(0 if event.resumed else 1, r=1), StudyStopped("x", None, 1.0)):
                writer(one)
    environment = of(engine, "changed").environment
    assert len(environment.commands) == 2
    [difference] = environment.differences
    assert (difference.name, difference.texts) == ("python", ("3.11.9", "3.12.1"))


def test_a_recipe_is_a_space_with_one_candidate(chosen: Document, tmp_path: Path) -> None:
    place = Path(chosen.recipe.space_path).parent / "recipe.yaml"
    space = parse_space(chosen.recipe.text, place, vocabulary()).space
    assert [o.text for o in space.objectives] == ["maximize accuracy", "minimize tpot"]
    assert [c.text for c in space.constraints] == ["latency<70ms", "accuracy>=baseline-10%"]
    assert chosen.recipe.trial == 0


def test_a_recipe_of_a_space_that_cannot_be_read_has_the_trials_values(odd: StudyReader) -> None:
    recipe = collect(Study(odd, MIXED), odd).recipe
    assert recipe.trial == 2
    assert "all-linear" in recipe.text
    assert recipe.note


# Quality


def session(*blocks: float) -> dict[str, object]:
    return {"samples": {}, "anchor": {"latency": [[b] for b in blocks]}}


def test_halves_are_taken_so_that_drift_hits_both_alike() -> None:
    drifting = [1.0, 1.1, 1.21, 1.331]
    [found] = halves([(3, "dev", "k", [session(*drifting)])], "latency")
    assert sum(found.logs) == pytest.approx(0.0)


def test_a_measurement_that_several_trials_share_is_compared_once() -> None:
    rows = [(n, "dev", "k", [session(1.0, 1.1)]) for n in range(3)]
    assert len(halves(rows, "latency")) == 1
    assert halves([(1, "dev", "k", [session(1.0)])], "latency") == []
    assert halves([(1, "dev", "k", [session(1.0, 0.0)])], "latency") == []


def test_intervals_of_equal_halves_hold_one_about_as_often_as_they_say() -> None:
    draw = random.Random(0)
    sessions = [Halves(n, 1, "dev", (draw.gauss(0, 0.1), draw.gauss(0, 0.1))) for n in range(400)]
    held = sum(map(holds_one, self_ratios(sessions)))
    assert 0.94 <= held / 400 <= 1.0
    assert held < 400
    assert holds_one(pooled_ratio(sessions))


def test_halves_that_differ_are_told_apart() -> None:
    draw = random.Random(0)
    sessions = [Halves(n, 1, "dev", (draw.gauss(0.2, 0.1),) * 2) for n in range(100)]
    assert not holds_one(pooled_ratio(sessions))


def test_blocks_of_the_chosen_and_the_baseline_are_shown(chosen: Document) -> None:
    roles = {m.role for m in chosen.quality.measured}
    assert {"chosen", "baseline"} <= roles
    first = chosen.quality.measured[0]
    assert (first.number, len(first.sessions)) == (0, 3)
    assert all(block.baseline for s in first.sessions for block in s.blocks)
    assert chosen.quality.check.share is not None


# Numbers as text


@pytest.mark.parametrize(
    ("form", "unit", "numbers", "text"),
    [
        ("quantity", "s", (0.0057, 0.0051, 0.0063), "5.70 ms (5.10-6.30)"),
        ("quantity", "s", (0.0057, None, None), "5.70 ms"),
        ("ratio", "", (0.25, 0.19, 0.32), "x0.25 (0.19 to 0.32)"),
        ("points", "fraction", (0.144, 0.046, 0.238), "+14.4 points (+4.6 to +23.8)"),
        ("change", "s", (-0.001, -0.002, 0.001), "-1.00 ms (-2.00 to +1.00)"),
        ("share", "", (0.39, 0.0, 0.91), "39 % (0 to 91)"),
        ("count", "", (12345, None, None), "12,345"),
        ("moment", "s", (0, None, None), "1970-01-01 00:00 UTC"),
        ("duration", "s", (200.0, None, None), "3 min 20 s"),
        ("quantity", "s", (float("inf"), None, None), "inf"),
        ("ratio", "", (None, None, None), "-"),
    ],
)
def test_a_number_reads_as_its_form_says(
    form: str, unit: str, numbers: tuple[float | None, ...], text: str
) -> None:
    assert text_of(form, unit, *numbers) == text


def test_literals_are_quoted_as_sql_has_it() -> None:
    assert literal("it's") == "'it''s'"
    assert literal(True) == "TRUE"
    assert literal(None) == "NULL"
    assert literal(0.1) == "0.1"


def test_independent_values_are_compared_by_their_intervals() -> None:
    found = change.ratio([(2.0, 1.8, 2.2), (4.0, 4.0, 4.0)])
    assert found is not None
    assert (found.value, round(found.low, 3), round(found.high, 3)) == (0.5, 0.45, 0.55)
    assert change.ratio([(0.0, None, None), (4.0, None, None)]) is None
    gap = change.gap([(0.7, 0.6, 0.8), (0.5, None, None)])
    assert gap is not None
    assert gap.low == pytest.approx(0.1)
    assert change.gap([(None, None, None), (0.5, None, None)]) is None
    assert change.paired_gap([("accuracy", "accuracy", "[]")]) is None
    assert change.paired_gap([("a-plug-in", "m", "[]"), ("a-plug-in", "m", "[]")]) is None
