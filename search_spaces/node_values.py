"""Plain values out of YAML nodes: text, numbers, flags, lists and mappings with known keys.

Each function notes what is wrong and then returns None, so that reading goes on. Knows nothing of
what the values mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from search_spaces.problems import Place, Problems, hint, listed, nearest
from search_spaces.yaml_nodes import Entry, ListNode, MappingNode, Node, ScalarNode, describe

T = TypeVar("T")


def mapping(
    node: Node, what: str, known: Iterable[str], problems: Problems
) -> dict[str, Entry] | None:
    """The entries of a mapping whose keys are known; unknown keys are noted and left out.

    Nothing (an empty value) is an empty mapping.
    """
    if is_nothing(node):
        return {}
    names = list(known)
    if not isinstance(node, MappingNode):
        expected = f"a mapping with {listed(names, 'and')}" if names else "nothing"
        wrong(node, what, expected, problems)
        return None
    for key, entry in node.entries.items():
        if key not in names:
            unknown_key(key, entry.place, what, names, problems)
    return {key: entry for key, entry in node.entries.items() if key in names}


def require(node: Node, place: Place, what: str, keys: Iterable[str], problems: Problems) -> None:
    """Note the keys that a mapping must have and has not, unless one of its keys is nearly that."""
    given = list(node.entries) if isinstance(node, MappingNode) else []
    for key in keys:
        misspelt = any(nearest(other, (key,)) for other in given)
        if key not in given and not misspelt:
            problems.add(place, f"{what}the key {key!r} is missing")


def unknown_key(
    key: str, place: Place, what: str, known: Iterable[str], problems: Problems
) -> None:
    """Note a key that has no meaning in `what`, with the nearest that has one."""
    names = list(known)
    expected = f"expected {listed(names)}" if names else "it takes none"
    where = f" in {what}" if what else ""
    problems.add(place, f"unknown key {key!r}{where}, {expected}{hint(key, names)}")


def items(node: Node, what: str, expected: str, problems: Problems) -> tuple[Node, ...]:
    """The items of a list; a single value is a list of one, nothing is an empty list."""
    if isinstance(node, ListNode):
        return node.items
    if isinstance(node, MappingNode):
        wrong(node, what, f"a list of {expected}", problems)
        return ()
    return () if is_nothing(node) else (node,)


def text(node: Node, what: str, expected: str, problems: Problems) -> str | None:
    """Text that is not blank; a number counts as its digits, a boolean does not."""
    value = node.value if isinstance(node, ScalarNode) else None
    if isinstance(node, ScalarNode) and type(value) in (str, int, float) and node.raw.strip():
        return node.raw
    wrong(node, what, expected, problems)
    return None


def flag(node: Node, what: str, problems: Problems) -> bool | None:
    """True or false."""
    if isinstance(node, ScalarNode) and isinstance(node.value, bool):
        return node.value
    wrong(node, what, "true or false", problems)
    return None


def whole(node: Node, what: str, low: int, high: int | None, problems: Problems) -> int | None:
    """A whole number of at least `low` and at most `high`."""
    expected = f"a whole number of at least {low}"
    if high is not None:
        expected = f"a whole number from {low} to {high}"
    value = node.value if isinstance(node, ScalarNode) else None
    if type(value) is int and low <= value and (high is None or value <= high):
        return value
    wrong(node, what, expected, problems)
    return None


def one_word(node: Node, what: str, known: Iterable[str], problems: Problems) -> str | None:
    """One of the known words."""
    names = list(known)
    if isinstance(node, ScalarNode) and node.raw in names:
        return node.raw
    near = hint(node.raw, names) if isinstance(node, ScalarNode) else ""
    wrong(node, what, f"{listed(names)}{near}", problems)
    return None


def parsed(
    node: Node, what: str, expected: str, parse: Callable[[str], T], problems: Problems
) -> T | None:
    """What `parse` makes of the value's text; its ValueError is noted."""
    found = text(node, what, expected, problems)
    if found is None:
        return None
    try:
        return parse(found)
    except ValueError as error:
        problems.add(node.place, f"{what}: {error}" if what else str(error))
        return None


def is_nothing(node: Node) -> bool:
    """Whether the value is empty, or null."""
    return isinstance(node, ScalarNode) and node.value is None


def wrong(node: Node, what: str, expected: str, problems: Problems) -> None:
    """Note that `node` is not what was expected."""
    prefix = f"{what}: " if what else ""
    message = f"{prefix}found {describe(node)}, expected {expected}{quote_hint(node, expected)}"
    problems.add(node.place, message)


def quote_hint(node: Node, expected: str) -> str:
    """The cure for text that YAML takes for something else, and for numbers in quotes."""
    if not isinstance(node, ScalarNode):
        template = isinstance(node, MappingNode) and "text" in expected
        return "; text that begins with { needs quotes" if template else ""
    wants_text = not expected.startswith(("true", "a number", "a whole", "a list", "a mapping"))
    if isinstance(node.value, bool) and wants_text:
        return f"; if the text is meant, quote it: '{node.raw}'"
    return ""
