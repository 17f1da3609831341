"""Values and domains of parameters, checked against what a pass or an evaluator declares.

Knows nothing of pipelines; `when` conditions are read by the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from search_spaces.node_values import flag, quote_hint, unknown_key
from search_spaces.paths import exists, name_hint, places_of
from search_spaces.problems import Place, Problems, hint, listed
from search_spaces.space import Choices, Domain, Fixed, Range
from search_spaces.vocabulary import ParameterSpec, Value, type_names
from search_spaces.yaml_nodes import Entry, ListNode, MappingNode, Node, ScalarNode, describe

_DOMAIN_KEYS = ("choices", "range", "value", "log", "step", "when")


class Fault(Exception):
    """A value that a parameter cannot have."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place
        self.message = message


def read_domain(spec: ParameterSpec, node: Node, what: str, problems: Problems) -> Domain | None:
    """What values a parameter takes; `what` names it. None when that is noted as a problem.

    A `when` is left to the caller. Choices that this machine cannot use are dropped with a notice.
    """
    try:
        if not isinstance(node, MappingNode):
            return Fixed(_usable(spec, node, what))
        return _from_mapping(spec, node, what, problems)
    except Fault as fault:
        problems.add(fault.place, f"{what}: {fault.message}")
        return None


def read_option(
    spec: ParameterSpec, node: Node, what: str, problems: Problems, base: Path
) -> Value:
    """The fixed value of an evaluator's option; its default when a problem is noted.

    A path is looked for in `base`, then in the current directory.
    """
    try:
        if isinstance(node, MappingNode):
            raise Fault(node.place, f"found a mapping, expected {expected(spec)}; it is not tuned")
        if spec.type is Path and not (isinstance(node, ScalarNode) and node.value is None):
            return _found_path(spec, node, base)
        return _usable(spec, node, what)
    except Fault as fault:
        note = problems.absent if spec.type is Path else problems.add
        note(fault.place, f"{what}: {fault.message}")
        return spec.default


def _found_path(spec: ParameterSpec, node: Node, base: Path) -> str:
    value = node.value if isinstance(node, ScalarNode) else None
    if not isinstance(node, ScalarNode) or isinstance(value, bool) or not node.raw.strip():
        raise Fault(node.place, f"found {describe(node)}, expected {expected(spec)}")
    if "://" in node.raw:
        raise Fault(node.place, "found a URL, expected a local path; only data.files takes URLs")
    tried = places_of(node.raw, base)
    for path in tried:
        if exists(path):
            return str(path.resolve())
    looked = " or ".join(str(path) for path in tried)
    raise Fault(node.place, f"there is no file or folder {looked}{name_hint(tried[0])}")


def expected(spec: ParameterSpec) -> str:
    """What values a parameter takes, in words."""
    words = _kind(spec)
    if spec.nullable:
        words += " or null"
    return words


def _kind(spec: ParameterSpec) -> str:
    if spec.choices is not None:
        return listed(_shown(value) for value in spec.choices)
    if spec.type is list:
        return "a list of text"
    words = type_names[spec.type]
    if spec.low is not None and spec.high is not None:
        return f"{words} from {_number(spec.low)} to {_number(spec.high)}"
    if spec.low is not None:
        return f"{words} of at least {_number(spec.low)}"
    return words if spec.high is None else f"{words} of at most {_number(spec.high)}"


