"""`tune data`: show what a data set holds, and what of it a model will read."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from search_spaces import Overrides, find_space, parse_space
from search_spaces.catalog import read_text
from search_spaces.chat import Chat
from search_spaces.chat_reader import answer_column, make_chat
from search_spaces.data import DataError, DataSpec, data_columns, template_parts
from search_spaces.data_locations import Location, is_url, parse_url, shown
from search_spaces.problems import hint, listed, short
from search_spaces.references import Reference, ReferenceError, parse_reference
from search_spaces.sources import cached_folder
from tuner.data_view.reading import Reader
from tuner.data_view.view import columns_in, look
from tuner.data_view.words import lines
from tuner.init.dataset import is_class
from tuner.registry import vocabulary

OK, WRONG = 0, 2
_LENGTH = 512

_READING = ("template", "chat_user", "chat_assistant", "chat_system", "messages", "label", "split")


_TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.txt")


class _Wrong(Exception):
    """The command cannot be used as it is given; one sentence."""


def data_command(arguments: argparse.Namespace) -> int:
    """Print the columns, the findings, the lengths and the first rows; 2 where that cannot be."""
    try:
        if arguments.space is None:
            spec, model = _of_file(arguments), None
        else:
            spec, model = _of_space(arguments)
        if arguments.model is not None:
            model = _reference(arguments.model)
        folder = None if model is None else _folder(model, asked=arguments.model is not None)
        reader = Reader(spec, folder, arguments.max_length or _LENGTH, arguments.loss or "label")
        names = list(dict.fromkeys(shown(place) for _, place in spec.files))
        view = look(spec, names, reader, arguments.rows, label=arguments.label)
    except (DataError, ReferenceError, _Wrong) as error:
        print(f"tune data: {error}", file=sys.stderr)
        return WRONG
    if arguments.json:
        print(json.dumps(view.to_json(), ensure_ascii=False, indent=1))
    else:
        for line in lines(view, reader.folder is not None):
            print(line)
    return OK


def _of_space(arguments: argparse.Namespace) -> tuple[DataSpec, Reference]:
    """The data and the model of a space; SpaceError where that is wrong."""
    given = [name for name in _READING if getattr(arguments, name) is not None]
    if arguments.file is not None or given:
        other = "FILE" if arguments.file is not None else f"--{given[0].replace('_', '-')}"
        raise _Wrong(f"--space says what is read, and how; leave {other} out")
    path = find_space(arguments.space)
    changes = Overrides(model=arguments.model, settings=tuple(arguments.set))
    space = parse_space(read_text(path), path, vocabulary(), changes).space
    if space.data is None:
        raise _Wrong(f"{path}: the space has no data")
    return space.data, space.model


def _of_file(arguments: argparse.Namespace) -> DataSpec:
    if arguments.file is None:
        raise _Wrong("expected FILE, or --space SPACE; see tune data --help")
    if arguments.set:
        raise _Wrong("--set changes a space; it needs --space")
    place = _location(arguments.file)
    shares = _split(arguments.split)
    chat = _chat(arguments)
    bare = DataSpec((("all", place),), "", None, shares, arguments.split_seed or 0)
    if chat is None and arguments.template is None:
        return bare
    return _as_said(bare, arguments.template or "", chat, arguments.label)


def _location(text: str) -> Location:
    return parse_url(text) if is_url(text) else Path(text).expanduser().absolute()


def _as_said(bare: DataSpec, template: str, chat: Chat | None, label: str | None) -> DataSpec:
    """The data as the command line has it read; of a label, whether it is one of a few names."""
    template_parts(template)
    spec = DataSpec(bare.files, template, None, bare.split, bare.seed, chat=chat)
    columns = data_columns(spec)
    if chat is not None and chat.messages is not None:
        if label is not None:
            raise _Wrong("--label: the last answer of a conversation is its label; leave it out")
        return _with_label(spec, chat.answer, answers=True)
    rows, _ = columns_in(spec)
    known = list(dict.fromkeys(name for row in rows for name in row))
    for name in columns:
        if name not in known:
            there = ", ".join(short(str(n)) for n in known)
            raise _Wrong(f"the file has no column {name!r}; there is {there}{hint(name, known)}")
    if label is None and chat is not None:
        label = answer_column(chat)
    if label is None:
        return spec
    if not columns or columns[-1] != label:
        what = "the template" if chat is None else "--chat-assistant"
        near = hint(label, columns)
        raise _Wrong(f"--label: {label!r} is not the last placeholder of {what}{near}")
    return _with_label(spec, label, answers=not is_class(rows, label))


def _with_label(spec: DataSpec, label: str | None, *, answers: bool) -> DataSpec:
    files, split, seed = spec.files, spec.split, spec.seed
    return DataSpec(files, spec.template, label, split, seed, answers, spec.chat)


def _chat(arguments: argparse.Namespace) -> Chat | None:
    sides = (arguments.chat_user, arguments.chat_assistant, arguments.chat_system)
    said = [
        name for name, value in zip(("user", "assistant", "system"), sides, strict=True) if value
    ]
    ways = [
        way
        for way, used in (
            ("--template", arguments.template is not None),
            ("--messages", arguments.messages is not None),
            ("--chat-user", bool(said)),
        )
        if used
    ]
    if len(ways) > 1:
        raise _Wrong(f"{' and '.join(ways)} both say how a row is read; leave one out")
    if arguments.messages is not None:
        return make_chat(messages=arguments.messages)
    if not said:
        return None
    if not {"user", "assistant"} <= set(said):
        raise _Wrong("a chat needs both --chat-user and --chat-assistant")
    return make_chat(None, sides[0], sides[1], sides[2] or "")


def _split(text: str | None) -> tuple[tuple[str, float], ...]:
    shares = []
    for part in [] if text is None else text.split(","):
        name, _, share = part.partition("=")
        try:
            shares.append((name.strip(), float(share)))
        except ValueError:
            raise _Wrong(
                f"--split: found {part!r}, expected shares such as dev=0.2,test=0.2"
            ) from None
    return tuple(shares)


def _reference(text: str) -> Reference:
    return parse_reference(text, Path.cwd())


def _folder(model: Reference, *, asked: bool) -> Path | None:
    """Where the model's tokenizer is on this disk. `asked`: else it is an error."""
    found = model.path
    if found is not None and model.base is not None and not _has_tokenizer(found):
        return _folder(model.base, asked=asked)
    if found is None and model.kind == "hub":
        found = cached_folder(str(model.repo), model.revision)
    if found is None and asked:
        raise _Wrong(
            f"--model: {model.text} is not on this disk, and a look at data fetches no model; "
            "give a folder"
        )
    if found is not None and asked and not _has_tokenizer(found):
        raise _Wrong(f"--model: there is no tokenizer in {found}; expected {listed(_TOKENIZERS)}")
    return found


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / name).exists() for name in _TOKENIZERS)
