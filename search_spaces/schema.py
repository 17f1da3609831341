"""The JSON schema of a space file (draft 2020-12), generated from what passes and metrics declare.

For editors: completion, texts on hovering, and mistakes underlined while one types. It takes
whatever `reader` takes. What needs the whole of a space, or the machine, is left to `tune check`:
names in conditions, formats that do not fit, files that are not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from search_spaces.candidates import plain
from search_spaces.functions import GOALS, UNITS
from search_spaces.goal_patterns import (
    ANY_CONSTRAINT,
    ANY_OBJECTIVE,
    constraint_pattern,
    duration_pattern,
    objective_pattern,
    quantity_pattern,
)
from search_spaces.parameter_values import expected
from search_spaces.settings_reader import ADAPTER_KEYS, MAX_SEED, NAME, STRATEGIES
from search_spaces.units import unit_names
from search_spaces.vocabulary import TASKS, EvaluatorSpec, ParameterSpec, PassSpec, Vocabulary

Schema = dict[str, Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"

_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}
_PATH: Schema = {"type": ["string", "number"], "minLength": 1}  # a file may be called 2
_ANY, _NUMBERS, _WHOLE = "search", "search_of_numbers", "search_of_whole_numbers"
_STEP: Schema = {"$ref": "#/$defs/step"}
_WHEN: Schema = {"$ref": "#/$defs/when"}
_MODEL = "A folder, a hub id, or pypi:PACKAGE==VERSION/path/in/package."


def space_schema(vocabulary: Vocabulary) -> Schema:
    """The schema of a space that may name these passes and evaluators."""
    passes = vocabulary.passes.values()
    return {
        "$schema": DRAFT,
        "title": "A space of the auto-tuner tune",
        **_mapping(_top(vocabulary), required=("model", "task", "pipeline", "objectives")),
        "allOf": [_with_label(), _of_known_metrics(vocabulary)],
        "$defs": {
            "when": _text("A condition on what is decided above, such as precision == 'int4'."),
            "objective": _objective(objective_pattern(vocabulary)),
            "constraint": _constraint(constraint_pattern(vocabulary)),
            "any_objective": _objective(ANY_OBJECTIVE),
            "any_constraint": _constraint(ANY_CONSTRAINT),
            **_shapes(),
            "step": _step(passes),
            **{_key(spec): _pass(spec) for spec in passes},
        },
    }


def _top(vocabulary: Vocabulary) -> dict[str, Schema]:
    measured = {spec.name: _evaluator(spec) for spec in vocabulary.evaluators.values()}
    return {
        "name": _words(
            "What the study's name begins with: letters, digits, spaces, ._-", f"^({NAME.pattern})$"
        ),
        "model": _model(),
        "task": {"description": "What the model is for.", "enum": list(TASKS)},
        "data": _data(),
        "pipeline": _listing("The passes, in order.", _item()),
        "metrics": _or_null(_metrics(measured)),
        **_goals("any_"),
        "search": _or_null(_search()),
        "limits": _or_null(_limits()),
    }


def _model() -> Schema:
    """A model, or an adapter on one."""
    parts = {"adapter": _text("The folder of a peft adapter."), "base": _text(_MODEL)}
    return {"anyOf": [_text(_MODEL), _mapping(parts, "An adapter on a model.", ADAPTER_KEYS)]}


def _with_label() -> Schema:
    """Who classifies needs labels."""
    classifies = {"properties": {"task": {"const": "text-classification"}}, "required": ["task"]}
    labelled = {"anyOf": [{"required": ["label"]}, {"required": ["chat"]}]}
    return {"if": classifies, "then": {"properties": {"data": labelled}}}


def _of_known_metrics(vocabulary: Vocabulary) -> Schema:
    """Without metrics of the space's own, goals are of the known ones, in their units."""
    known = {"type": ["object", "null"], "propertyNames": {"enum": list(vocabulary.evaluators)}}
    return {"if": {"properties": {"metrics": known}}, "then": {"properties": _goals("")}}


def _goals(which: str) -> dict[str, Schema]:
    """Objectives and constraints of known metrics, or with "any_" also of the space's own."""
    objective, constraint = ({"$ref": f"#/$defs/{which}{n}"} for n in ("objective", "constraint"))
    return {
        "objectives": _one_or_more("What the search is for.", objective),
        "constraints": _or_null(_one_or_more("What must hold.", constraint, least=0)),
    }


def _metrics(known: Mapping[str, Schema]) -> Schema:
    """The evaluators, and functions under names of their own."""
    options = {"type": "object", "additionalProperties": {"not": {"type": "object"}}}
    keys = {
        "function": _text("FILE:FUNCTION such as metrics.py:tone_cost, or MODULE:FUNCTION.", ":"),
        "goal": {"description": "Which values are better.", "enum": list(GOALS)},
        "unit": {"description": "What it is counted in.", "enum": [*UNITS, None], "default": ""},
        "options": _or_null(options),
    }
    own = _mapping(keys, "A metric of your own.", required=("function", "goal"))
    about = "What is measured, and with which options."
    return _mapping(known, about) | {"additionalProperties": own}


# The pipeline


