from __future__ import annotations

import pytest

from tuner.report.words import (
    duration,
    ending,
    interval_text,
    parameter_texts,
    plural,
    value_text,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.9, "9.9 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_only_parameters_that_differ_are_shown() -> None:
    one = {"lora": True, "lora.r": 16, "genai_builder.precision": "int4"}
    two = {"lora": False, "genai_builder.precision": "int4"}
    assert parameter_texts([one, two]) == [["r=16"], ["no lora"]]


def test_a_name_that_two_passes_have_keeps_its_pass() -> None:
    one = {"lora.seed": 1, "gptq.seed": 2, "gptq.bits": 4}
    [texts] = parameter_texts([one], all_of_them=True)
    assert texts == ["lora.seed=1", "gptq.seed=2", "bits=4"]


def test_values_read_well() -> None:
    values = [0.00050, ["q_proj", "v_proj"], True, None, 7, "int4"]
    assert [value_text(v) for v in values] == [
        "0.0005",
        "q_proj+v_proj",
        "yes",
        "none",
        "7",
        "int4",
    ]


def test_an_interval_names_its_unit_once_where_it_can() -> None:
    estimate = {"value": 0.00541, "low": 0.0053, "high": 0.00552, "unit": "s"}
    assert interval_text(estimate) == "5.41 ms (5.30-5.52)"
    assert interval_text(estimate | {"low": 0.0009}) == "5.41 ms (900 us-5.52 ms)"
    assert interval_text(estimate | {"low": 0.00541, "high": 0.00541}) == "5.41 ms"


def test_plurals() -> None:
    assert (plural(1, "trial"), plural(1200, "trial")) == ("1 trial", "1,200 trials")


@pytest.mark.parametrize(
    ("state", "verdict", "said"),
    [
        ("complete", "feasible", "feasible"),
        ("failed", None, "failed"),
        ("built", "feasible", "built"),
        ("built", None, "built"),
        ("built", "undecided", "built, undecided"),
    ],
)
def test_ending_says_where_a_model_was_only_built(
    state: str, verdict: str | None, said: str
) -> None:
    assert ending(state, verdict) == said
