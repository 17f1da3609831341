"""`tune check` and `tune plan`: what can be said of a space before anything runs."""

from __future__ import annotations

import argparse
import math
import textwrap
from pathlib import Path

from search_spaces.counting import Size, measure
from search_spaces.data import DataError
from search_spaces.data_report import DataReport, report
from search_spaces.problems import Problem, SpaceError
from search_spaces.space import Space, steps_of
from tuner.cli import spaces
from tuner.pipeline.costs import PassCosts, known_costs
from tuner.pipeline.store import default_root
from tuner.report.words import duration, plural


def check(arguments: argparse.Namespace) -> int:
    """Report every problem of a space; it raises SpaceError where there is one."""
    space = spaces.read(arguments).space
    size = measure(space)
    found = _look_at_data(space)
    print(f"{space.name}: fine, {_candidates(size)}")
    _print_warnings(found)
    return 0


def plan(arguments: argparse.Namespace) -> int:
    """Print the size of a space, its stages, and what they are known to cost."""
    space = spaces.read(arguments).space
    size = measure(space)
    found = _look_at_data(space)
    root = default_root() if arguments.store is None else Path(arguments.store)
    costs = known_costs(root, _passes(space), list(space.evaluators))
    print(f"space        {space.name}: {_candidates(size)}")
    print(f"model        {space.model.text}")
    if found is not None:
        print(textwrap.fill(f"data         {found}", 79, subsequent_indent=" " * 13))
    print(f"objectives   {', '.join(o.text for o in space.objectives)}")
    constraints = ", ".join(c.text for c in space.constraints)
    print(f"constraints  {constraints or 'none'}")
    print(f"search       {_search(space)}")
    print(f"stages       {_stages(size)}")
    for line in _cost_lines(space, size, costs):
        print(line)
    _print_warnings(found)
    return 0


def _look_at_data(space: Space) -> DataReport | None:
    """What the space's data holds; SpaceError where it cannot be used."""
    if space.data is None:
        return None
    try:
        return report(space.data)
    except DataError as error:
        raise SpaceError([Problem(f"data: {error}", str(space.path))]) from error


def _print_warnings(found: DataReport | None) -> None:
    for finding in () if found is None else found.warnings:
        example = f"; for example {finding.examples[0]}" if finding.examples else ""
        text = f"warning: {finding.message}{example}"
        print(textwrap.fill(text, 79, subsequent_indent="  ", break_on_hyphens=False))


COMMANDS = {"check": check, "plan": plan}


def _candidates(size: Size) -> str:
    if size.candidates is None:
        return "infinitely many candidates (a range is continuous)"
    return plural(size.candidates, "candidate")


def _stages(size: Size) -> str:
    if size.candidates is None:
        return "depend on the values drawn from continuous ranges"
    return f"{size.shared:,} when shared by candidates, {size.unshared:,} without sharing"


def _search(space: Space) -> str:
    settings = space.search
    limits = [plural(settings.trials, "trial")] if settings.trials is not None else []
    if settings.max_time is not None:
        limits.append(f"at most {duration(settings.max_time)}")
    return f"{settings.strategy}, {', '.join(limits) or 'no limit'}, seed {settings.seed}"


def _passes(space: Space) -> dict[str, str]:
    """Step id -> pass name, for every step of the pipeline."""
    return {s.id: s.spec.name for item in space.pipeline for s in steps_of(item)}


def _cost_lines(space: Space, size: Size, costs: PassCosts) -> list[str]:
    """A line per step with its stages and mean seconds so far, and an estimate of the whole."""
    trials = min(space.search.trials or math.inf, size.candidates or math.inf)
    total, unknown, lines = 0.0, [], []
    for step, pass_name in _passes(space).items():
        stages = size.stages.get(step, 0) if size.candidates is not None else None
        expected = min(trials, stages if stages is not None else math.inf)
        mean = costs.stages.get(pass_name)
        many = "" if stages is None else f", {plural(stages, 'stage')}"
        lines.append(f"  {step:<17}{_mean(mean)}{many}")
        total += 0.0 if mean is None else mean * expected
        unknown += [step] if mean is None else []
    for name in space.evaluators:
        mean = costs.measurements.get(name)
        lines.append(f"  {'measure ' + name:<17}{_mean(mean)}")
        total += 0.0 if mean is None else mean * trials
        unknown += [name] if mean is None else []
    return [*lines, f"cost         {_estimate(total, unknown, trials)}"]


def _mean(seconds: float | None) -> str:
    return "not run yet" if seconds is None else f"{duration(seconds)} each so far"


def _estimate(total: float, unknown: list[str], trials: float) -> str:
    if math.isinf(trials):
        return "not bounded: neither the space nor the search has an end"
    if total == 0.0:
        return "not known: nothing of this has run yet"
    missing = f", without {', '.join(unknown)}" if unknown else ""
    return f"about {duration(total)} for {plural(int(trials), 'trial')} at most{missing}"
