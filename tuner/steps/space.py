"""The text of the space that does what a one-shot command asks for.

Writes the parts that all such spaces have; the pipelines are `finetune`, `quantize` and `optimize`
beside this file. Knows nothing of the command line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from search_spaces.problems import Problem, SpaceError, hint, listed
from tuner.passes import pass_specs
from tuner.report.step_example import yaml_path
from tuner.steps.text import Lines, Setting, SpaceText, located, quoted
from tuner.steps.wish import Wish


@dataclass(frozen=True, slots=True)
class StepWish:
    """A step of the pipeline. `values`: what the command chooses itself, with why, by parameter.

    `told`: what an option says of this very step. `lines`: in place of all that, YAML.
    """

    name: str
    values: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    told: Mapping[str, Setting] = field(default_factory=dict)
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A pipeline and what is measured of it. `metrics`: evaluator -> its options as YAML."""

    steps: Sequence[StepWish]
    metrics: Mapping[str, str]
    objectives: Sequence[str]
    fixed: bool = True


def step_space(wish: Wish, plan: Plan, folder: Path | None = None) -> SpaceText:
    """A space as a person would write it; `folder`: where it will lie, None: the current one."""
    lines = Lines()
    lines.add(f"# tune {wish.command}, as a space; every value can be changed:")
    lines.add("#   tune passes NAME       says what a pass can be told")
    lines.add(f"name: {wish.name}")
    text = located(wish.model.reference.text, folder)
    lines.add(f"model: {yaml_path(text)}", "--model")
    lines.add(f"task: {wish.task}", "--task")
    if wish.data is not None:
        _data(wish, lines, folder)
    lines.add("pipeline:")
    settings = _dealt(wish, plan)
    for step in plan.steps:
        _step(lines, step, settings[step.name], wish.how)
    _goals(wish, plan, lines)
    return lines.done()


def require_labels(wish: Wish) -> None:
    """SpaceError where an encoder has nothing to classify."""
    if wish.data is None or wish.data.label is None:
        message = "an encoder classifies: --data FILE --template T --label COLUMN say what"
        raise SpaceError([Problem(message, "--model")])


def _data(wish: Wish, lines: Lines, folder: Path | None) -> None:
    data = wish.data
    assert data is not None
    lines.add("data:")
    place = _file(data.file, folder)
    if data.held_out is None:
        lines.set(2, "files", place)
    else:
        lines.add("  files:")
        lines.set(4, "train", place)
        lines.set(4, "dev", _file(data.held_out, folder))
    for key, setting in data.settings.items():
        lines.set(2, key, setting)


def _file(setting: Setting, folder: Path | None) -> Setting:
    if setting.text.lstrip().startswith("{"):
        return setting  # a hub data set, in YAML
    return quoted(Setting(located(setting.text, folder), setting.option))


def _dealt(wish: Wish, plan: Plan) -> dict[str, dict[str, Setting]]:
    """The command's settings by the step that has the parameter."""
    dealt = {step.name: dict(step.told) for step in plan.steps}
    names = [step.name for step in plan.steps if not step.lines]
    known = {n: [p.name for p in pass_specs()[n].parameters] for n in names}
    problems = []
    for key, setting in wish.settings.items():
        step, dot, parameter = key.rpartition(".")
        owners = [n for n in names if (key if not dot else parameter) in known[n]]
        if dot and step in names:
            dealt[step][parameter] = setting
        elif not dot and owners:
            dealt[owners[0]][key] = setting
        else:
            everything = [p for own in known.values() for p in own]
            problems.append(_unknown(wish, key, setting, names, everything))
    if problems:
        raise SpaceError(problems)
    return dealt


def _unknown(
    wish: Wish, key: str, setting: Setting, names: Sequence[str], known: Sequence[str]
) -> Problem:
    what = f"{wish.how or 'this command'} takes no {key}" if wish.how else f"there is no {key}"
    near = hint(key, known)
    words = f"{what}; it is about {listed(names, 'and')}: tune passes {names[0]} lists what it has"
    return Problem(f"{what}{near}" if near else words, setting.option)


def _step(lines: Lines, step: StepWish, settings: Mapping[str, Setting], how: str) -> None:
    if step.lines:
        lines.extend(step.lines)
        return
    values = {k: v for k, v in step.values.items() if k not in settings}
    if not values and not settings:
        lines.add(f"  - {step.name}", how or None)
        return
    lines.add(f"  - {step.name}:", how or None)
    for name, (text, note) in values.items():
        lines.add(f"      {name}: {text}", how or None, note)
    for name, setting in settings.items():
        lines.set(6, name, setting)


def _goals(wish: Wish, plan: Plan, lines: Lines) -> None:
    lines.add("metrics:")
    lines.extend(f"  {name}: {options}" for name, options in plan.metrics.items())
    lines.add(f"objectives: [{', '.join(plan.objectives)}]")
    if wish.bounds:
        lines.add("constraints:")
        for bound in wish.bounds:
            lines.add(f"  - {yaml_path(bound.text)}", bound.option)
    if plan.fixed:
        lines.add("search: {strategy: grid}", note="there is one candidate")
        lines.add("limits: {faults: false}", note="what it is worth is told, not required")
        return
    lines.add("search:")
    for key, setting in wish.search.items():
        lines.set(2, key, setting)
