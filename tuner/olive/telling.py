"""What of a config is not in its space, in lines for a terminal: by name, with the reason."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from tuner.olive.draft import Kind, Omission

WIDTH = 79

_TITLES = {
    Kind.CANNOT: "nothing here can stand for",
    Kind.ELSEWHERE: "needs hardware or a vendor's tools that are not here",
    Kind.OMITTED: "left out, in which the result differs",
    Kind.ASIDE: "left aside, which changes nothing of the result",
}


def told(omissions: Iterable[Omission]) -> list[str]:
    """Lines of at most 79 columns: what matters most comes first, the same reason stands once."""
    found = list(omissions)
    return [line for kind in _TITLES for line in _of_kind(kind, found)]


def _of_kind(kind: Kind, omissions: list[Omission]) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for one in omissions:
        if one.kind is kind:
            names = reasons.setdefault(one.reason, [])
            names += [one.where] if one.where not in names else []
    if not reasons:
        return
    yield f"{_TITLES[kind]}:"
    for reason, names in reasons.items():
        yield from textwrap.wrap(
            f"{', '.join(names)}: {reason}",
            WIDTH,
            initial_indent="  ",
            subsequent_indent="    ",
            break_on_hyphens=False,
        )
