"""`tune import-olive` and `tune run`: an Olive config as a space, written or run at once."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from search_spaces.installed import is_installed
from search_spaces.paths import exists, name_hint, places_of
from search_spaces.problems import Problem, SpaceError
from tuner.cli import spaces
from tuner.olive.config import Setting
from tuner.olive.draft import Draft, Kind, Omission
from tuner.olive.importing import Changes, translate
from tuner.olive.telling import WIDTH, told
from tuner.olive.writing import space_text
from tuner.report.words import plural

if TYPE_CHECKING:
    from tuner.olive.coverage import FileCoverage

OK, WRONG = 0, 2

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_HARNESS = "lm_eval"
_NO_GPU = (CPU, "OpenVINOExecutionProvider")


def import_olive_command(arguments: argparse.Namespace) -> int:
    """Write the space of a config, and say what is not in it; or report on a folder of configs."""
    if arguments.coverage is not None:
        return _coverage(arguments)
    if arguments.config is None:
        raise SpaceError([Problem("no config given: tune import-olive CONFIG.json -o space.yaml")])
    path = Path(arguments.config)
    output = None if arguments.output == "-" else Path(arguments.output)
    if output is not None:
        _refuse_output(output, arguments.force)
    draft = _translated(arguments, Changes(searchable=arguments.searchable))
    _say(told(draft.omissions))
    if not draft.pipeline or any(o.kind is Kind.CANNOT for o in draft.omissions):
        _say([f"tune import-olive: nothing here gives what {path.name} does: no space is written"])
        return WRONG
    folder = Path.cwd() if output is None else output.absolute().parent
    text = space_text(draft, folder)
    if output is None:
        sys.stdout.write(text)
        return OK
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SpaceError([Problem(f"{output}: {error.strerror or error}", "--output")]) from None
    print(f"wrote {output}\nnext\n  tune check {output}\n  tune --space {output}")
    return OK


def _refuse_output(output: Path, force: bool) -> None:
    if output.is_dir():
        raise SpaceError([Problem(f"{output} is a folder, expected a file", "--output")])
    if output.exists() and not force:
        message = f"{output} is there already; --force writes over it, -o names another"
        raise SpaceError([Problem(message, "--output")])


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr)


def _note(text: str) -> None:
    _say(textwrap.wrap(f"note: {text}", WIDTH, subsequent_indent="  ", break_on_hyphens=False))


def _translated(arguments: argparse.Namespace, changes: Changes) -> Draft:
    """The config's draft for the device that is asked for."""
    path = Path(arguments.config)
    if arguments.device is None:
        return translate(path, changes)
    own = translate(path, changes)
    wanted = CPU if arguments.device == "cpu" else own.provider
    if arguments.device == "gpu" and wanted in _NO_GPU:
        wanted = CUDA
    return own if wanted == own.provider else translate(path, _for(changes, wanted))


def _for(changes: Changes, provider: str) -> Changes:
    return Changes(changes.model, changes.rows, provider, changes.searchable)


# Coverage


def _coverage(arguments: argparse.Namespace) -> int:
    from tuner.olive import coverage

    folder = Path(arguments.coverage)
    if not folder.exists():
        raise SpaceError([Problem(f"there is no folder {folder}{name_hint(folder)}", "--coverage")])
    files = coverage.coverage(folder)
    if arguments.json:
        print(json.dumps(coverage.to_json(files, folder), indent=2, ensure_ascii=False))
        return OK
    root = folder if folder.is_dir() else folder.parent
    for found in files:
        if found.reach is not None:
            for line in _file_lines(found, root):
                print(line)
    print()
    for reach, count in coverage.by_reach(files).items():
        print(f"{count:>5}  {reach}")
    print("\nby reason")
    for reach, group, count in coverage.by_group(files):
        print(f"{count:>5}  {group} ({reach})")
    others = sum(found.reach is None for found in files)
    if others:
        print(f"\n{plural(others, 'other file')}, no config of a run")
    return OK


def _file_lines(found: FileCoverage, root: Path) -> Iterator[str]:
    """A file's class, and under it why it is no better."""
    whole = f"{found.path.relative_to(root)}: {found.reach}"
    yield from [whole] if len(whole) <= WIDTH else (whole.partition(": ")[0], f"  {found.reach}")
    for reason in found.reasons:
        yield from textwrap.wrap(
            reason.text,
            WIDTH,
            initial_indent="  ",
            subsequent_indent="    ",
            break_on_hyphens=False,
        )


# Running


def run_olive_command(arguments: argparse.Namespace) -> int:
    """Import a config and run its space; the exit code."""
    from tuner.cli.run_command import run_space

    draft, named = _runnable(arguments)
    if not (arguments.quiet or arguments.json):
        _say(told(draft.omissions))
        if not arguments.dry_run:
            _say(_values(named))
    return run_space(named, arguments)


def _values(named: spaces.Named) -> list[str]:
    """The pipeline with the values that are used, as the dry run shows it."""
    from tuner.steps.outline import Places, outline

    lines = outline(named.space, Places("", ""))
    start = lines.index("pipeline")
    end = next(i for i, line in enumerate(lines) if line.startswith("measured"))
    return lines[start:end]


