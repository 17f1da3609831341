"""Data is asked for only where a pass can have values with which it reads some."""

from __future__ import annotations

import pytest

from search_spaces.problems import SpaceError
from search_spaces.reader import parse_space
from search_spaces.space import Space
from tuner.registry import vocabulary


def read(algorithm: str) -> Space:
    text = f"""
model: org/model
task: text-generation
pipeline:
  - genai_builder: {{precision: fp32}}
  - weight_only: {{algorithm: {algorithm}}}
objectives: [minimize size]
"""
    return parse_space(text, None, vocabulary()).space


@pytest.mark.parametrize("algorithm", ["hqq", "{choices: [default, rtn]}"])
def test_rounding_that_measures_nothing_needs_no_data(algorithm: str) -> None:
    assert read(algorithm).data is None


@pytest.mark.parametrize("algorithm", ["gptq", "{choices: [default, gptq]}"])
def test_rounding_that_may_measure_needs_data(algorithm: str) -> None:
    with pytest.raises(SpaceError, match="weight_only learns from data"):
        read(algorithm)
