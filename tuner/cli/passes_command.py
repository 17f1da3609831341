"""`tune passes`, `tune metrics` and `tune schema`: the words that a space may use."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterable

from evaluators import all_evaluators
from search_spaces.problems import hint, listed
from search_spaces.schema import space_schema
from tuner.passes import all_passes
from tuner.registry import vocabulary
from tuner.report import facts, reference_text

WRONG = 2


def passes(arguments: argparse.Namespace) -> int:
    """Show every pass, or all of one."""
    words = vocabulary()  # first, as it says what is wrong with a pass that cannot be loaded
    known = all_passes()
    if arguments.name is None:
        groups = facts.grouped(known.values())
        told = {group: [facts.pass_facts(p) for p in members] for group, members in groups.items()}
        listing = [one for members in told.values() for one in members]
        return _show(arguments, listing, lambda: reference_text.pass_list(told, _width()))
    if arguments.name not in words.passes:
        return _unknown("pass", arguments.name, words.passes)
    one = facts.pass_facts(known[arguments.name])
    return _show(arguments, one, lambda: reference_text.pass_page(one, _width()))


def metrics(arguments: argparse.Namespace) -> int:
    """Show every evaluator with its metrics, or all of one; a metric's name means its evaluator."""
    words = vocabulary()
    known = all_evaluators()
    if arguments.name is None:
        told = [facts.evaluator_facts(evaluator) for evaluator in known.values()]
        return _show(arguments, told, lambda: reference_text.metric_list(told, _width()))
    owner = words.metric(arguments.name)
    name = arguments.name if arguments.name in known or owner is None else owner[0].name
    if name not in known:
        all_metrics = [m.name for e in known.values() for m in e.spec.metrics]
        return _unknown("evaluator or metric", name, dict.fromkeys([*known, *all_metrics]))
    one = facts.evaluator_facts(known[name])
    return _show(arguments, one, lambda: reference_text.evaluator_page(one, _width()))


def schema(arguments: argparse.Namespace) -> int:
    """Print the JSON schema of a space, with every installed pass and evaluator."""
    print(json.dumps(space_schema(vocabulary()), indent=2, ensure_ascii=False))
    return 0


def _show(arguments: argparse.Namespace, data: object, lines: Callable[[], Iterable[str]]) -> int:
    if arguments.json:
        print(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        print("\n".join(lines()))
    return 0


def _unknown(what: str, name: str, known: Iterable[str]) -> int:
    names = list(known)
    message = f"unknown {what} {name!r}, expected {listed(names)}{hint(name, names)}"
    print(f"tune: {message}", file=sys.stderr)
    return WRONG


def _width() -> int:
    """The terminal's width, where that makes sense; long lines are hard to read."""
    return min(100, max(60, shutil.get_terminal_size().columns))
