"""Nothing need be kept back for confirming: a split of which `test` is 0."""

from __future__ import annotations

from pathlib import Path

import pytest

from search_spaces import SpaceError, parse_space
from search_spaces.data import split_names
from tuner.registry import vocabulary

SPACE = """
model: {model}
task: text-generation
data: {{files: {data}, template: "{{phrase}}", split: {{{split}}}}}
pipeline: [lora]
objectives: [minimize perplexity]
limits: {{faults: false}}
"""


def text(model: Path, data: Path, split: str) -> str:
    return SPACE.format(model=model, data=data, split=split)


def test_a_test_share_of_0_leaves_no_test_split(tiny_phi3: Path, tone_file: Path) -> None:
    read = parse_space(text(tiny_phi3, tone_file, "dev: 0.1, test: 0"), None, vocabulary()).space
    assert read.data is not None
    assert split_names(read.data) == ("train", "dev")
    assert not read.limits.faults


def test_a_share_below_0_is_refused(tiny_phi3: Path, tone_file: Path) -> None:
    with pytest.raises(SpaceError, match=r"data\.split\.test: found .* between 0 and 1"):
        parse_space(text(tiny_phi3, tone_file, "dev: 0.1, test: -1"), None, vocabulary())
