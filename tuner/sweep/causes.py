"""What may have made a night another one than its reference: what is recorded of both and differs.

The likeliest first, for times: the machine, the candidate's own options, the libraries that run it,
the program; then what explains less. Knows nothing of numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tuner.passes import all_passes
from tuner.sweep.changes import Cause
from tuner.sweep.pairing import pairs
from tuner.sweep.records import EntryResult, Night, Watched

_MACHINE, _OPTION, _RUNTIME, _BUILDER, _CONTENT, _PROGRAM, _LIBRARY, _SETTING, _STAGE = range(9)

_RUNTIMES = frozenset(
    {"onnxruntime", "onnxruntime-gpu", "onnxruntime-genai", "onnxruntime-genai-cuda",
     "onnxruntime-ep-openvino", "openvino", "torch"}
)  # fmt: skip
"""Distributions in which models run; the others make them."""

_DATA = "data_keys."
"""Before the name of a split, the digest of what it holds; `model` is the digest of the model."""

_LONGEST = 60
_MISSING = object()


def causes(tonight: Night, reference: Night, entry: str) -> tuple[Cause, ...]:
    """What differs between the nights that an entry's numbers may depend on.

    Empty where one of them lacks it. Where nothing that is recorded differs it says so: then it is
    the machine's state, or chance.
    """
    now, before = tonight.entry(entry), reference.entry(entry)
    if now is None or before is None:
        return ()
    common = pairs(now, before)
    found = [
        *_machine(tonight, reference),
        *_options(common),
        *_libraries(tonight, reference, now, [w for w, _ in common]),
        *_program(tonight, reference),
        *_settings(now, before),
    ]
    found += _stages(common)
    if all(cause.kind == "stage" for cause in found):
        text = "nothing that is recorded changed: the machine's state, or what is not recorded"
        found.insert(0, Cause("none", text, _SETTING))
    return tuple(sorted(_once(found), key=lambda cause: cause.rank))


def _once(found: Iterable[Cause]) -> list[Cause]:
    return list({cause.text: cause for cause in reversed(list(found))}.values())[::-1]


def _machine(tonight: Night, reference: Night) -> Iterator[Cause]:
    for name, before, now in _differences(reference.machine, tonight.machine):
        yield Cause("machine", f"machine: {name} {before} -> {now}", _MACHINE)


def _options(common: list[tuple[Watched, Watched]]) -> Iterator[Cause]:
    """Values of the candidate's own steps that tonight's plan fixes otherwise."""
    for now, before in common:
        if now.key == before.key:
            continue
        steps = _by_id(now), _by_id(before)
        for name, old, new in _differences(steps[1], steps[0]):
            yield Cause("option", f"{name}: {old} -> {new}", _OPTION)


def _by_id(watched: Watched) -> dict[str, Any]:
    return _flat({str(step.get("id")): step.get("parameters") or {} for step in watched.steps})


def _libraries(
    tonight: Night, reference: Night, entry: EntryResult, watched: list[Watched]
) -> Iterator[Cause]:
    """Versions that changed; those that the candidate's steps declare come first."""
    steps = [step for w in watched for step in w.steps]
    if not steps and entry.answer is not None:
        steps = list(entry.answer.steps)
    used = _libraries_of(steps)
    runtimes = used & _RUNTIMES
    runtimes = runtimes - {"torch"} or runtimes  # what was exported runs without it
    for name, before, now in _differences(reference.versions, tonight.versions):
        text = f"{name} {before} -> {now}"
        if name in runtimes or (not used and name in _RUNTIMES):
            yield Cause("library", f"{text} (runtime of this model)", _RUNTIME)
        elif name in used:
            yield Cause("library", f"{text} (used to make this model)", _BUILDER)
        else:
            yield Cause("library", f"{text} (not known to be used by this model)", _LIBRARY)


def _libraries_of(steps: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    passes = all_passes()
    names = {str(step.get("pass")) for step in steps}
    return frozenset(
        library for name in names if name in passes for library in passes[name].spec.libraries
    )


def _program(tonight: Night, reference: Night) -> Iterator[Cause]:
    if tonight.program != reference.program:
        text = f"this program: {reference.program} -> {tonight.program}"
        yield Cause("program", text, _PROGRAM)
    if tonight.commit != reference.commit:
        before, now = ((c or "none")[:12] for c in (reference.commit, tonight.commit))
        yield Cause("program", f"commit {before} -> {now}", _PROGRAM)
    elif tonight.dirty != reference.dirty or tonight.dirty:
        text = "changes that are not committed, on " + _which(tonight, reference)
        yield Cause("program", text, _SETTING)


def _which(tonight: Night, reference: Night) -> str:
    both = [n.name for n in (reference, tonight) if n.dirty]
    return " and ".join(both)


def _settings(now: EntryResult, before: EntryResult) -> Iterator[Cause]:
    """What the plan or the space says otherwise, and data or a model of another content."""
    for name, old, new in _differences(_flat(before.settings), _flat(now.settings)):
        split = name.removeprefix(_DATA)
        if name in ("model", _DATA + split):
            what = "the model" if name == "model" else f"the data of {split}"
            yield Cause("content", f"{what} is another one: {old[:12]} -> {new[:12]}", _CONTENT)
        else:
            yield Cause("option", f"{_short(name)}: {old} -> {new}", _OPTION)


def _short(name: str) -> str:
    """`pipeline.session.parameters.threads` as a person would name it: `session.threads`."""
    return name.removeprefix("pipeline.").replace(".parameters.", ".")


def _stages(common: list[tuple[Watched, Watched]]) -> Iterator[Cause]:
    """Whether the model is the same bytes as before."""
    for now, before in common:
        if not now.stages or not before.stages or now.key != before.key:
            continue
        others = [s for s, key in now.stages.items() if before.stages.get(s, key) != key]
        if others:
            yield Cause("stage", f"made of something else: {', '.join(others)}", _STAGE)
        elif now.made:
            yield Cause("stage", f"made anew from the same: {', '.join(now.made)}", _STAGE)
        else:
            yield Cause("stage", "the same bytes as before, run otherwise or elsewhere", _STAGE)


def _differences(
    before: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    for name in dict.fromkeys((*before, *now)):
        old, new = before.get(name, _MISSING), now.get(name, _MISSING)
        if old != new:
            yield name, _text(old), _text(new)


def _text(value: Any) -> str:
    if value is _MISSING or value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Nested plain data by dotted names; a list's objects by their `id`, else their place."""
    value = _open_or_fixed(value)
    if isinstance(value, Mapping) and value:
        parts = {str(key): inner for key, inner in value.items()}
    elif isinstance(value, (list, tuple)) and any(isinstance(x, (Mapping, list)) for x in value):
        parts = {_name_of(inner, place): inner for place, inner in enumerate(value)}
    else:
        return {name: list(value) if isinstance(value, tuple) else value}
    found: dict[str, Any] = {}
    for key, inner in parts.items():
        found |= _flat(inner, f"{name}.{key}" if name else key)
    return found


def _open_or_fixed(value: Any) -> Any:
    """A parameter of a space as its value or its choices, whichever it has."""
    if isinstance(value, Mapping) and "when" in value:
        return value.get("value", value.get("choices", value))
    return value


def _name_of(inner: Any, place: int) -> str:
    return str(inner.get("id", place)) if isinstance(inner, Mapping) else str(place)
