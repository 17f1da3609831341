"""Which study a space belongs to, and what was edited where it continues another one.

A study's question never changes. A space that asks another one is another study: by default one
named after its identity, and under a name that was asked for, its next revision (NAME-2). Knows
nothing of trials but that there are some.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search_spaces.candidates import digest
from search_spaces.identity import describe
from search_spaces.problems import listed
from search_spaces.space import Space
from tuner.pipeline.plan import Source
from tuner.report.words import value_text
from tuner.study.reader import StudyReader
from tuner.study.rows import StudyRow, StudySummary

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StudyChoice:
    """The study to work on.

    `continues`: the one whose trials it takes over, as it asks nearly the same; `edits`: what
    differs, each in a few words.
    """

    name: str
    continues: str | None = None
    edits: tuple[str, ...] = ()


def question(space: Space, source: Source) -> dict[str, Any]:
    """All that makes a space the question it is, the content of model and data too; plain data."""
    return describe(space) | {"model": source.key, "data_keys": dict(source.data_keys)}


def identity(space: Space, source: Source) -> str:
    """A digest (64 hex) of the question; the budget is no part of it."""
    return digest(question(space, source))


def study_name(space: Space, source: Source) -> str:
    """The space's name and the first letters of its identity: another question, another study."""
    return f"{space.name}-{identity(space, source)[:8]}"


def resolve_study(
    reader: StudyReader, requested: str | None, space: Space, source: Source
) -> StudyChoice:
    """The study for a space, under the name that was `requested` or its own.

    Without a name: the one of this very question. Where it is new, it continues the study of a
    space of the same name and model that was worked on last. With a name: the revision of it that
    asked this very question, else the next free one, which continues the revision worked on last.
    """
    studies = reader.studies()
    if requested is None:
        name = study_name(space, source)
        near = [s for s in studies if s.space == space.name and s.model == space.model.text]
    else:
        near = [s for s in studies if _is_revision(s.name, requested)]
        name = _revision(reader, requested, near, identity(space, source))
    if any(s.name == name for s in studies) and reader.trials(name):
        return StudyChoice(name)
    earlier = _last_with_trials(near, name)
    if earlier is None:
        return StudyChoice(name)
    return StudyChoice(name, earlier, edits(reader.study(earlier), space, source))


def _is_revision(name: str, requested: str) -> bool:
    return re.fullmatch(rf"{re.escape(requested)}(-([2-9]|[1-9]\d+))?", name) is not None


def _revision(
    reader: StudyReader, requested: str, there: Sequence[StudySummary], wanted: str
) -> str:
    """The revision that asked what is wanted, else the first name that is free."""
    names = {s.name for s in there}
    for name in sorted(names, key=lambda name: (len(name), name)):
        if reader.study(name).space.get("fingerprint") == wanted:
            return name
    numbers = (f"{requested}-{n}" for n in range(2, len(names) + 3))
    return next(name for name in (requested, *numbers) if name not in names)


def _last_with_trials(near: Iterable[StudySummary], name: str) -> str | None:
    """The first of those, the one worked on last first, that has anything to take over."""
    return next((s.name for s in near if s.trials and s.name != name), None)


def edits(before: StudyRow, space: Space, source: Source) -> tuple[str, ...]:
    """What a space asks otherwise than a study did, each in a few words.

    Of studies of older versions of this program only objectives, constraints, strategy and seed
    are known.
    """
    after = question(space, source)
    known = before.space.get("question")
    if known is None:
        known = _half_known(before)
        after = {name: after[name] for name in known}
        after["constraints"] = [[text, None] for text, _ in after["constraints"]]
    found = tuple(dict.fromkeys(_changes(known, after)))
    texts = before.space.get("model"), space.model.text
    if texts[0] != texts[1] and known.get("model") != after.get("model"):
        return (f"the model {texts[1]} instead of {texts[0]}", *(f for f in found if f != _MODEL))
    return found


_MODEL = "the model's content"


def _half_known(before: StudyRow) -> dict[str, Any]:
    return {
        "objectives": [objective["text"] for objective in before.objectives],
        "constraints": [[constraint["text"], None] for constraint in before.constraints],
        "search": {name: before.settings.get(name) for name in ("strategy", "seed")},
    }


def _changes(before: Json, after: Json) -> Iterator[str]:
    if before.get("model") != after.get("model"):
        yield _MODEL
    yield from _data(before, after)
    yield from _pipeline(before.get("pipeline", ()), after.get("pipeline", ()))
    yield from _mapping("metrics", before, after, _options)
    yield from _mapping("functions", before, after, _function)
    yield from _objectives(before.get("objectives", ()), after.get("objectives", ()))
    yield from _constraints(before.get("constraints", ()), after.get("constraints", ()))
    for name in ("task", "build_only", "fidelity", "faults"):
        yield from _value(name, before.get(name), after.get(name))
    for name, value in after.get("search", {}).items():
        yield from _value(name, before.get("search", {}).get(name), value)


