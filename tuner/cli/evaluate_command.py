"""`tune evaluate`: measure a model's folder, or compare two."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.models.errors import ModelError

if TYPE_CHECKING:
    from evaluators.base import Artifact
    from tuner.evaluating.bench import Found, Pair, Value
    from tuner.evaluating.question import Question

_DEFAULT_METRICS = ("size", "latency")


def evaluate_command(arguments: argparse.Namespace) -> int:
    """Measure what the command line asks for; the exit code."""
    from search_spaces.data import DataError
    from tuner.models.built import built_model

    try:
        model = built_model(arguments.model, arguments.base)
        other = None if arguments.other is None else built_model(arguments.other)
        question = _question(arguments, model, other)
        if arguments.dry_run:
            print(_plan(question, model, other))
            return 0
        return _measure(arguments, question, model, other)
    except (DataError, ModelError) as error:
        print(f"tune evaluate: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ntune evaluate: stopped; what was measured is stored", file=sys.stderr)
        return 130


def _question(arguments: argparse.Namespace, model: Artifact, other: Artifact | None) -> Question:
    """What to measure; SpaceError with all that is wrong."""
    from tuner.evaluating.question import RECIPE, Flags, read_question, without_second
    from tuner.models.built import is_encoder
    from tuner.registry import vocabulary

    recipe = Path(arguments.model).expanduser() / RECIPE
    has_recipe = recipe.is_file() and recipe.parent.resolve() != model.path
    if other is not None and is_encoder(model) != is_encoder(other):
        raise ModelError("one of the two is an encoder, the other writes text: nothing to compare")
    metrics = arguments.metric
    if not metrics and not has_recipe:
        metrics = list(_DEFAULT_METRICS)
    flags = Flags(
        metrics=metrics,
        settings=arguments.set,
        data=arguments.data,
        template=arguments.template,
        label=arguments.label,
        text=arguments.text,
        split=arguments.split,
        recipe=recipe.absolute() if has_recipe else None,
    )
    formats = [model.format] if other is None else [model.format, other.format]
    question = read_question(flags, vocabulary(), formats)
    return without_second(question) if other is None else question


def _plan(question: Question, model: Artifact, other: Artifact | None) -> str:
    """What would be measured, in lines."""
    lines = [f"model: {model.path} ({model.format})"]
    if other is not None:
        lines.append(f"beside: {other.path} ({other.format})")
    if question.data is not None:
        files = dict.fromkeys(str(path) for _, path in question.data.files)
        lines.append(f"data: {question.rows} rows of {', '.join(files)}")
    for name, options in question.options.items():
        metrics = ", ".join(dict.fromkeys(one.metric.name for one in question.of(name)))
        given = ", ".join(f"{key}={value}" for key, value in options.items() if value is not None)
        lines.append(f"{name}: {metrics}" + (f" ({given})" if given else ""))
    return "\n".join(lines)


def _measure(
    arguments: argparse.Namespace, question: Question, model: Artifact, other: Artifact | None
) -> int:
    from tuner.evaluating.bench import NotOfThisModel, bench
    from tuner.pipeline.store import StoreError, default_root

    root = default_root() if arguments.store is None else Path(arguments.store)
    try:
        again = str(time.time()) if arguments.again else None
        with bench(question, root, _tell, again) as made:
            found = made.one(model) if other is None else made.two(model, other)
    except NotOfThisModel as error:
        print(f"tune evaluate: {error}", file=sys.stderr)
        return 2
    except StoreError as error:
        print(f"tune evaluate: {error}", file=sys.stderr)
        return 1
    as_json = json.dumps(_json(found, model, other), indent=2, ensure_ascii=False)
    if arguments.output is not None and not _written(Path(arguments.output), as_json):
        return 1
    if arguments.json:
        print(as_json)
    else:
        _print(found, model, other)
    for name, why in found.failures.items():
        print(f"tune evaluate: {name} cannot be measured: {why}", file=sys.stderr)
    return 1 if found.failures else 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _written(path: Path, text: str) -> bool:
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        print(f"tune evaluate: {path} cannot be written: {error.strerror}", file=sys.stderr)
        return False
    return True


def _json(found: Found, model: Artifact, other: Artifact | None) -> dict[str, Any]:
    """Values in canonical units: s, B, fractions."""
    result: dict[str, Any] = {"model": str(model.path), "format": model.format}
    if other is not None:
        result |= {"beside": str(other.path), "beside_format": other.format}
        result["comparisons"] = [asdict(pair) for pair in found.pairs]
    return result | {
        "metrics": [asdict(value) for value in found.values],
        "faults": dict(found.faults),
        "failures": dict(found.failures),
    }


def _print(found: Found, model: Artifact, other: Artifact | None) -> None:
    from rich.text import Text

    from tuner.report.answer import console

    out = console(sys.stdout)
    if other is None:
        out.print(Text(f"{model.path} ({model.format})"), soft_wrap=True)
    else:
        out.print(Text(f"A  {model.path} ({model.format})"), soft_wrap=True)
        out.print(Text(f"B  {other.path} ({other.format})"), soft_wrap=True)
    if found.pairs:
        out.print(_pairs_table(found.pairs))
    if found.values:
        out.print(_values_table(found.values))
    for line in _footnotes(found):
        out.print(Text(line))


def _values_table(values: Sequence[Value]) -> Any:
    table = _table("", "value", "95 % interval", "samples")
    for value in values:
        name, text, interval = _texts(value)
        table.add_row(name, text, interval, f"{value.samples:,}")
    return table


def _pairs_table(pairs: Sequence[Pair]) -> Any:
    from tuner.cli.compare_command import change_text, verdict_text
    from tuner.review.comparing import Finding

    table = _table("", "A", "B", "A against B", "do they differ?")
    for pair in pairs:
        a, b = pair.a, pair.b
        names = a.metric, a.statistic, a.unit
        finding = Finding(
            *names, a.value, b.value, pair.change, pair.relative, pair.confidence,
            pair.differ, pair.how,
        )  # fmt: skip
        cells = change_text(finding), verdict_text(finding)
        table.add_row(_texts(a)[0], _texts(a)[1], _texts(b)[1], *cells)
    return table


def _table(*titles: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    for title in titles:
        table.add_column(title, overflow="fold")
    return table


def _texts(value: Value) -> tuple[str, str, str]:
    """The metric's name, its value, and the interval; that of an exact number is empty."""
    from search_spaces.units import format_quantity
    from tuner.report.words import metric_name

    text, low, high = (format_quantity(x, value.unit) for x in (value.value, value.low, value.high))
    interval = "" if value.low == value.high else f"{low} to {high}"
    return metric_name(value.metric, value.statistic), text, interval


def _footnotes(found: Found) -> list[str]:
    """What the comparisons rest on, and what is wrong with a model in spite of its numbers."""
    from tuner.evaluating.bench import EXACT
    from tuner.report.words import metric_name

    lines = []
    estimates = [pair for pair in found.pairs if pair.how != EXACT]
    for how in dict.fromkeys((pair.how, pair.confidence) for pair in estimates):
        names = [
            metric_name(p.a.metric, p.a.statistic)
            for p in found.pairs
            if (p.how, p.confidence) == how
        ]
        lines.append(f"{', '.join(names)}: {how[0]}, {how[1]:.0%} confidence")
    for model, faults in found.faults.items():
        lines += [f"fault of {model}: {fault}" for fault in faults]
    return lines
