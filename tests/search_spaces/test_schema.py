"""The schema of a space against the reader of spaces, which has the last word."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from sample_space import SPACE, VOCABULARY, read, write_data
from space_mistakes import MISTAKES, mutated

from search_spaces.problems import Problems, SpaceError
from search_spaces.schema import space_schema
from search_spaces.yaml_nodes import ListNode, MappingNode, Node, compose

SCHEMA = space_schema(VOCABULARY)
VALIDATOR = Draft202012Validator(SCHEMA)

# Mistakes that take more to see than the file's own words: other files, the whole, or arithmetic.
BEYOND_A_SCHEMA = (
    *("model missing folder", "model is a file", "model no form", "pypi no version"),
    *("pypi no member", "pypi sha", "pypi climbs out", "data missing file", "data is a folder"),
    *("template no column", "template brace", "template format", "label not last", "label twice"),
    *("label unknown", "split sum", "no data", "range order", "log from zero", "none twice"),
    *("condition syntax", "condition call", "condition name", "condition value"),
    *("condition type", "condition unquoted", "condition constant", "condition self"),
    *("condition later", "condition unset", "condition bare", "condition step", "no merge"),
    *("no merge cure", "optional merge", "twice built", "early session", "objective twice"),
    *("over 100 %", "negative time", "contradiction", "touching", "tolerance", "tolerance zero"),
    "grid continuous",
)

VARIANTS = (
    ("objectives: [minimize latency, maximize accuracy]", "objectives: minimize latency.p95"),
    ("- latency<50ms", "- {constraint: latency <= baseline + 10%, tolerance: 5ms}"),
    ("- latency<50ms", "- latency < 0.5 * baseline"),
    ("- latency<50ms", "- throughput>=12.5tokens/s\n  - perplexity<=1.1*baseline"),
    ("files: tones.jsonl", "files: {train: [tones.jsonl], dev: tones.jsonl}"),
    ("label: tone", "label: tone\n  split: {dev: 0.1}\n  seed: 3"),
    ("- merge_adapter", "- one_of: [merge_adapter, [{merge_adapter: {}}]]"),
    ("- session:\n      threads: {choices: [1, 2]}", "- {one_of: [session], optional: true}"),
    ("- session:\n      threads: {choices: [1, 2]}", "- one_of: [none, [session, session]]"),
    ("- merge_adapter", "- merge_adapter:"),
    ("max_steps: 100", "max_steps: {value: 20, when: r > 4}"),
    ("max_steps: 100", "max_steps: {range: [10, 20], step: 5}"),
    ("max_steps: 100", "target_modules: {choices: [[q_proj], all-linear]}"),
    ("optional: true", "optional: true\n    baseline: true"),
    ("{strategy: tpe, trials: 30, seed: 7}", "{trials: null, max_time: 1h 30m}"),
    ("{strategy: tpe, trials: 30, seed: 7}", "{max_time: 90}"),
    ("limits: {time: 10m, memory: 4GB}", "limits:"),
    ("limits: {time: 10m, memory: 4GB}", "limits: {fidelity: false}"),
    ("model: org/tiny", "name: 2026\nmodel: org/tiny@main"),
    ("  latency: {prompt_tokens: 32}", "  latency:"),
)


def plain(node: Node | None) -> Any:
    if isinstance(node, MappingNode):
        return {key: plain(entry.node) for key, entry in node.entries.items()}
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    return None if node is None else node.value


def errors(text: str) -> list[str]:
    """What the schema says is wrong with a space; what is no YAML is wrong too."""
    problems = Problems()
    node = compose(text, "space.yaml", problems)
    if problems.found:
        return [str(problem) for problem in problems.found]
    return [error.message for error in VALIDATOR.iter_errors(plain(node))]


def test_the_schema_is_one_of_its_draft() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("case", MISTAKES, ids=[case[0].replace(" ", "_") for case in MISTAKES])
def test_a_mistake_that_the_file_itself_shows_is_refused(
    case: tuple[str, str, str, int | None, str],
) -> None:
    name, old, new, _, _ = case
    assert bool(errors(SPACE.replace(old, new, 1))) != (name in BEYOND_A_SCHEMA)


@pytest.mark.parametrize(("old", "new"), VARIANTS)
def test_whatever_may_be_written_is_taken(old: str, new: str, tmp_path: Path) -> None:
    assert old in SPACE
    text = SPACE.replace(old, new, 1)
    read(text, write_data(tmp_path))
    assert errors(text) == []


def test_a_mutant_that_the_reader_takes_is_taken(tmp_path: Path) -> None:
    path, rng, taken = write_data(tmp_path), random.Random(20), 0
    for text in (mutated(rng) for _ in range(500)):
        try:
            read(text, path)
        except SpaceError:
            continue
        if "\t" not in text:  # the reader closes up a word that is torn apart
            taken += 1
            assert errors(text) == [], text
    assert taken > 10


@pytest.mark.parametrize(
    ("place", "block", "path"),
    [
        ("model:", "zzz: 1\nmodel:", ()),
        ("  files:", "  zzz: 1\n  files:", ("data",)),
        ("search: {", "search: {zzz: 1, ", ("search",)),
        ("limits: {", "limits: {zzz: 1, ", ("limits",)),
    ],
)
def test_schema_and_reader_know_the_same_keys(
    place: str, block: str, path: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(SpaceError) as caught:
        read(SPACE.replace(place, block, 1), write_data(tmp_path))
    told = re.search(r"unknown key 'zzz'.*?, expected ([\w, ]+)", str(caught.value))
    assert told is not None
    part: Mapping[str, Any] = SCHEMA
    for key in path:
        part = part["properties"][key]
    assert set(re.split(r", | or ", told[1])) == set(part["properties"])


def test_parameters_bring_their_meaning_values_and_default() -> None:
    rank = SCHEMA["$defs"]["pass_lora"]["properties"]["r"]
    assert rank["description"] == "rank (a whole number from 1 to 512)"
    assert rank["default"] == 16