def _data(before: Json, after: Json) -> Iterator[str]:
    old, new = before.get("data") or {}, after.get("data") or {}
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    for name in changed:
        yield from _value(f"data.{name}", old.get(name), new.get(name))
    if not changed and before.get("data_keys") != after.get("data_keys"):
        yield "the data's content"


def _mapping(name: str, before: Json, after: Json, changed: Any) -> Iterator[str]:
    """What is new, gone or changed of things with names; `changed` says how."""
    old, new = before.get(name, {}), after.get(name, {})
    for item in {**old, **new}:
        if item not in new:
            yield f"no {item}"
        elif item not in old:
            yield f"{item} is new"
        else:
            yield from changed(item, old[item], new[item])


def _options(evaluator: str, before: Json, after: Json) -> Iterator[str]:
    for name in {**before, **after}:
        yield from _value(f"{evaluator}.{name}", before.get(name), after.get(name))


def _function(name: str, before: object, after: object) -> Iterator[str]:
    if before != after:
        yield f"the function of {name}"


def _objectives(before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    if list(before) != list(after):
        yield f"{', '.join(after)} instead of {', '.join(before)}"


def _constraints(before: Sequence[Any], after: Sequence[Any]) -> Iterator[str]:
    """Limits that moved, in pairs of one metric; then those that are new, or gone."""
    old, new = (dict(asked) for asked in (before, after))
    gone = [text for text in old if text not in new]
    for text in (text for text in new if text not in old):
        same = next((g for g in gone if _metric(g) == _metric(text)), None)
        if same is None:
            yield f"{text} is new"
        else:
            gone.remove(same)
            yield f"{text} instead of {same}"
    yield from (f"no {text}" for text in gone)
    yield from (f"the tolerance of {text}" for text in new if old.get(text, new[text]) != new[text])


def _metric(constraint: str) -> tuple[str, str]:
    """The metric with its statistic, and the direction."""
    name, sign = re.split(r"(?=[<>])", constraint, maxsplit=1)
    return name, sign[0]


def _pipeline(before: Sequence[Json], after: Sequence[Json]) -> Iterator[str]:
    old, new = _steps(before), _steps(after)
    for name in {**old, **new}:
        if name not in new:
            yield f"no {name}"
        elif name not in old:
            yield f"{name} is new"
        else:
            yield from _step(name, old[name], new[name])
    shared = [[name for name in steps if name in old and name in new] for steps in (old, new)]
    grouped = [[_ids(item) for item in items if "one_of" in item] for items in (before, after)]
    if shared[0] != shared[1] or grouped[0] != grouped[1]:
        yield "the order or the alternatives of the passes"


def _steps(items: Sequence[Json]) -> dict[str, Json]:
    found = [s for item in items for a in item.get("one_of", [[item]]) for s in a]
    return {step["id"]: step for step in found}


def _ids(item: Json) -> list[list[str]]:
    return [[step["id"] for step in alternative] for alternative in item["one_of"]]


def _step(name: str, before: Json, after: Json) -> Iterator[str]:
    for key in ("pass", "when"):
        yield from _value(f"{name}.{key}", before[key], after[key])
    for key in ("optional", "baseline"):
        old, new = bool(before.get(key)), bool(after.get(key))
        words = "part of the baseline" if key == "baseline" else key
        if old != new:
            yield f"{name} is {'now' if new else 'no longer'} {words}"
    old, new = before["parameters"], after["parameters"]
    for parameter in {**old, **new}:
        full = f"{name}.{parameter}"
        if parameter not in old:
            yield f"{full} is {_words(new[parameter])}"
        elif parameter not in new:
            yield f"{full} is no longer set"
        else:
            yield from _domain(full, old[parameter], new[parameter])


def _domain(name: str, before: Json, after: Json) -> Iterator[str]:
    if before == after:
        return
    old, new = before.get("choices"), after.get("choices")
    if old is not None and new is not None:
        more = [value_text(v) for v in new if v not in old]
        less = [value_text(v) for v in old if v not in new]
        if more:
            yield f"{name} gained {', '.join(more)}"
        if less:
            yield f"{name} lost {', '.join(less)}"
        if not more and not less and old != new:
            yield f"the order of {name}"
    elif _words(before) != _words(after):
        yield f"{name} is {_words(after)} instead of {_words(before)}"
    if before["when"] != after["when"]:
        yield from _value(f"when {name}", before["when"], after["when"])


def _words(domain: Json) -> str:
    """A domain in short: `16`, `8, 16 or 32`, `1e-05 to 0.001 (log)`."""
    if "value" in domain:
        return value_text(domain["value"])
    if "choices" in domain:
        return listed(value_text(v) for v in domain["choices"])
    notes = [f"in steps of {value_text(domain['step'])}"] if domain["step"] else []
    notes += ["log"] if domain["log"] else []
    ends = f"{value_text(domain['low'])} to {value_text(domain['high'])}"
    return ends + (f" ({', '.join(notes)})" if notes else "")


def _value(name: str, before: Any, after: Any) -> Iterator[str]:
    if before == after:
        return
    old, new = (None if v is None else value_text(v) for v in (before, after))
    if new is None:
        yield f"no {name}"
    else:
        yield f"{name} {new}" + ("" if old is None else f" instead of {old}")
