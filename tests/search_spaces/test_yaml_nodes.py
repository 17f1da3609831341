from __future__ import annotations

import pytest

from search_spaces.problems import Problems
from search_spaces.yaml_nodes import ListNode, MappingNode, ScalarNode, compose, resolve


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("Yes", True),
        ("off", False),
        ("12", 12),
        ("-12", -12),
        ("+3", 3),
        ("0", 0),
        ("1e-4", 1e-4),
        ("1E3", 1000.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("2.", 2.0),
        ("-1.0e-4", -1e-4),
        ("010", "010"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("1e999", "1e999"),
        ("9" * 50, "9" * 50),
        ("e5", "e5"),
        (".", "."),
        ("y", "y"),
    ],
)
def test_a_plain_scalar_is_what_a_person_means(raw: str, value: object) -> None:
    assert resolve(raw) == value
    assert type(resolve(raw)) is type(value)


def test_nodes_know_their_lines_and_quotes() -> None:
    problems = Problems()
    root = compose("a: 1\nb:\n  - 'x'\n  - {c: no}\n", "f.yaml", problems)
    assert problems.found == []
    assert isinstance(root, MappingNode)
    assert [e.place.line for e in root.entries.values()] == [1, 2]
    listing = root.entries["b"].node
    assert isinstance(listing, ListNode)
    quoted, inner = listing.items
    assert isinstance(quoted, ScalarNode)
    assert (quoted.quoted, quoted.value, quoted.place.line) == (True, "x", 3)
    assert isinstance(inner, MappingNode)
    assert inner.entries["c"].place.line == 4


@pytest.mark.parametrize(
    ("merge", "expected"),
    [
        ("{<<: {x: 1, y: 2}, x: 3}", {"x": 3, "y": 2}),
        ("{x: 3, <<: {x: 1, y: 2}}", {"x": 3, "y": 2}),
        ("{<<: [{x: 1}, {x: 2, y: 2}]}", {"x": 1, "y": 2}),
        ("{'<<': 1}", {"<<": 1}),
    ],
)
def test_a_merge_brings_in_what_is_not_there(merge: str, expected: dict[str, int]) -> None:
    root = compose(merge, "f.yaml", Problems())
    assert isinstance(root, MappingNode)
    values = {k: e.node.value for k, e in root.entries.items() if isinstance(e.node, ScalarNode)}
    assert values == expected


def test_every_duplicate_key_is_told() -> None:
    problems = Problems()
    compose("a: 1\nb: {c: 1, c: 2}\na: 2\n", "f.yaml", problems)
    assert [(p.line, p.message[:9]) for p in problems.found] == [(2, "the key '"), (3, "the key '")]
