"""The text of a space that an Olive config became, as a person would have written it.

Short, in the order of docs/space.md, with Olive's names as comments where they are others, and at
its end what of the config is not in it. Writes no files.
"""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from search_spaces.problems import listed
from tuner.olive.draft import Draft, Kind, Omission, StepDraft
from tuner.report.step_example import yaml_path, yaml_value

_WIDTH = 80
_COMMENT = 36
_NAME = re.compile(r"[A-Za-z][\w.-]*/[\w.-]+")
"""A name at the hub, which is text in YAML's flow style too."""

_TOLD = (Kind.CANNOT, Kind.ELSEWHERE, Kind.OMITTED)
_ESCAPED = {ord(c): f"\\u{ord(c):04x}" for c in "\x7f\x85\u2028\u2029\ufeff"}
"""What YAML breaks lines at, or refuses, and JSON's writer leaves as it is."""


def space_text(draft: Draft, folder: Path | None = None) -> str:
    """The whole space as YAML.

    `folder`: where it will lie; paths are relative to it. None: beside the config.
    """
    head = [f"# The Olive config {draft.config.path.name}, as a space.", *_head(draft, folder)]
    parts = (head, _pipeline(draft.pipeline), _goals(draft), _left_out(draft.omissions))
    return "\n\n".join("\n".join(part) for part in (list(p) for p in parts) if part) + "\n"


def flow(value: Any) -> str:
    """A value in YAML's flow style: `{choices: [4, 16]}`."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{yaml_value(str(k))}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(flow(inner) for inner in value)}]"
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    return yaml_value(value).translate(_ESCAPED)


def _head(draft: Draft, folder: Path | None) -> Iterator[str]:
    if draft.model is not None:
        yield f"model: {yaml_path(_moved(draft, draft.model, folder))}"
    yield f"task: {draft.task or 'text-generation'}"
    if draft.data is not None:
        yield "data:"
        for key, value in draft.data.items():
            yield from _data(draft, key, value, folder)


def _moved(draft: Draft, path: str, folder: Path | None) -> str:
    """A path that is relative to the config's folder, as it is found from another one."""
    home = draft.config.path.parent
    if folder is None or not path.startswith("."):
        return path
    if folder.absolute() == home.absolute():
        return path
    relative = os.path.relpath(home / path, folder)
    return relative if relative.startswith("..") else f"./{relative}"


# Data


def _data(draft: Draft, key: str, value: Any, folder: Path | None) -> Iterator[str]:
    if key == "files":
        yield from _files(draft, value, folder)
    elif key == "template":
        yield from _template(str(value))
    elif key == "split":
        yield _noted(f"  split: {flow(value)}", _split_words(value))
    else:
        yield f"  {key}: {flow(value)}"


def _split_words(split: Mapping[str, float]) -> str:
    if split.get("test"):
        return "to choose by, and to confirm the choice"
    return "eval_dataset_size" if split.get("dev") else "every row is trained on"


def _files(draft: Draft, value: Any, folder: Path | None) -> Iterator[str]:
    def written(found: Any) -> str:
        if isinstance(found, list):
            return f"[{', '.join(map(written, found))}]"
        return yaml_path(_moved(draft, found, folder)) if isinstance(found, str) else flow(found)

    if isinstance(value, Mapping) and "hub" not in value:
        yield "  files:"
        for role, found in value.items():
            yield f"    {role}: {written(found)}"
    else:
        yield f"  files: {written(value)}"


def _template(text: str) -> Iterator[str]:
    """On one line where that can be read; else as the lines that it has."""
    line = f"  template: {flow(text) if _plain_lines(text) else _quoted(text)}"
    if len(line) <= _WIDTH or not _plain_lines(text):
        yield f"  template: {_quoted(text)}"
        return
    yield "  template: |-"
    for part in text.split("\n"):
        yield f"    {part}" if part else ""


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).translate(_ESCAPED)


def _plain_lines(text: str) -> bool:
    """Whether a block of lines holds the text as it is."""
    lines = text.split("\n")
    whole = all(line == line.strip() and line.isprintable() for line in lines)
    return whole and len(lines) > 1 and bool(lines[0]) and bool(lines[-1])


# The pipeline


def _pipeline(items: Sequence[StepDraft | list[list[StepDraft]]]) -> Iterator[str]:
    yield "pipeline:"
    for item in items:
        if isinstance(item, StepDraft):
            yield from _indented(_step(item), 2)
            continue
        yield "  - one_of:"
        for alternative in item:
            yield from _indented(_alternative(alternative), 6)


