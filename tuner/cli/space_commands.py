"""`tune check` and `tune plan`: what can be said of a space before anything runs."""

from __future__ import annotations

import argparse
import math
import textwrap
from collections.abc import Iterator
from pathlib import Path

from evaluators.statistics import QUANTILES, samples_needed
from evaluators.timed import SAMPLE_OPTIONS
from search_spaces.counting import Size, measure
from search_spaces.data import DataError, fetch
from search_spaces.data_report import DataReport, report
from search_spaces.problems import Problem, SpaceError
from search_spaces.space import Space, steps_of
from tuner.cli import spaces
from tuner.pipeline.costs import PassCosts, known_costs
from tuner.pipeline.store import default_root
from tuner.registry import vocabulary
from tuner.report.words import duration, plural

_WIDTH = 79
_COLUMN = 13


def check(arguments: argparse.Namespace) -> int:
    """Report every problem of a space; it raises SpaceError where there is one."""
    space = spaces.read(arguments).space
    size = measure(space)
    found = _look_at_data(space, default_root())
    print(f"{space.name}: fine, {_candidates(size)}")
    _print_warnings(space, found)
    return 0


def plan(arguments: argparse.Namespace) -> int:
    """Print the size of a space, its stages, and what they are known to cost."""
    space = spaces.read(arguments).space
    size = measure(space)
    root = default_root() if arguments.store is None else Path(arguments.store)
    found = _look_at_data(space, root)
    costs = known_costs(root, _passes(space), list(space.evaluators))
    _print_field("space", f"{space.name}: {_candidates(size)}")
    _print_field("model", space.model.text)
    if found is not None:
        _print_field("data", str(found))
    _print_field("objectives", ", ".join(o.text for o in space.objectives))
    _print_field("constraints", ", ".join(c.text for c in space.constraints) or "none")
    _print_field("search", _search(space))
    _print_field("stages", _stages(size))
    _print_costs(space, size, costs)
    _print_warnings(space, found)
    return 0


def _print_field(name: str, text: str) -> None:
    wrapper = textwrap.TextWrapper(
        _WIDTH, subsequent_indent=" " * _COLUMN, break_on_hyphens=False, break_long_words=False
    )
    print(wrapper.fill(f"{name:<{_COLUMN}}{text}"))


def _look_at_data(space: Space, root: Path) -> DataReport | None:
    """What the space's data holds; SpaceError where it cannot be used. Fetches into the store."""
    if space.data is None:
        return None
    try:
        fetch(space.data, root)
        return report(space.data)
    except DataError as error:
        raise SpaceError([Problem(f"data: {error}", str(space.path))]) from error


def _print_warnings(space: Space, found: DataReport | None) -> None:
    texts = list(_too_few_samples(space))
    for finding in () if found is None else found.warnings:
        example = f"; for example {finding.examples[0]}" if finding.examples else ""
        texts.append(f"{finding.message}{example}")
    for text in texts:
        words = f"warning: {text}"
        print(textwrap.fill(words, _WIDTH, subsequent_indent="  ", break_on_hyphens=False))


def _too_few_samples(space: Space) -> Iterator[str]:
    """Percentiles that are asked for, and that need more samples than are certain to be taken."""
    asks = [(objective.metric, objective.statistic) for objective in space.objectives]
    asks += [(constraint.metric, constraint.statistic) for constraint in space.constraints]
    words = vocabulary()
    for metric, statistic in dict.fromkeys(asks):
        found = words.metric(metric)
        if found is None or statistic not in QUANTILES:
            continue
        name, needed = found[0].name, samples_needed(QUANTILES[statistic])
        options = {option: space.evaluators[name].get(option) for option in SAMPLE_OPTIONS}
        counts = [value for value in options.values() if isinstance(value, int)]
        if len(counts) < len(options) or math.prod(counts) >= needed:
            continue
        *others, _ = counts
        enough = math.ceil(needed / math.prod(others))
        taken = ", ".join(f"{option}: {value}" for option, value in options.items())
        yield (
            f"{metric}.{statistic} needs {needed} samples and may get no more than "
            f"{math.prod(counts)} ({taken}), with which it would be refused; requests: {enough} "
            "makes sure"
        )


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


def _print_costs(space: Space, size: Size, costs: PassCosts) -> None:
    """A line per step with its stages and mean seconds so far, and an estimate of the whole."""
    trials = min(space.search.trials or math.inf, size.candidates or math.inf)
    total, unknown = 0.0, []
    lines: dict[str, str] = {}
    for step, pass_name in _passes(space).items():
        stages = size.stages.get(step, 0) if size.candidates is not None else None
        expected = min(trials, stages if stages is not None else math.inf)
        mean = costs.stages.get(pass_name)
        many = "" if stages is None else f", {plural(stages, 'stage')}"
        lines[step] = f"{_mean(mean)}{many}"
        total += 0.0 if mean is None else mean * expected
        unknown += [step] if mean is None else []
    for name in space.evaluators:
        mean = costs.measurements.get(name)
        lines[f"measure {name}"] = _mean(mean)
        total += 0.0 if mean is None else mean * trials
        unknown += [name] if mean is None else []
    column = max(map(len, lines), default=0) + 2
    for name, text in lines.items():
        print(f"  {name:<{column}}{text}")
    _print_field("cost", _estimate(total, unknown, trials))


def _mean(seconds: float | None) -> str:
    return "not run yet" if seconds is None else f"{duration(seconds)} each so far"


def _estimate(total: float, unknown: list[str], trials: float) -> str:
    if math.isinf(trials):
        return "not bounded: neither the space nor the search has an end"
    if total == 0.0:
        return "not known: nothing of this has run yet"
    missing = f", without {', '.join(unknown)}" if unknown else ""
    return f"about {duration(total)} for {plural(int(trials), 'trial')} at most{missing}"