def _item() -> Schema:
    """A step, or alternatives."""
    alternative = {"if": {"type": "array"}, "then": _listing("", _STEP), "else": _alternative()}
    keys = {
        "one_of": _listing("Exactly one of these is used; none does nothing.", alternative),
        "optional": _flag("The search may leave all of them out."),
    }
    optional = {"properties": {"optional": {"const": True}}, "required": ["optional"]}
    return {
        "if": {"type": "object", "required": ["one_of"]},
        "then": _mapping(keys, required=("one_of",))
        | {"if": optional, "else": {"properties": {"one_of": {"minItems": 2}}}},
        "else": _STEP,
    }


def _alternative() -> Schema:
    return {"if": {"const": "none"}, "else": _STEP}


def _step(passes: Iterable[PassSpec]) -> Schema:
    """A pass by its name alone, or with its parameters and what else a step may say."""
    specs = list(passes)
    keys = {spec.name: {"$ref": f"#/$defs/{_key(spec)}"} for spec in specs} | {
        "optional": _flag("The search decides whether the pass is used."),
        "when": _WHEN,
        "baseline": _flag("The unoptimised model, which limits are relative to, has it too."),
    }
    one = {"oneOf": [{"required": [spec.name]} for spec in specs]}
    return {
        "if": {"type": "string"},
        "then": {"enum": [spec.name for spec in specs]},
        "else": _mapping(keys) | one,
    }


def _key(spec: PassSpec) -> str:
    return f"pass_{spec.name}"


def _pass(spec: PassSpec) -> Schema:
    parameters = {parameter.name: _parameter(parameter) for parameter in spec.parameters}
    return _or_null(_mapping(parameters, spec.help))


def _parameter(spec: ParameterSpec) -> Schema:
    """A value, or a mapping that says which values to search: a shape, and the values in it."""
    value = _value(spec)
    inner = {"choices": {"items": value}, "value": value}
    shape = _ANY
    if spec.type in (int, float) and spec.choices is None:
        shape = _NUMBERS if spec.type is float else _WHOLE
        inner["range"] = {"items": _value(spec, null=False)}
    search = {"$ref": f"#/$defs/{shape}", "properties": inner}
    return _described(spec) | {"if": {"type": "object"}, "then": search, "else": value}


def _shapes() -> dict[str, Schema]:
    """What a parameter's mapping may hold, by what it is a search of."""
    keys = {
        "choices": _listing("The search takes one of these.", {}) | {"uniqueItems": True},
        "value": {"description": "A fixed value, for one that has a condition."},
        "when": _WHEN,
    }
    closed = _mapping(keys) | {"oneOf": _required("choices", "value")}
    return {
        _ANY: closed,
        _NUMBERS: _range_shape(keys, "number"),
        _WHOLE: _range_shape(keys, "integer"),
    }


def _range_shape(keys: Mapping[str, Schema], step: str) -> Schema:
    more = {
        "range": _listing("From the first to the second, both included.", {}, 2) | {"maxItems": 2},
        "log": _flag("The range is searched on a logarithmic scale."),
        "step": {"description": "Of the range.", "type": step, "exclusiveMinimum": 0},
    }
    both = {"properties": {"log": {"const": True}}, "required": ["log", "step"]}
    return _mapping({**keys, **more}) | {
        "oneOf": _required("choices", "range", "value"),
        "dependentRequired": {"log": ["range"], "step": ["range"]},
        "not": both,
    }


def _value(spec: ParameterSpec, *, null: bool = True) -> Schema:
    if spec.type is list:
        schema: Schema = {"type": ["string", "array"], "items": {"type": "string"}}
    elif spec.type is Path:
        schema = _PATH
    else:
        schema = {"type": _TYPES[spec.type]}
    bounds = {"minimum": spec.low, "maximum": spec.high}
    schema |= {key: bound for key, bound in bounds.items() if bound is not None}
    if spec.choices is not None:
        schema["enum"] = plain(spec.choices)
    return _or_null(schema) if spec.nullable and null else schema


def _described(spec: ParameterSpec) -> Schema:
    return {"description": f"{spec.help} ({expected(spec)})", "default": plain(spec.default)}


def _evaluator(spec: EvaluatorSpec) -> Schema:
    options = {p.name: _described(p) | _value(p) for p in spec.parameters}
    return _or_null(_mapping(options, spec.help))


# The rest


def _data() -> Schema:
    paths = _one_or_more("Files of rows.", _place())
    roles = _mapping(dict.fromkeys(("train", "dev", "test"), paths), required=("train", "dev"))
    share = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
    keys = {
        "files": {
            "description": "JSON lines, JSON, CSV, TSV, Parquet or text; or train:, dev:, test:.",
            "if": {"type": "object", "not": {"required": ["hub"]}},
            "then": roles,
            "else": paths,
        },
        "template": _words("A row as text, with {column} placeholders; the label's comes last."),
        "chat": _chat(),
        "label": _words("The column that the model predicts."),
        "split": _or_null(
            _mapping(
                {"dev": _or_zero(share), "test": _or_zero(share)}, "Shares of the rows; 0: none."
            )
        ),
        "seed": {"type": "integer", "minimum": 0},
    }
    found = _mapping(keys, "What to train on and to score with.", required=("files",))
    return found | {"oneOf": [{"required": ["template"]}, {"required": ["chat"]}]}


