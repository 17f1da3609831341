"""What a space would do, in lines: the pipeline, what is measured and required, where it all goes.

Prints what `--dry-run` shows. Runs nothing, and knows nothing of the command line.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from search_spaces.conditions import Condition
from search_spaces.counting import measure
from search_spaces.data import DataError
from search_spaces.data_report import report
from search_spaces.space import Choices, Domain, Fixed, OneOf, Space, Step
from search_spaces.vocabulary import Value
from tuner.report.step_example import yaml_value
from tuner.report.words import duration, plural

WIDTH = 79
_COLUMN = 13


@dataclass(frozen=True, slots=True)
class Places:
    """Where things would go, in words."""

    output: str
    database: str


def outline(space: Space, places: Places) -> list[str]:
    """Lines of at most 79 columns."""
    fields = [("model", _model(space)), ("task", space.task), *_data(space)]
    lines = [line for name, text in fields for line in _field(name, text)]
    lines.append("pipeline")
    lines += [line for item in space.pipeline for line in _item(item, "  ")]
    asked = ", ".join(o.text for o in space.objectives)
    fields = [
        ("measured", "; ".join(_measured(space))),
        ("objectives", asked),
        ("required", ", ".join(c.text for c in space.constraints) or "nothing"),
        ("candidates", _candidates(space)),
        ("answer", places.output),
        ("database", places.database),
    ]
    return lines + [line for name, text in fields for line in _field(name, text)]


def _field(name: str, text: str) -> list[str]:
    return textwrap.wrap(
        f"{name:<{_COLUMN}}{text}",
        WIDTH,
        subsequent_indent=" " * _COLUMN,
        break_on_hyphens=False,
    )


def _model(space: Space) -> str:
    words = {"hf": "", "adapter": " (an adapter)", "quantized": " (packed weights)"}
    form = space.model.format
    if space.test_model:
        return f"{space.model.text} (a stand-in with random weights)"
    return space.model.text + words.get(form, f" ({form}, built already)")


def _data(space: Space) -> Iterator[tuple[str, str]]:
    data = space.data
    if data is None:
        return
    yield "data", ", ".join(dict.fromkeys(str(place) for _, place in data.files))
    if data.chat is None:
        yield "template", yaml_value(data.template)
    else:
        yield "chat", ", ".join(f"{k}: {yaml_value(v)}" for k, v in data.chat.to_json().items())
    if data.label is not None:
        yield "label", data.label
    try:
        yield "rows", str(report(data))
    except DataError as error:
        yield "rows", f"cannot be used as it is: {error}"


def _item(item: Step | OneOf, indent: str) -> Iterator[str]:
    if isinstance(item, Step):
        yield from _step(item, indent)
        return
    yield f"{indent}one of"
    for label, steps in zip(item.labels, item.alternatives, strict=True):
        if not steps:
            yield f"{indent}  {label}"
        for step in steps:
            yield from _step(step, f"{indent}  ")


def _step(step: Step, indent: str) -> Iterator[str]:
    notes = ["or not"] if step.optional else []
    notes += [f"where {step.when.text}"] if step.when else []
    notes += ["the baseline has it too"] if step.baseline else []
    yield f"{indent}{step.id}" + (f"  ({', '.join(notes)})" if notes else "")
    for name, domain in step.parameters.items():
        yield from textwrap.wrap(
            f"{name} = {_domain(domain)}",
            WIDTH,
            initial_indent=f"{indent}    ",
            subsequent_indent=f"{indent}      ",
            break_on_hyphens=False,
        )


def _domain(domain: Domain) -> str:
    if isinstance(domain, Fixed):
        return _value(domain.value) + _when(domain.when)
    if isinstance(domain, Choices):
        return " | ".join(map(_value, domain.values)) + _when(domain.when)
    low, high = (int(v) if domain.integer else v for v in (domain.low, domain.high))
    how = ", logarithmic" if domain.log else f", in steps of {domain.step:g}" if domain.step else ""
    return f"{_value(low)} to {_value(high)}{how}{_when(domain.when)}"


def _value(value: Value) -> str:
    return yaml_value(value)


def _when(condition: Condition | None) -> str:
    return f"  (where {condition.text})" if condition else ""


def _measured(space: Space) -> Iterator[str]:
    for name, options in space.evaluators.items():
        told = [f"{k} {_value(v)}" for k, v in options.items() if k in _TOLD and v is not None]
        yield f"{name} ({', '.join(told)})" if told else name


_TOLD = ("prompt_tokens", "new_tokens", "batch", "max_items", "file", "tasks")


def _candidates(space: Space) -> str:
    size = measure(space)
    many = "infinitely many" if size.candidates is None else f"{size.candidates:,}"
    if size.candidates == 1:
        return "1: everything is fixed"
    search = space.search
    limits = [plural(search.trials, "trial")] if search.trials is not None else []
    limits += [f"at most {duration(search.max_time)}"] if search.max_time is not None else []
    return f"{many}, searched by {search.strategy}: {', '.join(limits) or 'no limit'}"