def _runnable(arguments: argparse.Namespace) -> tuple[Draft, spaces.Named]:
    """The draft and its checked space, for a provider that this machine has where it can be.

    Where the config's provider is not here, the model is built for the CPU; where it cannot be,
    it is built for the config's provider, and what needs no run is measured.
    """
    changes = Changes(arguments.model, arguments.data, None, arguments.searchable)
    draft = _translated(arguments, changes)
    _refuse(draft, arguments)
    lacking = _lacking(draft.provider)
    if lacking is None or arguments.build_only:
        return draft, _checked(draft, arguments)
    try:
        other = translate(Path(arguments.config), _for(changes, CPU))
        named = _checked(other, arguments)
    except SpaceError as error:
        arguments.build_only = True
        named = _built_only(draft, arguments, error)
        how = "the model is built for it, and what needs no run is measured"
        _note(f"{draft.provider} is not here: {lacking}; {how}")
        return draft, named
    _note(f"{draft.provider} is not here: {lacking}; the model is built for the CPU")
    return other, named


def _built_only(draft: Draft, arguments: argparse.Namespace, first: SpaceError) -> spaces.Named:
    try:
        return _checked(draft, arguments)
    except SpaceError:
        raise first from None  # what is wrong with the space that would have run


def _lacking(provider: str) -> str | None:
    """Why an execution provider cannot be used on this machine, or None."""
    from evaluators.runtimes.providers import PROVIDERS, unavailable

    found = next((name for name, p in PROVIDERS.items() if p.runtime == provider), None)
    return None if found is None else unavailable(found)


def _refuse(draft: Draft, arguments: argparse.Namespace) -> None:
    """SpaceError where what is missing leaves no result to speak of."""
    stops = [o for o in draft.omissions if o.kind in (Kind.CANNOT, Kind.ELSEWHERE)]
    if stops:
        raise SpaceError([_problem(draft, one) for one in stops])
    path = str(draft.config.path)
    if draft.model is None:
        raise SpaceError([Problem("the config names no model; --model gives one", path)])
    if not draft.pipeline:
        raise SpaceError([Problem("no pass is left that could be run", path)])


def _problem(draft: Draft, omission: Omission) -> Problem:
    message = f"{omission.where}: {omission.reason}"
    return Problem(message, str(draft.config.path), omission.line)


def _checked(draft: Draft, arguments: argparse.Namespace) -> spaces.Named:
    """The space of a draft, checked; SpaceError that names the config, not lines of the space."""
    if arguments.test_model:
        draft.model = _named(draft)
        _without_tasks(draft)
    text = space_text(draft)
    overrides = spaces.overrides(_without_model(arguments))
    home = draft.config.path.absolute().parent / f"{draft.config.path.stem}.yaml"
    try:
        named = spaces.parsed(text, home, overrides, arguments)
    except SpaceError as error:
        raise SpaceError([_of_config(p, draft, home, arguments) for p in error.problems]) from None
    to_save = None
    if arguments.save_space is not None:
        to_save = space_text(draft, Path(arguments.save_space).absolute().parent)
    return spaces.Named(named.space, named.text, to_save)


def _of_config(
    problem: Problem, draft: Draft, home: Path, arguments: argparse.Namespace
) -> Problem:
    """A problem of the space as one of the config or of an option, with what would help."""
    if problem.file != str(home):
        return problem
    key, _, words = problem.message.partition(": ")
    model = draft.config.model
    told = {
        "model": ("--model", arguments.model, model.path or model.settings.get("model_path")),
        "data.files": ("--data", arguments.data, _rows(draft)),
    }
    if key not in told:
        return Problem(problem.message, str(draft.config.path))
    option, given, place = told[key]
    if given is not None:
        return Problem(words, f"{option} {given}")
    where = key if place is None else place.where
    left = next((one.reason for one in draft.omissions if one.where == where), None)
    message = f"{words}; {option} gives another" if left is None else left
    line = None if place is None else place.line
    return Problem(f"{where}: {message}", str(draft.config.path), line)


def _rows(draft: Draft) -> Setting | None:
    """Where the config names the file of the rows that a space reads."""
    found = [data.load.get("data_files") for data in draft.config.data.values()]
    return found[0] if len(found) == 1 else None


def _without_model(arguments: argparse.Namespace) -> argparse.Namespace:
    """The model that the command line names is in the draft already."""
    return argparse.Namespace(**{**vars(arguments), "model": None})


def _without_tasks(draft: Draft) -> None:
    """Leave out tasks that random weights can only guess at, where what asks them is not here."""
    if _HARNESS not in draft.metrics or is_installed("lm-eval"):
        return
    del draft.metrics[_HARNESS]
    draft.constraints = [text for text in draft.constraints if _HARNESS not in text]
    draft.objectives = [text for text in draft.objectives if _HARNESS not in text]
    draft.objectives = draft.objectives or ["minimize size"]
    _note("lm_eval is not installed, and not measured: random weights answer no tasks")


def _named(draft: Draft) -> str | None:
    """A model that is not here, by its name, which tells its architecture."""
    model = draft.model
    if model is None or not model.startswith(("./", "../", "/", "~")):
        return model
    if any(map(exists, places_of(model, draft.config.path.parent))):
        return model
    parts = [part for part in Path(model).parts if part not in ("/", ".", "..", "~")]
    return "/".join(["local", *parts][-2:])