def _chat() -> Schema:
    """Conversations, or what two sides say."""
    side = "A column, or text with {column} placeholders."
    said = {
        "user": _words(side),
        "assistant": _words(side),
        "system": _words("What the model is told first."),
    }
    whole = {"messages": _words("The column of conversations: lists of {role, content}.")}
    return {
        "description": "A row as turns, in the model's own chat template; in place of template.",
        "if": {"required": ["messages"]},
        "then": _mapping(whole, required=("messages",)),
        "else": _mapping(said, required=("user", "assistant")),
    }


def _place() -> Schema:
    """Where a file is, or a data set of the hub."""
    keys = {
        "hub": _words("A data set of the hub, or a folder laid out like one."),
        "subset": _words("Which of its configurations."),
        "split": _words("One of its splits, or a slice: train[:4096], train[10%:20%]."),
        "revision": _words("A branch, tag or commit."),
    }
    return {
        "if": {"type": "object"},
        "then": _mapping(keys, "A data set of the hub.", required=("hub",)),
        "else": _words("The path of a file, or its URL (s3://, az://, gs://, https://...)."),
    }


def _objective(pattern: str) -> Schema:
    return _text("minimize METRIC or maximize METRIC, such as minimize latency.", pattern)


def _constraint(pattern: str) -> Schema:
    text = _text("METRIC OP LIMIT, such as latency<50ms or accuracy>=baseline-2%.", pattern)
    tolerance = _words("How much a violation weighs, such as 5ms.")
    keys = {"constraint": text, "tolerance": tolerance}
    return {
        "if": {"type": "object"},
        "then": _mapping(keys, required=("constraint",)),
        "else": text,
    }


def _search() -> Schema:
    trials: Schema = {
        "type": ["integer", "null"],
        "minimum": 1,
        "description": "null: without end.",
    }
    keys: dict[str, Schema] = {
        "strategy": {"enum": list(STRATEGIES)},
        "trials": trials,
        "max_time": _or_null(_duration("For how long to search in all: 90s, 8m or 1h30m.")),
        "seed": {"type": "integer", "minimum": 0, "maximum": MAX_SEED},
    }
    return _mapping(keys, "How to search, and for how long.")


def _limits() -> Schema:
    memory = _text("A size such as 4GB or 512MiB.", quantity_pattern(unit_names("B")))
    keys = {
        "time": _or_null(_duration("Of each stage and measurement: 90s, 8m or 1h30m.")),
        "memory": _or_null(memory),
        "fidelity": _flag("Models that a stage changed beyond what its pass explains are dead."),
        "faults": _flag("Models whose answers are worth nothing are dead."),
    }
    return _mapping(keys, "What each stage and each measurement may take.")


# Parts of a schema


def _mapping(
    keys: Mapping[str, Schema], description: str = "", required: Sequence[str] = ()
) -> Schema:
    schema: Schema = {"description": description} if description else {}
    schema |= {"type": "object", "properties": dict(keys), "additionalProperties": False}
    return schema | ({"required": list(required)} if required else {})


def _listing(description: str, items: Schema, least: int = 1) -> Schema:
    schema: Schema = {"description": description} if description else {}
    return schema | {"type": "array", "minItems": least, "items": items}


def _one_or_more(description: str, item: Schema, least: int = 1) -> Schema:
    """A list of items; a single one need not stand in a list."""
    return {
        "description": description,
        "if": {"type": "array"},
        "then": {"items": item, "minItems": least},
        "else": item,
    }


def _text(description: str, pattern: str | None = None) -> Schema:
    schema: Schema = {"description": description, "type": "string", "minLength": 1}
    if pattern is None:
        return schema
    # Editors say the second in place of a pattern that nobody can read.
    return schema | {"pattern": pattern, "patternErrorMessage": f"Expected: {description}"}


def _words(description: str, pattern: str | None = None) -> Schema:
    """Text that may look like a number: a column called 2, a study called 2026."""
    return _text(description, pattern) | {"type": ["string", "number"]}


def _duration(description: str) -> Schema:
    return _words(description, duration_pattern()) | {"exclusiveMinimum": 0}


def _flag(description: str) -> Schema:
    return {"description": description, "type": "boolean"}


def _required(*keys: str) -> list[Schema]:
    return [{"required": [key]} for key in keys]


def _or_zero(share: Schema) -> Schema:
    """The share, or 0: nothing is kept back."""
    return {key: bound for key, bound in share.items() if key != "exclusiveMinimum"} | {
        "minimum": 0
    }


def _or_null(schema: Schema) -> Schema:
    """The schema, or nothing at all."""
    types = schema.get("type")
    if types is None:
        return {**schema, "else": {"anyOf": [{"type": "null"}, schema["else"]]}}
    widened: Schema = {"type": [*([types] if isinstance(types, str) else types), "null"]}
    if "enum" in schema:
        widened["enum"] = [*schema["enum"], None]
    return schema | widened
