"""A pipeline step of a pass as YAML, with the ranges that the pass proposes for a search.

Knows the words of a space's pipeline, and nothing of how a pass works.
"""

from __future__ import annotations

import json
import re
import textwrap
from typing import Any

from search_spaces.vocabulary import ParameterSpec, PassSpec, SearchRange

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./~][\w./~@=:+#-]*")
_WIDTH = 80
_NOT_TEXT = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


def example_step(spec: PassSpec) -> str:
    """The step, two spaces deep as under `pipeline:`, without a line break at its end."""
    searched = [p for p in spec.parameters if p.search is not None]
    if not searched:
        return f"  - {spec.name}"
    lines = [_wrapped(f"{p.name}: {search_text(p)}") for p in searched]
    return "\n".join([f"  - {spec.name}:", *lines])


def _wrapped(text: str) -> str:
    """A parameter's line, broken inside of its list where it is long."""
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=" " * 6,
        subsequent_indent=" " * 8,
        break_long_words=False,
        break_on_hyphens=False,
    )


def search_text(spec: ParameterSpec) -> str:
    """What a parameter proposes to search, as the space's YAML: `{choices: [4, 16]}`."""
    search = spec.search
    assert search is not None, f"{spec.name} proposes a search"
    if not isinstance(search, SearchRange):
        return f"{{choices: {yaml_value(search)}}}"
    whole = spec.type is int
    ends = [yaml_value(int(v) if whole else float(v)) for v in (search.low, search.high)]
    log = ", log: true" if search.log else ""
    return f"{{range: [{', '.join(ends)}]{log}}}"


def yaml_value(value: Any) -> str:
    """A value in YAML's flow style, read alike by every version of YAML."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(yaml_value(inner) for inner in value)}]"
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT
        return value if plain else json.dumps(value, ensure_ascii=False)
    return json.dumps(value)


def yaml_path(text: str) -> str:
    """A path or a reference to a model: as it is where that is sure to be read as text."""
    sure = _PLAIN_PATH.fullmatch(text) and "/" in text and not text.endswith(":")
    return text if sure else yaml_value(text)


def _float(value: float) -> str:
    """With a point in it: YAML 1.1 takes 1e-4 for text."""
    mantissa, e, exponent = repr(value).partition("e")
    mantissa = mantissa if "." in mantissa else f"{mantissa}.0"
    return f"{mantissa}e{int(exponent):+d}" if e else mantissa
