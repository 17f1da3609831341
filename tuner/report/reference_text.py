"""What passes and evaluators declare, as lines for a terminal.

Made of the facts of `tuner.report.facts`; prints nothing itself.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from search_spaces.kinds import kind_words
from search_spaces.problems import listed
from tuner.report.facts import FORMATS
from tuner.report.step_example import yaml_value

Facts = Mapping[str, Any]

_NEXT_PASS = "tune passes NAME: all of one pass, with an example"
_NEXT_METRIC = "tune metrics NAME: all of one evaluator"


def pass_list(groups: Mapping[str, Sequence[Facts]], width: int) -> Iterator[str]:
    """A table of passes by group: name, formats, what each does, what it needs."""
    everything = [facts for group in groups.values() for facts in group]
    name = max(len(facts["name"]) for facts in everything) + 2
    formats = max(len(line) for facts in everything for line in formats_lines(facts)) + 2
    for group, members in groups.items():
        yield f"{group}:"
        for facts in members:
            cells = [[facts["name"]], formats_lines(facts), [facts["help"], *_missing(facts)]]
            yield from _row(cells, [name, formats], width)
        yield ""
    yield from _formats_key(everything, width)
    yield ""
    yield _NEXT_PASS


def pass_page(facts: Facts, width: int) -> Iterator[str]:
    """All about one pass."""
    yield from _head(facts, width, 1)
    yield from _fields(
        [
            ("takes", ", ".join(f"{f} ({FORMATS.get(f, 'a format of its own')})" for f in takes))
            if (takes := facts["takes"])
            else ("takes", "nothing"),
            ("gives", facts["gives"] or "the format that came in"),
            ("for", f"{kind_words(facts['kinds'])}; {', '.join(facts['tasks'])}"),
            *pass_fields(facts),
        ],
        width,
    )
    yield from _parameters(facts["parameters"], width, "parameters")
    yield ""
    yield "example (under pipeline:)"
    yield from facts["example"].splitlines()


def pass_fields(facts: Facts) -> Iterator[tuple[str, str]]:
    """What else there is to say of a pass: (what, in words)."""
    if facts["providers"]:
        yield "runs on", ", ".join(facts["providers"])
    yield "changes", listed(facts["changes"], "and")
    yield "repeatable", repeatable_words(facts["deterministic"])
    yield "baseline", baseline_words(facts["neutral"])
    if facts["passes_through"]:
        yield "left out", f"where the model is {listed(facts['passes_through'])}"
    for format_, values in facts["fixes"].items():
        yield "fixed", f"{_settings(values)} where the model is {format_}"
    if needs := [*_data_words(facts), *(requirement_words(r) for r in facts["requires"])]:
        yield "needs", "; ".join(needs)
    if facts["module"].partition(".")[0] != "tuner":
        yield "brought by", facts["module"]


def metric_list(evaluators: Sequence[Facts], width: int) -> Iterator[str]:
    """A table of evaluators with their metrics."""
    metrics = [metric for facts in evaluators for metric in facts["metrics"]]
    columns = [
        max((len(text) for text in (title, *texts)), default=0) + 2
        for title, texts in (
            ("metric", [m["name"] for m in metrics]),
            ("better", [m["better"] for m in metrics]),
            ("unit", [m["unit"] for m in metrics]),
        )
    ]
    yield from _row([["metric"], ["better"], ["unit"], ["what"]], columns, width)
    for facts in evaluators:
        yield ""
        head = f"{facts['name']}: {facts['help']}"
        yield from textwrap.wrap(head, width, subsequent_indent="    ")
        yield from _indented(_missing(facts), width)
        for metric in facts["metrics"]:
            cells = [[metric["name"]], [metric["better"]], [metric["unit"]], [metric["help"]]]
            yield from _row(cells, columns, width)
        yield from _indented(lacking_words(facts), width)
    yield ""
    yield _NEXT_METRIC


def lacking_words(facts: Facts) -> Iterator[str]:
    """What this machine lacks of an evaluator's metrics, a sentence for each reason."""
    reasons = dict.fromkeys(m["lacking"] for m in facts["metrics"] if m["lacking"])
    for reason in reasons:
        names = [m["name"] for m in facts["metrics"] if m["lacking"] == reason]
        yield f"Not here: {listed(names, 'and')}; {reason}."


def evaluator_page(facts: Facts, width: int) -> Iterator[str]:
    """All about one evaluator."""
    yield from _head(facts, width, len(facts["about"]))
    yield from _fields(_evaluator_fields(facts), width)
    yield ""
    yield "metrics"
    for metric in facts["metrics"]:
        yield from _entry(metric["name"], _metric_words(metric), _NAME_COLUMN, width)
    yield from _parameters(facts["parameters"], width, "options")


def _evaluator_fields(facts: Facts) -> Iterator[tuple[str, str]]:
    yield "measures", ", ".join(facts["measures"])
    if needs := [*evaluator_needs(facts), *(requirement_words(r) for r in facts["requires"])]:
        yield "needs", "; ".join(needs)
    if facts["beside_baseline"]:
        yield "beside", "the baseline's model"
    if facts["module"].partition(".")[0] != "evaluators":
        yield "brought by", facts["module"]


def evaluator_needs(facts: Facts) -> list[str]:
    """What data an evaluator cannot do without."""
    if facts["needs_labels"]:
        return ["data with labels"]
    return ["data"] if facts["needs_data"] else []


