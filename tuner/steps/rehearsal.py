"""`--test-model`: the same space with a stand-in for its model, cut down to what takes a minute.

The stand-in has the model's architecture and random weights, so that everything that can go wrong
for another reason than quality goes wrong now. Knows nothing of the command line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from search_spaces.data import DataError, DataSpec, data_columns, read_split
from search_spaces.problems import Problem, SpaceError, listed
from search_spaces.references import Reference
from search_spaces.space import Choices, Domain, Fixed, OneOf, Range, Space, Step, steps_of
from search_spaces.vocabulary import Aspect, PassSpec, Value, Vocabulary
from tuner.graphs.quiet import quiet

TRIALS = 3

_CAPS: Mapping[str, int] = {
    "max_steps": 5,
    "iterations": 5,
    "n_grid": 4,
    "samples": 8,
    "calibration_samples": 8,
    "calibration_length": 64,
    "batch_size": 4,
    "gradient_accumulation": 2,
    "group_size": 32,
    "block_size": 32,
    "layers": 1,
}
"""Parameter of a pass -> the most that it is in a rehearsal; the stand-in is 64 wide."""

_MEASURED: Mapping[str, int] = {"processes": 1, "max_items": 16, "max_tokens": 512, "limit": 4}
"""The same of an evaluator's options."""

_FOLDER = "test-data"
_BUILT = ("genai", "onnx")


def rehearsal(space: Space, words: Vocabulary, cache: Path) -> tuple[Space, tuple[str, ...]]:
    """The space cut down, and what of it a user should be told; sentences.

    SpaceError where no stand-in can be made of the model.
    """
    model, notices = _stand_in(space.model, cache)
    data = None if space.data is None else _data(space.data, cache, notices)
    quality = [c for c in space.constraints if _is_quality(c.metric, words)]
    if quality:
        texts = listed([c.text for c in quality], "and")
        notices.append(f"random weights say nothing of {texts}: left out")
    beside = [c for c in space.constraints if c not in quality and c.limit.relative]
    if beside:
        texts = listed([c.text for c in beside], "and")
        notices.append(f"what a tiny model costs beside another says nothing of {texts}: left out")
    asked = {o.metric for o in space.objectives if o.statistic is not None}
    asked |= {c.metric for c in space.constraints if c.statistic is not None}
    pipeline = tuple(map(_item, space.pipeline))
    changed = _changed(space.pipeline, pipeline)
    if changed:
        notices.append(f"cut down for the test: {listed(changed, 'and')}")
    trials = TRIALS if space.search.trials is None else min(TRIALS, space.search.trials)
    cut = replace(
        space,
        model=model,
        data=data,
        pipeline=pipeline,
        evaluators={
            name: _options(options, whole=bool(asked & _metrics(name, words)))
            for name, options in space.evaluators.items()
        },
        constraints=tuple(c for c in space.constraints if c not in quality and c not in beside),
        search=replace(space.search, trials=trials),
        limits=replace(space.limits, fidelity=False, faults=False),
        test_model=True,
    )
    return cut, tuple(notices)


def _stand_in(model: Reference, cache: Path) -> tuple[Reference, list[str]]:
    """A tiny checkpoint in place of the model; a model that is built already stays."""
    from tuner.models.errors import ModelError
    from tuner.models.test_model import test_model

    if model.format in _BUILT:
        return model, [f"{model.text} is built already: it is tried as it is"]
    try:
        with quiet():
            made = test_model(model.checkpoint, cache)
    except ModelError as error:
        raise SpaceError([Problem(str(error), "--test-model")]) from None
    return Reference("path", str(made.path), path=made.path), list(made.notices)


# Data


def _data(data: DataSpec, cache: Path, notices: list[str]) -> DataSpec:
    """The data, or made-up rows with its columns where it is not here."""
    missing = [path for _, path in data.files if not _is_here(path)]
    if not missing:
        return data
    try:
        read_split(data, "train")
    except (DataError, OSError):
        notices.append(f"{missing[0]} is not here: rows are made up, with its columns")
        return _made_up(data, cache)
    return data


