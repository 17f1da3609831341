from __future__ import annotations

import pickle

import pytest

from search_spaces.conditions import Condition, ConditionError, compared_values, parse_condition
from search_spaces.vocabulary import Value

SCOPE: dict[str, Value] = {
    "lora": True,
    "lora.r": 16,
    "lora.target_modules": ("q", "v"),
    "lora.modules": "all-linear",
    "precision": "int4",
    "lora.max_steps": None,
    "merge": False,
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("precision == 'int4'", True),
        ("precision != 'int4'", False),
        ("precision in ['int8', 'int4']", True),
        ("precision not in ('int8', 'int4')", False),
        ("lora", True),
        ("not merge", True),
        ("lora == true", True),
        ("merge == False", True),
        ("lora.r >= 16 and lora.r < 17", True),
        ("4 < lora.r <= 15", False),
        ("lora.r > -1", True),
        ('(merge or lora) and precision == "int4"', True),
        ("'q' in lora.target_modules", True),
        ("'k' in lora.target_modules", False),
        ("'all-linear' in lora.modules", True),
        ("'linear' in lora.modules", False),
        ("lora.target_modules == ['q', 'v']", True),
        ("lora.max_steps == null", True),
        ("lora.max_steps < 3", False),
        ("lora.max_steps >= 3", False),
        ("quantize", False),
        ("not quantize", True),
        ("quantize.bits == 4", False),
        ("quantize.bits == None", True),
        ("quantize.bits < 4", False),
        ("precision < 4", False),
        ("precision\n  == 'int4'", True),
    ],
)
def test_a_condition_holds_or_not(text: str, holds: bool) -> None:
    assert parse_condition(text).evaluate(SCOPE) is holds


def test_names_are_whole_and_without_the_words_of_yaml() -> None:
    condition = parse_condition("lora and lora.r > 4 and precision in ['x', other] and a == null")
    assert condition.names == {"lora", "lora.r", "precision", "other", "a"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the condition is empty"),
        ("lora =", "write == to compare"),
        ("precision = 'int4'", "write == to compare"),
        ("a && b", "write and instead of &&"),
        ("a || b", "write or instead of ||"),
        ("!a", "write not instead of !"),
        ("a b", "is not a condition"),
        ("(" * 300, "is not a condition"),
        ("a" * 1001, "1001 characters"),
        ("len(a)", "a call cannot be part"),
        ("__import__('os').system('true')", "cannot be part"),
        ("a + 1 == 2", "arithmetic cannot be part"),
        ("a[0] == 1", "an element of a list cannot"),
        ("a.b.c", "more than one dot"),
        ("'x'.upper == a", "cannot be part"),
        ("a if b else c", "an if cannot"),
        ("(a := 1)", "an assignment cannot"),
        ("lambda: a", "cannot be part"),
        ("[x for x in a]", "cannot be part"),
        ("a == f'{b}'", "cannot be part"),
        ("a == b'x'", "cannot be part"),
        ("a == ...", "cannot be part"),
        ("a is None", "write == or !="),
        ("a == {1}", "cannot be part"),
        ("1 < 2", "asks about no step"),
        ("a\0", "is not a condition"),
    ],
)
def test_what_is_no_condition_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConditionError) as caught:
        parse_condition(text)
    assert message in str(caught.value)


def test_conditions_are_equal_by_text_and_travel_between_processes() -> None:
    condition = parse_condition("lora.r > 4")
    assert condition == parse_condition(" lora.r > 4 ")
    assert hash(condition) == hash(Condition("lora.r > 4", frozenset()))
    copy = pickle.loads(pickle.dumps(condition))
    assert copy == condition
    assert copy.names == {"lora.r"}
    assert copy.evaluate(SCOPE)


def test_the_values_that_names_are_compared_with() -> None:
    condition = parse_condition("p == 'a' and 3 != lora.r and q not in ['b', -1, x] and r < 4")
    assert compared_values(condition) == [("p", "a"), ("lora.r", 3), ("q", "b"), ("q", -1)]
