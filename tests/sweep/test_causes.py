from __future__ import annotations

from typing import Any

import pytest
from made_nights import STEPS, entry, latency, night, watched

from tuner.sweep.causes import causes
from tuner.sweep.records import REFERENCE, Night, Watched


def texts(tonight: Night, reference: Night) -> list[str]:
    return [cause.text for cause in causes(tonight, reference, "minilm")]


def two_nights(now: dict[str, Any], *, made: Watched | None = None) -> tuple[Night, Night]:
    """Tonight, of which so much is another thing, and the night before it."""
    again = made or watched(latency(), label=REFERENCE)
    return night(entry(again), name="n2", **now), night(entry(watched(latency())))


def of_settings(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    first = night(entry(watched(latency()), settings=before))
    return texts(night(entry(watched(latency()), settings=now), name="n2"), first)


def test_another_machine_comes_first() -> None:
    now = {"machine": {"cpu": "Other", "cores": "2"}, "commit": "b" * 40}
    assert texts(*two_nights(now))[0] == "machine: cpu AMD EPYC -> Other"


def test_the_runtime_of_the_model_comes_before_what_makes_it_and_other_libraries() -> None:
    now = {"versions": {"torch": "2.14.0", "onnxruntime": "1.32.0", "scipy": "1.0"}}
    found = texts(*two_nights(now))
    assert found[:2] == [
        "onnxruntime 1.31.1 -> 1.32.0 (runtime of this model)",
        "torch 2.13.0 -> 2.14.0 (used to make this model)",
    ]
    assert found[2] == "scipy none -> 1.0 (not known to be used by this model)"


def test_an_option_that_the_plan_fixes_otherwise_is_named_with_both_values() -> None:
    session = {"id": "session", "pass": "session"}
    values = {"graph_optimization_level": "disable", "intra_op_num_threads": 2}
    steps = (STEPS[0], {**session, "parameters": values})
    made = watched(latency(), key="other", label=REFERENCE, steps=steps)
    found = texts(*two_nights({}, made=made))
    assert found == ["session.graph_optimization_level: all -> disable"]


def test_a_choice_that_became_fixed_in_the_space_is_one_cause() -> None:
    def pipeline(parameter: dict[str, Any]) -> dict[str, Any]:
        step = {"id": "session", "parameters": {"level": parameter | {"when": None}}}
        return {"pipeline": [{"one_of": [[], [step]]}]}

    before, now = pipeline({"choices": ["all", "basic"]}), pipeline({"value": "disable"})
    found = of_settings(before, now)
    assert found[0].endswith('session.level: ["all", "basic"] -> disable')
    assert len([f for f in found if "level" in f]) == 1


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"model": "abcdef0123456789"}, "the model is another one: 000000000000 -> abcdef012345"),
        ({"data_keys": {"test": "ff"}}, "the data of test is another one: none -> ff"),
        ({"metrics": {"latency": {"new_tokens": 8}}}, "metrics.latency.new_tokens: 4 -> 8"),
    ],
)
def test_what_the_study_asked_otherwise_is_named(settings: dict[str, Any], expected: str) -> None:
    before = {"model": "0" * 64, "metrics": {"latency": {"new_tokens": 4}}}
    assert of_settings(before, before | settings)[0] == expected


def test_another_commit_is_named_in_short() -> None:
    [first, *_] = texts(*two_nights({"commit": "b" * 40}))
    assert first == f"commit {'a' * 12} -> {'b' * 12}"


def test_changes_that_were_not_committed_are_told() -> None:
    assert "not committed, on n2" in texts(*two_nights({"dirty": True}))[0]


def test_where_nothing_changed_it_says_so_and_that_the_bytes_are_the_same() -> None:
    found = texts(*two_nights({}))
    assert found[0].startswith("nothing that is recorded changed")
    assert found[1].startswith("the same bytes")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"stages": {"onnx_export": "k2"}}, "made of something else: onnx_export"),
        ({"made": ("onnx_export",)}, "made anew from the same: onnx_export"),
    ],
)
def test_a_stage_that_was_made_again_is_named(more: dict[str, Any], expected: str) -> None:
    made = watched(latency(), label=REFERENCE, **more)
    assert expected in texts(*two_nights({}, made=made))


def test_an_entry_of_one_night_only_has_none() -> None:
    assert causes(night(entry(name="new"), name="n2"), night(), "new") == ()


def test_a_long_value_is_cut() -> None:
    [first, *_] = of_settings({"template": "a" * 500}, {"template": "b" * 500})
    assert len(first) < 160