def _number(value: float) -> str:
    """With every digit where it is whole: `g` keeps six, and 1048576 is not 1.04858e+06."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:g}"


def _shown(value: Value) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_shown(v) for v in value)}]"
    return "null" if value is None else str(value).lower() if value is True else str(value)


def _usable(spec: ParameterSpec, node: Node, what: str) -> Value:
    value = _value(spec, node, what)
    reason = _unavailable(spec, value)
    if reason is not None:
        raise Fault(node.place, f"{_shown(value)} cannot be used here: {reason}")
    return value


def _unavailable(spec: ParameterSpec, value: Value) -> str | None:
    return None if spec.unavailable is None else spec.unavailable(value)


def _value(spec: ParameterSpec, node: Node, what: str) -> Value:
    """The value that a node gives a parameter; Fault when it cannot have it."""
    if isinstance(node, ScalarNode) and node.value is None:
        if spec.nullable:
            return None
        raise Fault(node.place, f"found nothing, expected {expected(spec)}")
    value = _list(spec, node) if spec.type is list else _scalar(spec, node)
    if spec.choices is not None and value not in spec.choices:
        known = [_shown(choice) for choice in spec.choices]
        found = describe(node)
        near = hint(_shown(value), known)
        raise Fault(node.place, f"found {found}, expected {expected(spec)}{near}")
    _check_bounds(spec, node, value)
    return value


def _list(spec: ParameterSpec, node: Node) -> Value:
    if isinstance(node, ListNode):
        return tuple(_element(spec, item) for item in node.items)
    return _element(spec, node)


def _element(spec: ParameterSpec, node: Node) -> str:
    if isinstance(node, ScalarNode) and isinstance(node.value, str):
        return node.value
    raise Fault(node.place, f"found {describe(node)}, expected {expected(spec)}{_quoting(node)}")


def _scalar(spec: ParameterSpec, node: Node) -> Value:
    if isinstance(node, ListNode):
        search = "; to search over these values write {choices: [...]}"
        raise Fault(node.place, f"found a list, expected {expected(spec)}{search}")
    if isinstance(node, ScalarNode):
        if type(node.value) is spec.type:
            return node.value
        if spec.type is float and type(node.value) is int:
            return float(node.value)
    raise Fault(node.place, f"found {describe(node)}, expected {_wanted(spec, node)}")


def _wanted(spec: ParameterSpec, node: Node) -> str:
    """What was expected, and how to write what was probably meant."""
    words = expected(spec)
    if not isinstance(node, ScalarNode):
        return words
    if spec.type in (bool, int, float):
        return f"{words}; write it without quotes" if node.quoted else words
    near = hint(node.raw, [_shown(c) for c in spec.choices or ()])
    return words + near + _quoting(node)


def _quoting(node: Node) -> str:
    """How to write as text what YAML takes for a number or a boolean."""
    if isinstance(node, ScalarNode) and isinstance(node.value, (int, float)):
        return f"; if the text is meant, quote it: '{node.raw}'"
    return quote_hint(node, "text")


def _check_bounds(spec: ParameterSpec, node: Node, value: Value) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return
    below = spec.low is not None and value < spec.low
    above = spec.high is not None and value > spec.high
    if below or above:
        raise Fault(node.place, f"found {describe(node)}, expected {expected(spec)}")


def _from_mapping(
    spec: ParameterSpec, node: MappingNode, what: str, problems: Problems
) -> Domain | None:
    for key, entry in node.entries.items():
        if key not in _DOMAIN_KEYS:
            unknown_key(key, entry.place, what, _DOMAIN_KEYS, problems)
    entries = node.entries
    given = [key for key in ("choices", "range", "value") if key in entries]
    if len(given) != 1:
        found = listed(given, "and") if given else "none of them"
        raise Fault(node.place, f"found {found}, expected one of choices, range or value")
    for key in ("log", "step"):
        if key in entries and given != ["range"]:
            raise Fault(entries[key].place, f"{key} goes with range, not with {given[0]}")
    if "value" in entries:
        return Fixed(_usable(spec, entries["value"].node, what))
    if "choices" in entries:
        return _choices(spec, entries["choices"].node, what, problems)
    return _range(spec, entries, what, problems)


def _choices(spec: ParameterSpec, node: Node, what: str, problems: Problems) -> Domain | None:
    if not isinstance(node, ListNode) or not node.items:
        found = "an empty list" if isinstance(node, ListNode) else describe(node)
        raise Fault(node.place, f"choices: found {found}, expected a list of values")
    values: list[Value] = []
    reasons: list[str] = []
    sound = True
    for item in node.items:
        try:
            value = _value(spec, item, what)
        except Fault as fault:
            problems.add(fault.place, f"{what}: {fault.message}")
            sound = False
            continue
        if value in values:
            problems.add(item.place, f"{what}: {_shown(value)} comes twice in the choices")
        reason = _unavailable(spec, value)
        if reason is None:
            values.append(value)
        else:
            problems.notice(item.place, f"{what}: {_shown(value)} is left out: {reason}")
            reasons.append(f"{_shown(value)}: {reason}")
    if not values and sound:
        raise Fault(node.place, f"none of the choices can be used here ({'; '.join(reasons)})")
    return Choices(tuple(values)) if values else None


def _range(
    spec: ParameterSpec, entries: Mapping[str, Entry], what: str, problems: Problems
) -> Domain | None:
    node = entries["range"].node
    if spec.type not in (int, float):
        raise Fault(node.place, f"a range is of numbers; write choices, it takes {expected(spec)}")
    if spec.choices is not None:
        raise Fault(node.place, f"write choices instead of a range; it takes {expected(spec)}")
    if not isinstance(node, ListNode) or len(node.items) != 2:
        found = f"a list of {len(node.items)}" if isinstance(node, ListNode) else describe(node)
        raise Fault(node.place, f"range: found {found}, expected [low, high]")
    low, high = (_bound(spec, item) for item in node.items)
    if low >= high:
        raise Fault(node.place, f"range: the low end {low:g} is not below the high end {high:g}")
    domain = Range(low, high, spec.type is int)
    domain = replace(domain, log=_log(entries, what, low, problems))
    return replace(domain, step=_step(spec, entries, domain))


def _bound(spec: ParameterSpec, node: Node) -> float:
    value = _value(replace(spec, nullable=False), node, "range")
    assert isinstance(value, (int, float))
    return value


def _log(entries: Mapping[str, Entry], what: str, low: float, problems: Problems) -> bool:
    if "log" not in entries:
        return False
    entry = entries["log"]
    log = flag(entry.node, f"{what}: log", problems) or False
    if log and low <= 0:
        raise Fault(entry.place, f"a range with log starts above zero; found {low:g}")
    return log


def _step(spec: ParameterSpec, entries: Mapping[str, Entry], domain: Range) -> float | None:
    if "step" not in entries:
        return None
    entry = entries["step"]
    if domain.log:
        raise Fault(entry.place, "a range has either log or step, not both")
    node = entry.node
    kinds = (int,) if domain.integer else (int, float)
    if not isinstance(node, ScalarNode) or type(node.value) not in kinds:
        raise Fault(node.place, f"step: found {describe(node)}, expected {type_names[spec.type]}")
    assert isinstance(node.value, (int, float))
    if not 0 < node.value <= domain.high - domain.low:
        width = domain.high - domain.low
        raise Fault(node.place, f"step: found {node.value:g}, expected above 0, at most {width:g}")
    return node.value
