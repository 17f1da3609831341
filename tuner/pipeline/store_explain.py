"""Why was a stage run again? Compares its description with those of the results that are stored.

Knows nothing of the disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

_WHAT = ("kind", "pass", "evaluator")  # descriptions that differ here are not worth comparing


class Described(Protocol):
    """What was stored under a key, with its description in `meta`."""

    @property
    def key(self) -> str:
        """The key."""
        ...

    @property
    def meta(self) -> Mapping[str, Any]:
        """Holds "description"."""
        ...


@dataclass(frozen=True, slots=True)
class Difference:
    """A field in which two descriptions differ, by dotted path. None: it is not there."""

    path: str
    this: Any
    that: Any


@dataclass(frozen=True, slots=True)
class Relative:
    """A stored result of the same pass, and in what its description differs."""

    key: str
    differences: tuple[Difference, ...]


def explain(
    description: Mapping[str, Any], others: Iterable[Described], limit: int = 3
) -> list[Relative]:
    """The `limit` stored results of the same pass or evaluator that differ least, nearest first.

    One without differences is the result itself.
    """
    relatives = [
        Relative(other.key, tuple(differences(description, other.meta["description"])))
        for other in others
        if _same_work(description, other.meta.get("description"))
    ]
    return sorted(relatives, key=lambda r: (len(r.differences), r.key))[:limit]


def differences(this: Any, that: Any, path: str = "") -> Iterator[Difference]:
    """Where two descriptions differ, down to single values; lists are compared as a whole."""
    if isinstance(this, Mapping) and isinstance(that, Mapping):
        for name in sorted(this.keys() | that.keys()):
            inner = f"{path}.{name}" if path else name
            yield from differences(this.get(name), that.get(name), inner)
    elif this != that:
        yield Difference(path, this, that)


def _same_work(this: Mapping[str, Any], that: Any) -> bool:
    return isinstance(that, Mapping) and all(this.get(n) == that.get(n) for n in _WHAT)
