"""The generated documents: docs/passes.md, docs/metrics.md and docs/space.schema.json.

    python -m tuner.report.reference_pages docs

writes them. They tell of the passes and evaluators of this program alone, whatever else is
installed, and nothing in them depends on the machine.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluators import all_evaluators
from search_spaces.kinds import kind_words
from search_spaces.problems import listed
from search_spaces.schema import space_schema
from search_spaces.vocabulary import KINDS, TASKS, Vocabulary
from tuner.passes import all_passes
from tuner.report.facts import FORMATS, evaluator_facts, grouped, is_built_in, pass_facts
from tuner.report.reference_text import (
    applies_words,
    baseline_words,
    evaluator_needs,
    repeatable_words,
    search_words,
)
from tuner.report.step_example import yaml_value

Facts = Mapping[str, Any]

_INTRODUCTION = """\
# Passes

Every pass of a pipeline, in the order in which pipelines have them. This page is generated from
what the passes declare (`python -m tuner.report.reference_pages docs`); `tune passes` shows the
same, with what is installed here, and `tune passes NAME` all about one.

Every parameter of every pass can be searched: `{choices: [...]}` or `{range: [low, high]}` in place
of a value. *Worth searching* is what is proposed where a space is written for you.
"""

_METRICS = """\
# Metrics

