"""`tune finetune`, `tune quantize`, `tune optimize`: one step, run as a small space."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from search_spaces.data import DataError
from search_spaces.problems import Problem, SpaceError, listed, short
from tuner.cli import spaces
from tuner.steps import model
from tuner.steps.finetune import finetune_plan
from tuner.steps.optimize import Target, optimize_plan, target_of
from tuner.steps.quantize import quantize_plan
from tuner.steps.space import Plan, step_space
from tuner.steps.text import Setting, SpaceText
from tuner.steps.wish import CLASSIFY, GENERATE, DataWish, Wish

_TRAINING = (
    *("max_steps", "epochs", "learning_rate", "batch_size", "max_length", "r", "alpha"),
    *("dropout", "target_modules", "loss", "seed"),
)


def step_command(arguments: argparse.Namespace) -> int:
    """Write the space of a command, check it, and run it; the exit code."""
    from tuner.cli.run_command import run_space

    build_only = False
    if arguments.command == "finetune":
        wish, plan = _finetune(arguments)
    elif arguments.command == "quantize":
        wish, plan = _quantize(arguments)
    else:
        wish, plan, target = _optimize(arguments)
        build_only = target.lacking is not None
        _tell_target(target)
    if wish.model.notice is not None:
        print(f"note: {wish.model.notice}", file=sys.stderr)
    text = step_space(wish, plan)
    named = _read(text, arguments, build_only=build_only)
    if arguments.save_space is not None:
        folder = Path(arguments.save_space).resolve().parent
        named = spaces.Named(named.space, named.text, step_space(wish, plan, folder).text)
    return run_space(named, arguments)


def _read(text: SpaceText, arguments: argparse.Namespace, *, build_only: bool) -> spaces.Named:
    """The checked space; SpaceError that names options."""
    from search_spaces import Overrides

    overrides = Overrides(build_only=build_only)
    try:
        return spaces.parsed(text.text, None, overrides, arguments)
    except SpaceError as error:
        raise SpaceError([text.explained(problem) for problem in error.problems]) from None


def _tell_target(target: Target) -> None:
    if target.lacking is not None:
        print(
            f"note: {target.provider} is not here ({target.lacking}): the model is built for it, "
            "and what needs no run is measured",
            file=sys.stderr,
        )


# The three commands


def _finetune(arguments: argparse.Namespace) -> tuple[Wish, Plan]:
    settings = dict(_told(arguments, _TRAINING))
    if "target_modules" in settings:
        names = [name.strip() for name in arguments.target_modules.split(",")]
        written = f"[{', '.join(names)}]"
        settings["target_modules"] = Setting(written, settings["target_modules"].option)
    if "epochs" in settings and "max_steps" in settings:
        message = "--max-steps counts where --epochs is not given; leave one of them out"
        raise SpaceError([Problem(message, settings["max_steps"].option)])
    if arguments.packing:
        settings["packing"] = Setting("true", "--packing")
    wish = _wish(
        arguments, f"finetune-{arguments.method}", f"--method {arguments.method}", settings
    )
    return wish, finetune_plan(wish, arguments.method, merge=arguments.merge)


def _quantize(arguments: argparse.Namespace) -> tuple[Wish, Plan]:
    settings = dict(_told(arguments, ("bits", "group_size")))
    if arguments.symmetric is not None:
        option = "--symmetric" if arguments.symmetric else "--asymmetric"
        settings["symmetric"] = Setting(json.dumps(arguments.symmetric), option)
    how = f"--algorithm {arguments.algorithm}"
    wish = _wish(arguments, f"quantize-{arguments.algorithm}", how, settings)
    return quantize_plan(wish, arguments.algorithm)


def _optimize(arguments: argparse.Namespace) -> tuple[Wish, Plan, Target]:
    target = target_of(arguments.device, arguments.provider)
    settings = dict(_told(arguments, ("block_size",)))
    wish = _wish(arguments, f"optimize-{target.provider}", "", settings)
    search = dict(_told(arguments, ("trials", "max_time")))
    if search and not wish.bounds:
        message = "bounds a search, which --max or --min METRIC=LIMIT make of it"
        raise SpaceError([Problem(message, next(iter(search.values())).option)])
    wish = Wish(**{name: getattr(wish, name) for name in Wish.__slots__} | {"search": search})
    adapters = None
    if arguments.adapter:
        option = f"--adapter {' '.join(arguments.adapter)}"
        adapters = Setting(json.dumps(arguments.adapter), option)
    wish, plan = optimize_plan(wish, target, arguments.precision, adapters)
    return wish, plan, target


# From arguments to a wish


def _wish(
    arguments: argparse.Namespace, name: str, how: str, settings: Mapping[str, Setting]
) -> Wish:
    found = model.look(arguments.model)
    bounds = getattr(arguments, "max", []), getattr(arguments, "min", [])
    data = _data(arguments, searched=any(bounds))
    classifies = found.kind == "encoder" or arguments.label is not None
    return Wish(
        command=arguments.command,
        name=name,
        model=found,
        task=arguments.task or (CLASSIFY if classifies else GENERATE),
        data=data,
        settings=dict(settings) | dict(_others(arguments)),
        how=how,
        bounds=(*_bounds("--max", "<=", bounds[0]), *_bounds("--min", ">=", bounds[1])),
        request=(getattr(arguments, "prompt_tokens", 64), getattr(arguments, "new_tokens", 32)),
    )


def _told(arguments: argparse.Namespace, names: tuple[str, ...]) -> Iterator[tuple[str, Setting]]:
    """What was said of these parameters."""
    for name in names:
        value = getattr(arguments, name)
        if value is not None:
            yield name, Setting(value, f"--{name.replace('_', '-')} {value}")


def _others(arguments: argparse.Namespace) -> Iterator[tuple[str, Setting]]:
    """Parameters by `--set NAME=VALUE`."""
    for text in arguments.set:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            message = f"found {short(text)}, expected NAME=VALUE such as r=16"
            raise SpaceError([Problem(message, "--set")])
        yield name.strip(), Setting(value, f"--set {text}")


def _bounds(option: str, sign: str, texts: list[str]) -> Iterator[Setting]:
    for text in texts:
        name, equals, limit = text.partition("=")
        if not equals or not limit.strip() or set("<>") & set(text):
            message = f"found {short(text)}, expected METRIC=LIMIT such as latency=50ms"
            raise SpaceError([Problem(message, option)])
        yield Setting(f"{name.strip()}{sign}{limit.strip()}", f"{option} {text}")


# Data


def _data(arguments: argparse.Namespace, *, searched: bool) -> DataWish | None:
    """Rows, and the share to measure on; `searched`: the choice is confirmed on others."""
    asked = {n: v for n in _OF_DATA if (v := getattr(arguments, n)) is not None}
    if arguments.data is None:
        if asked:
            option = f"--{next(iter(asked)).replace('_', '-')}"
            raise SpaceError([Problem("is about data: --data FILE is missing", option)])
        return None
    settings = _form(arguments)
    if arguments.label is not None:
        settings["label"] = Setting(json.dumps(arguments.label), f"--label {arguments.label}")
    held_out = None
    if arguments.eval_data is not None:
        if arguments.eval_split is not None:
            message = "rows to measure on come from --eval-data; leave one of them out"
            raise SpaceError([Problem(message, "--eval-split")])
        held_out = Setting(arguments.eval_data, f"--eval-data {arguments.eval_data}")
    else:
        share = arguments.eval_split or ("0.2" if searched else "0.1")
        if share.strip() in ("0", "0.0"):
            message = "nothing would be left to measure on; expected a number between 0 and 1"
            raise SpaceError([Problem(message, "--eval-split 0")])
        kept = share if searched else "0"
        settings["split"] = Setting(f"{{dev: {share}, test: {kept}}}", f"--eval-split {share}")
    return DataWish(Setting(arguments.data, f"--data {arguments.data}"), held_out, settings)


_CHAT = ("messages", "chat_user", "chat_assistant", "chat_system")
_OF_DATA = ("template", *_CHAT, "label", "eval_split", "eval_data")


def _form(arguments: argparse.Namespace) -> dict[str, Setting]:
    """How a row becomes text: a template, or a conversation."""
    chat = {n.removeprefix("chat_"): v for n in _CHAT if (v := getattr(arguments, n)) is not None}
    if arguments.template is not None:
        if chat:
            option = f"--chat-{next(iter(chat))}"
            raise SpaceError([Problem("--template says how rows are read already", option)])
        option = f"--template {short(arguments.template)}"
        return {"template": Setting(json.dumps(_escaped(arguments.template)), option)}
    if chat:
        parts = ", ".join(f"{key}: {json.dumps(_escaped(text))}" for key, text in chat.items())
        option = "--messages" if "messages" in chat else "--chat-user"
        return {"chat": Setting(f"{{{parts}}}", option)}
    return {"template": Setting(json.dumps(_only_column(arguments.data)), "--data")}


def _escaped(text: str) -> str:
    r"""A template in which \n is a line break, as shells leave it."""
    return text.replace("\\n", "\n")


def _only_column(file: str) -> str:
    """The template of data with a single column; SpaceError that shows one where there are more."""
    from search_spaces.data_files import read_raw_rows

    columns: list[str] = []
    if Path(file).is_file():
        try:
            columns = list(dict.fromkeys(name for row in read_raw_rows(Path(file)) for name in row))
        except DataError as error:
            raise SpaceError([Problem(str(error), f"--data {file}")]) from None
    elif "://" not in file and not file.lstrip().startswith("{"):
        raise SpaceError([Problem(f"there is no file {file}", "--data")])
    if len(columns) == 1:
        return f"{{{columns[0]}}}"
    shown = "\\n".join(f"{{{name}}}" for name in columns[:4]) or "{text}"
    there = f"{file} has the columns {listed(columns, 'and')}" if columns else f"{file} is not here"
    message = f"how a row becomes text is missing: {there}; for example --template '{shown}'"
    raise SpaceError([Problem(message)])
