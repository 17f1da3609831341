"""The space in which a chosen candidate is run again, alone, so that it is measured afresh.

Knows nothing of when that is done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from search_spaces.candidates import plain
from search_spaces.reader import parse_space
from search_spaces.space import Fixed, SearchSettings, Space, steps_of
from tuner.registry import vocabulary
from tuner.report.recipe import recipe_text
from tuner.sweep.plan_entries import PlanEntry

Json = dict[str, Any]


def watch_steps(entry: PlanEntry, steps: Sequence[Mapping[str, Any]]) -> list[Json]:
    """A candidate's steps as tonight's plan has them run.

    What the plan fixes in the pipeline (`set`, and the device) holds for what is watched, too: so
    a setting that slows every model down is seen in the candidate that was good before.
    """
    fixed = _fixed(entry)
    return [
        {**step, "parameters": {**step["parameters"], **fixed.get(step["id"], {})}}
        for step in steps
    ]


def _fixed(entry: PlanEntry) -> dict[str, dict[str, Any]]:
    """Step -> parameter -> the one value that the plan gives it."""
    steps = {s.id: s for item in entry.space.pipeline for s in steps_of(item)}
    found: dict[str, dict[str, Any]] = {}
    for setting in entry.changes.settings:
        keys = [key.strip() for key in setting.partition("=")[0].split(".")]
        if len(keys) != 3 or keys[0] != "pipeline" or keys[1] not in steps:
            continue
        domain = steps[keys[1]].parameters.get(keys[2])
        if isinstance(domain, Fixed):
            found.setdefault(keys[1], {})[keys[2]] = plain(domain.value)
    return found


def watch_space(
    entry: PlanEntry, steps: Sequence[Mapping[str, Any]], folder: Path
) -> tuple[Space, str]:
    """A space of one candidate, with the model, data and metrics of tonight's; and its text.

    It has no constraints: a candidate that misses one for certain would be measured in part only.
    `folder`: where its recipe could lie. SpaceError where it can no longer be made, such as with
    a parameter that is gone.
    """
    free = replace(entry.space, constraints=())
    text = recipe_text(free, steps, "", folder)
    space = parse_space(text, folder / f"{entry.name}.yaml", vocabulary()).space
    once = SearchSettings("grid", 1, None, entry.space.search.seed)
    return replace(space, limits=entry.space.limits, search=once), text
