"""The answer to a new question, in the terminal and as JSON data.

Reads a `Reranked` study and prints; decides nothing.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from search_spaces.problems import listed
from search_spaces.units import format_quantity
from tuner.report.answer import WIDTH, asked_metrics, print_answer
from tuner.report.nothing_fits import STATES
from tuner.report.output import summary
from tuner.report.words import metric_name, plural
from tuner.review.reranking import Effort, Judged, Reranked, efforts
from tuner.study.api import Trial
from tuner.study.events import BASELINE

_SHOWN = 5


def reranked_json(study: Reranked, command: str | None, notes: Sequence[str]) -> dict[str, Any]:
    """All that is printed, as JSON data; the study's answer under the new question first."""
    own, best = study.original.best, study.best
    baseline = study.judged.get(BASELINE)
    return summary(study) | {
        "replaced": {old.text: new.text for old, new in study.replaced},
        "own_choice": None if own is None else own.number,
        "changed": _number(own) != _number(best),
        "choice_confirmed": study.confirmed_winner,
        "baseline_verdict": None if baseline is None else baseline.verdict,
        "surer": {
            "measure": [asdict(effort) for effort in efforts(study)],
            "train": [j.trial.number for j in study.untrained],
            "not_measured": [j.trial.number for j in study.unmeasured],
        },
        "command": command,
        "notes": list(notes),
    }


def _number(trial: Trial | None) -> int | None:
    return None if trial is None else trial.number


def print_reranked(
    console: Console, study: Reranked, command: str | None, notes: Sequence[str]
) -> None:
    """The question, the answer, what changed, and what it would take to be surer.

    `command`: goes on with this question; None: there is none. `notes`: what to know about it.
    """
    for line in _question_lines(study):
        _wrapped(console, line)
    print_answer(console, study)
    console.print()
    for line in [*_changed(study), *_baseline(study)]:
        _wrapped(console, line)
    surer = [*_effort_lines(study, efforts(study)), *_given_up(study), *_not_measured(study)]
    if surer:
        console.print("[bold]To be surer[/bold]")
    for line in surer:
        _wrapped(console, f"  {line}", "    ")
    if command is not None:
        console.print("To go on with this question:")
        console.print(Text(f"  {command}"), soft_wrap=True)
    for note in notes:
        _wrapped(console, f"note: {note}")


def _wrapped(console: Console, text: str, indent: str = "  ") -> None:
    rows = textwrap.wrap(text, WIDTH - 1, subsequent_indent=indent, break_on_hyphens=False)
    for row in rows:
        console.print(Text(row))


def _question_lines(study: Reranked) -> list[str]:
    instead = {new.text: old.text for old, new in study.replaced}
    constraints = [
        f"{text} (instead of {instead[text]})" if text in instead else text
        for text in (c.text for c in study.question.constraints)
    ]
    objectives = ", ".join(o.text for o in study.question.objectives)
    return [
        f"objectives   {objectives}",
        f"constraints  {', '.join(constraints) or 'none'}",
        f"answered from {plural(len(study.trials), 'stored trial')}; nothing was run",
    ]


def _changed(study: Reranked) -> list[str]:
    own, best = study.original.best, study.best
    if best is None:
        if own is None:
            return ["The study's own question found nothing either."]
        return [f"The study's own choice, #{own.number}, does not fit."]
    lines = [_beside(study, own, best)]
    if not study.confirmed_winner and best.row.state != "built":
        lines.append(
            f"warning: #{best.number} was never confirmed on held-out data: its numbers are those "
            "of the search, the best of many, which flatters them"
        )
    return lines


def _beside(study: Reranked, own: Trial | None, best: Trial) -> str:
    if own is None:
        return f"#{best.number} where the study's own question found nothing."
    if own.number == best.number:
        return f"#{best.number}, as by the study's own question."
    texts = []
    for name in asked_metrics(study):
        values = [t.metrics[name] for t in (own, best) if name in t.metrics]
        found = [format_quantity(m.value, m.unit) for m in values if m.value is not None]
        if len(found) == 2:
            texts.append(f"{name} {found[0]} -> {found[1]}")
    return f"#{best.number} instead of #{own.number}: {', '.join(texts)}."


def _baseline(study: Reranked) -> list[str]:
    judged = study.judged.get(BASELINE)
    if judged is None or not judged.fits or not study.question.constraints:
        return []
    return ["The baseline, as it is, meets these constraints too."]


def _effort_lines(study: Reranked, found: Sequence[Effort]) -> list[str]:
    lines = []
    for effort in found[:_SHOWN]:
        if effort.needed is None:
            tell = "too near to the limit to be told by any reasonable measuring"
        else:
            tell = f"about {plural(effort.needed, effort.unit)} would tell, it had {effort.had}"
        lines.append(f"#{effort.number} is undecided on {effort.constraint}: {tell}")
    lines += _more(len(found))
    beaten = len(study.undecided) - len({effort.number for effort in found})
    if beaten:
        lines.append(f"{plural(beaten, 'undecided trial')} would be beaten by the front anyway")
    return lines


def _given_up(study: Reranked) -> list[str]:
    lines = [
        f"#{j.trial.number} was {STATES[j.trial.row.state]}, and may fit now{_known(study, j)}"
        for j in study.untrained[:_SHOWN]
    ]
    return lines + _more(len(study.untrained))


def _known(study: Reranked, judged: Judged) -> str:
    asked = dict.fromkeys(study.evidence.name(c) for c in study.question.constraints)
    estimates = [
        e
        for name in asked
        if (e := judged.numbers.estimates.get(name)) is not None
        and any(j.constraint.metric == e.metric for j in judged.judgements)
    ]
    texts = [
        f"{metric_name(e.metric, e.statistic)} {format_quantity(e.value, e.unit)}"
        for e in estimates
    ]
    return f": {', '.join(texts)}" if texts else ""


def _not_measured(study: Reranked) -> list[str]:
    numbers = [f"#{j.trial.number}" for j in study.unmeasured]
    if not numbers:
        return []
    some = numbers[:_SHOWN] + ([f"{len(numbers) - _SHOWN} more"] if len(numbers) > _SHOWN else [])
    return [f"not everything that is asked for was measured of {listed(some, 'and')}"]


def _more(count: int) -> list[str]:
    return [f"and {count - _SHOWN} more"] if count > _SHOWN else []
