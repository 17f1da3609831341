from __future__ import annotations

import json
import math
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from tuner.study.encoding import as_number, clean, number_or_none, plain_text, to_json


def test_json_has_no_infinities() -> None:
    value = {"scores": [-math.inf, (math.nan, 1.5)], "label": "joy"}
    assert json.loads(to_json(value)) == {"scores": [None, [None, 1.5]], "label": "joy"}


def test_json_keeps_what_people_write() -> None:
    assert to_json({"name": "é\U0001f600"}) == '{"name": "é\U0001f600"}'


def test_mappings_become_objects() -> None:
    assert to_json(MappingProxyType({"r": 4})) == '{"r": 4}'


def test_what_json_cannot_hold_is_named() -> None:
    with pytest.raises(TypeError, match="PosixPath"):
        to_json({"path": Path("/")})


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a\0b", "a\ufffdb"), ("é\udcff", "é?"), ("\ud800", "?"), ("ü\U0001f600", "ü\U0001f600")],
)
def test_text_that_databases_refuse_is_replaced(text: str, expected: str) -> None:
    assert clean(text) == expected


def test_surrogates_inside_json_are_replaced() -> None:
    assert json.loads(to_json(["\udcff"])) == ["?"]


@pytest.mark.parametrize(
    ("value", "text", "number"),
    [
        ("int8", "int8", None),
        (True, "true", None),
        (16, "16", 16.0),
        (1e-4, "0.0001", 1e-4),
        (None, None, None),
        (["q", "v"], '["q", "v"]', None),
    ],
)
def test_parameter_values_as_text_and_number(
    value: Any, text: str | None, number: float | None
) -> None:
    assert plain_text(value) == text
    assert as_number(value) == number


def test_nan_is_no_number_and_infinity_is_one() -> None:
    assert number_or_none(math.nan) is None
    assert number_or_none(math.inf) == math.inf
    assert number_or_none(None) is None