def _metric_words(metric: Facts) -> list[str]:
    words = [
        f"{metric['help']}; {metric['better']} is better",
        metric["units"],
        f"depends on {listed(metric['depends_on'], 'and')}",
    ]
    if metric["formats"]:
        words.append(f"of {', '.join(metric['formats'])} models only")
    if metric["statistics"]:
        words.append(f"statistics: {', '.join('.' + s for s in metric['statistics'])}")
    if metric["lacking"]:
        words.append(f"not here: {metric['lacking']}")
    return words


def formats_lines(facts: Facts) -> list[str]:
    """`hf, quantized` and `-> adapter`; one line where that is short."""
    takes, gives = ", ".join(facts["takes"]), f"-> {facts['gives'] or 'the same'}"
    both = f"{takes} {gives}"
    return [both] if len(both) <= 18 else [takes, gives]


def repeatable_words(deterministic: bool) -> str:
    """Whether the same input and seed give the same bytes."""
    return (
        "yes: the same input and seed give the same bytes" if deterministic else "not to the byte"
    )


def baseline_words(neutral: Mapping[str, Any] | None) -> str:
    """Whether the baseline has the pass, and with which values."""
    if neutral is None:
        return "without it, unless a step says `baseline: true`"
    return f"with {_settings(neutral)}" if neutral else "with its defaults"


def requirement_words(requirement: Facts) -> str:
    """`auto-round (extra autoround): not installed`."""
    state = "installed" if requirement["installed"] else "not installed"
    return f"{requirement['distribution']} (extra `{requirement['extra']}`): {state}"


def search_words(search: Any) -> str:
    """What is worth searching: `4, 16, 64` or `1.0e-4 to 2.0e-3 (log)`."""
    if isinstance(search, Mapping):
        low, high = (yaml_value(search[end]) for end in ("low", "high"))
        return f"{low} to {high}{' (log)' if search['log'] else ''}"
    return ", ".join(yaml_value(value) for value in search)


def applies_words(applies: Mapping[str, Sequence[Any]]) -> str:
    """Where a parameter has an effect: `precision is int4; the model is hf`."""
    return "; ".join(
        f"{'the model' if name == 'input' else name} is {listed(yaml_value(v) for v in values)}"
        for name, values in applies.items()
    )


_NAME_COLUMN = 20
_FIELD_COLUMN = 12


def _head(facts: Facts, width: int, paragraphs: int) -> Iterator[str]:
    """The name, and so many paragraphs of what there is to say."""
    yield from textwrap.wrap(f"{facts['name']}: {facts['help']}", width, subsequent_indent="  ")
    for paragraph in facts["about"][:paragraphs]:
        yield ""
        yield from textwrap.wrap(paragraph, width, break_on_hyphens=False)
    yield ""


def _fields(fields: Iterable[tuple[str, str]], width: int) -> Iterator[str]:
    for name, words in fields:
        yield from _row([[name], [words]], [_FIELD_COLUMN], width, indent="")


def _parameters(parameters: Sequence[Facts], width: int, title: str) -> Iterator[str]:
    yield ""
    if not parameters:
        yield f"no {title}"
        return
    yield title
    name = max(_NAME_COLUMN, max(len(p["name"]) for p in parameters) + 2)
    for parameter in parameters:
        yield from _entry(parameter["name"], _parameter_words(parameter), name, width)


def _parameter_words(parameter: Facts) -> list[str]:
    default = yaml_value(parameter["default"])
    words = [parameter["help"], f"{parameter['values']}; default {default}"]
    if parameter["search"] is not None:
        words.append(f"worth searching: {search_words(parameter['search'])}")
    if parameter["applies"]:
        words.append(f"only where {applies_words(parameter['applies'])}")
    return words


def _entry(name: str, words: Sequence[str], column: int, width: int) -> Iterator[str]:
    yield from _row([[name], list(words)], [column], width)


def _row(
    cells: Sequence[Sequence[str]], columns: Sequence[int], width: int, indent: str = "  "
) -> Iterator[str]:
    """Cells side by side, each a list of texts; the last is wrapped into what is left."""
    rest = max(20, width - len(indent) - sum(columns))
    *left, last = cells
    stacks = [*left, [line for text in last for line in _wrapped(text, rest)]]
    for i in range(max(map(len, stacks))):
        parts = [stack[i] if i < len(stack) else "" for stack in stacks]
        padded = [part.ljust(column) for part, column in zip(parts, columns, strict=False)]
        yield (indent + "".join(padded) + parts[-1]).rstrip()


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False)


def _indented(sentences: Iterable[str], width: int) -> Iterator[str]:
    for sentence in sentences:
        yield from textwrap.wrap(sentence, width, initial_indent="    ", subsequent_indent="    ")


def _formats_key(everything: Iterable[Facts], width: int) -> Iterator[str]:
    used = {f for facts in everything for f in (*facts["takes"], facts["gives"])}
    for position, (name, words) in enumerate((n, w) for n, w in FORMATS.items() if n in used):
        label = "" if position else "formats"
        yield from _row([[label], [name], [words]], [9, 11], width, indent="")


def _missing(facts: Facts) -> list[str]:
    return [f"Needs {requirement_words(r)}." for r in facts["requires"]]


def _data_words(facts: Facts) -> list[str]:
    return ["data (it reads the training split)"] if facts["uses_data"] else []


def _settings(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {yaml_value(value)}" for name, value in values.items())