def _is_here(location: object) -> bool:
    """Whether it is a local file; what lies elsewhere has to be asked for."""
    return isinstance(location, Path) and location.is_file()


def _made_up(data: DataSpec, cache: Path) -> DataSpec:
    from tuner.models.test_data import test_rows

    rows: Sequence[Mapping[str, object]] = test_rows(data_columns(data), data.label)
    if data.chat is not None and data.chat.messages is not None:
        rows = _conversations(data.chat.messages)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path = cache / _FOLDER / f"{sha256(text.encode()).hexdigest()[:16]}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        path.write_text(text, encoding="utf-8")
    split = dict(data.split) or {"dev": 0.2}
    if any(role == "test" for role, _ in data.files):
        split.setdefault("test", 0.2)
    shares = tuple((name, share) for name, share in split.items())
    return replace(data, files=(("all", path.resolve()),), split=shares)


def _conversations(column: str) -> list[dict[str, object]]:
    from tuner.models.test_data import test_rows

    return [
        {
            column: [
                {"role": "user", "content": row["user"]},
                {"role": "assistant", "content": row["assistant"]},
            ]
        }
        for row in test_rows(("user", "assistant"), None)
    ]


# The pipeline


def _item(item: Step | OneOf) -> Step | OneOf:
    if isinstance(item, Step):
        return _step(item)
    return replace(item, alternatives=tuple(tuple(map(_step, a)) for a in item.alternatives))


def _changed(before: Sequence[Step | OneOf], after: Sequence[Step | OneOf]) -> list[str]:
    """Parameters that were told and are others now, as `step.parameter`."""
    pairs = [
        pair
        for old, new in zip(before, after, strict=True)
        for pair in zip(steps_of(old), steps_of(new), strict=True)
    ]
    return [
        f"{old.id}.{name}"
        for old, new in pairs
        for name, domain in old.parameters.items()
        if new.parameters[name] != domain
    ]


def _step(step: Step) -> Step:
    parameters = {name: _capped(name, domain) for name, domain in step.parameters.items()}
    for name, cap in _CAPS.items():
        if name not in parameters and _above(step.spec, name, cap):
            parameters[name] = Fixed(cap)
    if "epochs" in parameters:
        parameters["epochs"] = Fixed(None)
        parameters.setdefault("max_steps", Fixed(_CAPS["max_steps"]))
    return replace(step, parameters=parameters)


def _above(spec: PassSpec, name: str, cap: int) -> bool:
    found = [p.default for p in spec.parameters if p.name == name]
    return bool(found) and isinstance(found[0], int) and found[0] > cap


def _capped(name: str, domain: Domain) -> Domain:
    cap = _CAPS.get(name)
    if cap is None:
        return domain
    if isinstance(domain, Fixed):
        return replace(domain, value=_least(domain.value, cap))
    if isinstance(domain, Choices):
        values = tuple(dict.fromkeys(_least(value, cap) for value in domain.values))
        return replace(domain, values=values)
    return domain if isinstance(domain, Range) and domain.high <= cap else Fixed(cap, domain.when)


def _least(value: Value, cap: int) -> Value:
    return min(value, cap) if type(value) in (int, float) else value  # type: ignore[type-var]


# What is measured


def _options(options: Mapping[str, Value], *, whole: bool) -> Mapping[str, Value]:
    """`whole`: a percentile is asked for, which needs all samples."""
    cut = dict(options)
    for name, cap in _MEASURED.items():
        if name in cut and not (whole and name == "processes"):
            cut[name] = cap if cut[name] is None else _least(cut[name], cap)
    return cut | ({"floor": "none"} if "floor" in cut else {})


def _metrics(evaluator: str, words: Vocabulary) -> set[str]:
    spec = words.evaluators.get(evaluator)
    return set() if spec is None else {metric.name for metric in spec.metrics}


def _is_quality(metric: str, words: Vocabulary) -> bool:
    """Whether it depends on what the weights are, not on how many and how they run."""
    found = words.metric(metric)
    return found is None or Aspect.WEIGHTS in found[1].depends_on