What can be measured, by the evaluators that measure it: the entries under `metrics:` of a space.
This page is generated from what the evaluators declare
(`python -m tuner.report.reference_pages docs`); `tune metrics` shows the same, with what this
machine lacks, and `tune metrics NAME` all about one. How numbers come about:
[measurement](measurement.md). A metric of your own: [space file](space.md#a-metric-of-your-own).

What a metric *depends on* says which candidates share a measurement: one that depends on weights
and structure is not measured again where only the session's options differ. A metric with
statistics takes one behind a dot (`latency.p95`); the first is what the name alone means. Values
come with a 95 % interval; a size is exact.
"""


def documents() -> dict[str, str]:
    """The text of every generated document, by its file's name."""
    passes = [p for p in all_passes().values() if is_built_in(p)]
    evaluators = [e for e in all_evaluators().values() if is_built_in(e)]
    words = Vocabulary(
        {p.spec.name: p.spec for p in passes}, {e.spec.name: e.spec for e in evaluators}
    )
    groups = {name: [pass_facts(p) for p in members] for name, members in grouped(passes).items()}
    return {
        "passes.md": "\n".join(passes_page(groups)) + "\n",
        "metrics.md": "\n".join(metrics_page([evaluator_facts(e) for e in evaluators])),
        "space.schema.json": json.dumps(space_schema(words), indent=1, ensure_ascii=False) + "\n",
    }


def passes_page(groups: Mapping[str, Sequence[Facts]]) -> Iterator[str]:
    """The page of all passes in Markdown, line by line."""
    yield _INTRODUCTION
    yield from _table(
        ("format", "what flows between passes"), [(f"`{n}`", w) for n, w in FORMATS.items()]
    )
    yield ""
    for name, members in groups.items():
        yield f"## {name[0].upper()}{name[1:]}"
        yield ""
        rows = [(f"[`{f['name']}`](#{f['name']})", _formats(f), f["help"]) for f in members]
        yield from _table(("pass", "takes → gives", "what it does"), rows)
        yield ""
        for facts in members:
            yield from _pass_section(facts)


def _pass_section(facts: Facts) -> Iterator[str]:
    yield f"### {facts['name']}"
    for paragraph in [facts["help"], *facts["about"]]:
        yield ""
        yield _text(paragraph)
    yield ""
    for words in _declarations(facts):
        yield f"- {words}"
    yield ""
    if facts["parameters"]:
        yield from _table(
            ("parameter", "values", "default", "worth searching", "meaning"),
            [_parameter_row(parameter) for parameter in facts["parameters"]],
        )
        yield ""
    yield f"```yaml\npipeline:\n{facts['example']}\n```"
    yield ""


def _declarations(facts: Facts) -> Iterator[str]:
    """What a pass says of itself, a line each; nothing of what goes without saying."""
    yield f"takes {_formats(facts)}; changes {listed(facts['changes'], 'and')}"
    if set(facts["kinds"]) != KINDS:
        yield f"for {kind_words(facts['kinds'])}"
    if set(facts["tasks"]) != set(TASKS):
        yield f"for {listed(facts['tasks'], 'and')}"
    if facts["providers"]:
        yield f"the result runs on {listed(facts['providers'])}"
    if facts["passes_through"]:
        yield f"left out where the model is {listed(facts['passes_through'])}"
    for format_, values in facts["fixes"].items():
        yield f"where the model is {format_}: {_settings(values)}"
    if facts["uses_data"]:
        yield "needs data, of which it reads the training split"
    for need in facts["requires"]:
        yield f"needs {need['distribution']} (`pip install '.[{need['extra']}]'`)"
    yield f"the baseline is {baseline_words(facts['neutral'])}"
    if not facts["deterministic"]:
        yield f"repeatable: {repeatable_words(facts['deterministic'])}"


def _parameter_row(parameter: Facts) -> tuple[str, ...]:
    search = parameter["search"]
    return (
        f"`{parameter['name']}`",
        parameter["values"],
        f"`{yaml_value(parameter['default'])}`",
        "" if search is None else search_words(search),
        _meaning(parameter),
    )


def _meaning(parameter: Facts) -> str:
    if not parameter["applies"]:
        return str(parameter["help"])
    return f"{parameter['help'].rstrip('.')}. Only where {applies_words(parameter['applies'])}."


def metrics_page(evaluators: Sequence[Facts]) -> Iterator[str]:
    """The page of all evaluators in Markdown, line by line."""
    yield _METRICS
    rows = [
        (f"`{metric['name']}`", metric["unit"], metric["better"], metric["help"], _link(facts))
        for facts in evaluators
        for metric in facts["metrics"]
    ]
    yield from _table(("metric", "unit", "better", "what", "evaluator"), rows)
    yield ""
    for facts in evaluators:
        yield from _evaluator_section(facts)


def _link(facts: Facts) -> str:
    return f"[`{facts['name']}`](#{facts['name']})"


def _evaluator_section(facts: Facts) -> Iterator[str]:
    yield f"## {facts['name']}"
    for paragraph in facts["about"]:
        yield ""
        yield _text(paragraph)
    yield ""
    for words in _evaluator_declarations(facts):
        yield f"- {words}"
    yield ""
    if facts["parameters"]:
        rows = [
            (f"`{p['name']}`", p["values"], f"`{yaml_value(p['default'])}`", _meaning(p))
            for p in facts["parameters"]
        ]
        yield from _table(("option", "values", "default", "meaning"), rows)
        yield ""


def _evaluator_declarations(facts: Facts) -> Iterator[str]:
    """What an evaluator says of itself and of its metrics, a line each."""
    yield f"measures {', '.join(facts['measures'])}"
    if needs := evaluator_needs(facts):
        yield f"needs {listed(needs, 'and')}"
    if facts["beside_baseline"]:
        yield "measured beside the baseline's model"
    for need in facts["requires"]:
        yield f"needs {need['distribution']} (`pip install '.[{need['extra']}]'`)"
    for metric in facts["metrics"]:
        yield f"`{metric['name']}`: {'; '.join(_metric_declarations(metric))}"


def _metric_declarations(metric: Facts) -> Iterator[str]:
    yield metric["units"]
    yield f"{metric['better']} is better"
    yield f"depends on {listed(metric['depends_on'], 'and')}"
    if metric["statistics"]:
        yield f"statistics {', '.join(metric['statistics'])}"
    if metric["formats"]:
        yield f"only of {', '.join(metric['formats'])}"


def _formats(facts: Facts) -> str:
    return f"{', '.join(facts['takes'])} → {facts['gives'] or 'the same'}"


def _settings(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {yaml_value(value)}" for name, value in values.items())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(_text(cell).replace('|', chr(92) + '|') for cell in row)} |"


def _text(text: str) -> str:
    """Text in which nothing is taken for HTML, except inside of code."""
    parts = text.split("`")
    return "`".join(p if i % 2 else p.replace("<", "&lt;") for i, p in enumerate(parts))


def main() -> None:
    """Write every document into the folder that the command line names."""
    folder = Path(sys.argv[1])
    for name, text in documents().items():
        (folder / name).write_text(text, encoding="utf-8")
        print(folder / name)


if __name__ == "__main__":
    main()