def _alternative(steps: Sequence[StepDraft]) -> Iterator[str]:
    if not steps:
        yield "- none"
    elif len(steps) == 1:
        yield from _step(steps[0])
    else:
        lines = [line for step in steps for line in _step(step)]
        yield f"- {lines[0]}"
        yield from _indented(lines[1:], 2)


def _step(step: StepDraft) -> Iterator[str]:
    name = f"- {step.pass_}:" if step.parameters else f"- {step.pass_}"
    keys = [key for key in ("optional", "baseline") if getattr(step, key)]
    if keys and not step.parameters:
        name += ":"
    yield _noted(name, step.origin, 2) if step.origin else name
    for key, value in step.parameters.items():
        yield from _parameter(key, value, step.comments.get(key))
    for key in keys:
        yield f"  {key}: true"


def _parameter(name: str, value: Any, comment: str | None) -> Iterator[str]:
    """A parameter's line; its comment behind it, or above it where there is no room."""
    line = f"    {name}: {flow(value)}"
    room = _WIDTH - 8
    if comment and len(_noted(line, comment, 2)) > _WIDTH - 2:
        yield from (f"    # {part}" for part in textwrap.wrap(comment, room))
        comment = None
    if len(line) > _WIDTH - 4 and isinstance(value, list):
        yield from _long(name, value)
    else:
        yield _noted(line, comment, 2) if comment else line


def _long(name: str, values: Sequence[Any]) -> Iterator[str]:
    wrapped = textwrap.wrap(
        flow(values), _WIDTH - 8, break_long_words=False, break_on_hyphens=False
    )
    yield f"    {name}:"
    yield from (f"      {part}" for part in wrapped)


def _indented(lines: Iterable[str], by: int) -> Iterator[str]:
    for line in lines:
        yield " " * by + line


def _noted(line: str, comment: str, indent: int = 0) -> str:
    return f"{line.ljust(_COMMENT - indent)} # {comment}"


# What is asked


def _goals(draft: Draft) -> Iterator[str]:
    if draft.metrics:
        yield "metrics:"
        for name, options in draft.metrics.items():
            yield from _metric(name, options)
    yield f"objectives: [{', '.join(draft.objectives)}]"
    if draft.constraints:
        quoted = ", ".join(json.dumps(text) for text in draft.constraints)
        yield f"constraints: [{quoted}]"
    if draft.search:
        yield f"search: {flow(draft.search)}"
    elif not is_open(draft):
        yield _noted("search: {strategy: grid}", "one candidate: everything is fixed")
    if draft.limits:
        alone = draft.limits == {"faults": False}
        line = f"limits: {flow(draft.limits)}"
        yield _noted(line, "the one result is kept, whatever it is worth") if alone else line


def _metric(name: str, options: Mapping[str, Any]) -> Iterator[str]:
    line = f"  {name}: {flow(options)}"
    if len(line) <= _WIDTH:
        yield line
        return
    yield f"  {name}:"
    yield from (f"    {key}: {flow(value)}" for key, value in options.items())


def is_open(draft: Draft) -> bool:
    """Whether anything of the pipeline is left to a search."""

    def open_step(step: StepDraft) -> bool:
        return step.optional or any(isinstance(v, Mapping) for v in step.parameters.values())

    return any(not isinstance(i, StepDraft) or open_step(i) for i in draft.pipeline)


# What is not in it


def _left_out(omissions: Sequence[Omission]) -> Iterator[str]:
    told = [o for kind in _TOLD for o in omissions if o.kind is kind]
    aside = [o for o in omissions if o.kind is Kind.ASIDE]
    if told:
        yield "# Not in this space, of what the config says:"
        by_reason: dict[str, list[Omission]] = {}
        for omission in told:
            by_reason.setdefault(omission.reason, []).append(omission)
        for reason, found in by_reason.items():
            yield from _entry(f"{', '.join(map(_named, found))}: {reason}")
    if aside:
        names = list(dict.fromkeys(omission.where.rpartition(".")[2] for omission in aside))
        some = listed(names if len(names) < 4 else [*names[:3], "others"], "and")
        yield from _entry(f"Without effect on the model: {some}.", "# ", "# ")


def _named(omission: Omission) -> str:
    """The key with its value, where that is short."""
    value = omission.value
    short = isinstance(value, bool | int | float | str) and len(str(value)) <= 30
    return f"{omission.where} ({_shown(value)})" if short else omission.where


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _entry(text: str, first: str = "# - ", more: str = "#   ") -> Iterator[str]:
    yield from textwrap.wrap(
        " ".join(text.split()),
        _WIDTH,
        initial_indent=first,
        subsequent_indent=more,
        break_long_words=False,
        break_on_hyphens=False,
    )
