from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

from sample_space import GENAI, LATENCY, LORA, MERGE, SESSION, SIZE, VOCABULARY

from search_spaces.conditions import parse_condition
from search_spaces.formats import Misfit, misfits
from search_spaces.space import Choices, Domain, OneOf, Range, Step
from search_spaces.vocabulary import EvaluatorSpec


def found(
    *items: Step | OneOf, evaluators: Iterable[EvaluatorSpec] = (LATENCY,)
) -> list[tuple[str, bool]]:
    return [(m.name, m.is_step) for m in misfits(items, evaluators, VOCABULARY.passes)]


def lora(name: str = "lora", **parameters: Domain) -> Step:
    return Step(name, LORA, parameters, optional=True)


MERGED = Step("merge_adapter", MERGE, {})
BUILT = Step("genai_builder", GENAI, {})


def test_optional_steps_that_fit_either_way_are_fine() -> None:
    assert found(lora(), MERGED, BUILT, Step("session", SESSION, {})) == []


def test_a_misfit_of_some_combination_is_found() -> None:
    assert found(lora(), BUILT) == [("genai_builder", True)]


def test_an_evaluator_must_take_what_goes_out_in_every_combination() -> None:
    built = Step("genai_builder", GENAI, {}, optional=True)
    assert found(built) == [("latency", False)]
    assert found(built, evaluators=(SIZE,)) == []


def test_conditions_that_keep_steps_together_are_followed() -> None:
    together = Step("merge_adapter", MERGE, {}, when=parse_condition("lora"))
    apart = Step("merge_adapter", MERGE, {}, when=parse_condition("not lora"))
    assert found(lora(), together, BUILT) == []
    assert found(lora(), apart, BUILT) == [("genai_builder", True)]


def test_conditions_on_values_are_followed() -> None:
    ranks = lora(r=Choices((4, 16)))
    some = Step("merge_adapter", MERGE, {}, when=parse_condition("lora.r > 8"))
    every = Step("merge_adapter", MERGE, {}, when=parse_condition("lora.r in [4, 16]"))
    assert found(ranks, some, BUILT) == [("genai_builder", True)]
    assert found(ranks, every, BUILT) == []


def test_conditions_on_alternatives_are_followed() -> None:
    one_of = OneOf("one_of", ("lora", "none"), ((Step("lora", LORA, {}),), ()))
    merged = Step("merge_adapter", MERGE, {}, when=parse_condition("one_of == 'lora'"))
    wrong = Step("merge_adapter", MERGE, {}, when=parse_condition("one_of == 'none'"))
    assert found(one_of, merged, BUILT) == []
    assert found(one_of, wrong, BUILT) == [("genai_builder", True)]


def test_the_cure_is_named() -> None:
    merge = Step("merge_adapter", MERGE, {}, optional=True)
    assert misfits([lora(), merge, BUILT], [], VOCABULARY.passes) == [
        Misfit(
            "genai_builder",
            "takes hf, not adapter, which lora gives; "
            "merge_adapter would give what fits, so it must not be left out",
            is_step=True,
        )
    ]


def test_conditions_on_very_many_combinations_cost_little() -> None:
    wide: Domain = Range(1, 64, integer=True)
    names = ("r", "alpha", "learning_rate", "max_steps")
    steps: list[Step] = []
    for number in range(4):
        steps.append(lora(f"lora_{number}", **dict.fromkeys(names, wide)))
        steps.append(Step(f"merge_{number}", MERGE, {}))
    asked = " and ".join(f"lora_{n}.{name} > 0" for n in range(4) for name in names)
    last = Step("genai_builder", GENAI, {}, when=parse_condition(f"{asked} or not lora_0"))
    started = time.perf_counter()
    assert found(*steps, last) == [("latency", False)]
    assert time.perf_counter() - started < 1


def test_a_metric_that_the_model_s_format_lacks_is_found_where_it_is_asked_for() -> None:
    times = VOCABULARY.evaluators["latency"]
    whole, first = times.metrics[0], replace(times.metrics[1], formats=frozenset({"onnx"}))
    both = replace(times, metrics=(whole, first), formats=frozenset({"genai", "onnx"}))
    asked = [(both, whole), (both, first)]
    assert misfits([BUILT], [both], VOCABULARY.passes, asked=asked) == [
        Misfit(
            "ttft",
            "is a metric of onnx, not of genai, which genai_builder gives; that has latency",
            is_step=False,
        )
    ]
    assert misfits([BUILT], [both], VOCABULARY.passes, asked=asked[:1]) == []
    assert first.is_of("onnx")
    assert whole.is_of("onnx")
