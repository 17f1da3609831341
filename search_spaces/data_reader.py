"""The `data:` of a space file. Looks whether local files are there, but not into any."""

from __future__ import annotations

import re
from pathlib import Path

from search_spaces.chat_reader import chat_label, read_chat
from search_spaces.data import DataError, DataSpec, template_parts
from search_spaces.data_locations import (
    HUB_KEYS,
    HubDataset,
    Location,
    RemoteFile,
    is_url,
    parse_url,
)
from search_spaces.node_values import items, mapping, require, text, whole, wrong
from search_spaces.paths import is_file, is_folder, name_hint, places_of
from search_spaces.problems import Place, Problems, hint, short
from search_spaces.yaml_nodes import Entry, MappingNode, Node, ScalarNode, describe

_KEYS = ("files", "template", "chat", "label", "split", "seed")
_ROLES = ("train", "dev", "test")
_DEFAULT_SHARE = 0.2

Files = tuple[tuple[str, Location], ...]
Split = tuple[tuple[str, float], ...]


def read_data(entry: Entry, task: str | None, base: Path, problems: Problems) -> DataSpec | None:
    """The data that a block describes; None when something is wrong with it.

    Files are looked for in `base`, then in the current directory.
    """
    entries = mapping(entry.node, "data", _KEYS, problems)
    if entries is None:
        return None
    chat = None
    if "chat" in entries:
        chat = read_chat(entries["chat"], "template" in entries, problems)
    required = [] if "chat" in entries else ["template"]
    if task == "text-classification" and "chat" not in entries:
        required.append("label")
    require(entry.node, entry.place, "data: ", ("files", *required), problems)
    files = _files(entries["files"], base, problems) if "files" in entries else None
    template = _text(entries, "template", "text with {column} placeholders", problems)
    label = _text(entries, "label", "the name of a column", problems)
    if template is not None:
        _check_template(template, label, entries, problems)
    split = _split(entries.get("split"), files, problems)
    seed = _seed(entries, problems)
    if chat is not None:
        label = chat_label(chat, label, task, entries, problems)
    missing = label is None and ("label" in entries or "label" in required)
    if files is None or (template is None and chat is None) or missing:
        return None
    answers = label is not None and task == "text-generation"
    return DataSpec(files, template or "", label, split, seed, answers, chat)


def _text(entries: dict[str, Entry], key: str, expected: str, problems: Problems) -> str | None:
    if key not in entries:
        return None
    return text(entries[key].node, f"data.{key}", expected, problems)


def _seed(entries: dict[str, Entry], problems: Problems) -> int:
    if "seed" not in entries:
        return 0
    return whole(entries["seed"].node, "data.seed", 0, None, problems) or 0


def _files(entry: Entry, base: Path, problems: Problems) -> Files | None:
    node = entry.node
    if not isinstance(node, MappingNode) or _of_hub(node):
        return _role_files("all", node, base, problems)
    entries = mapping(node, "data.files", _ROLES, problems) or {}
    require(node, entry.place, "data.files: ", ("train", "dev"), problems)
    files: list[tuple[str, Location]] = []
    sound = {"train", "dev"} <= set(entries)
    for role, part in entries.items():
        found = _role_files(role, part.node, base, problems)
        files += found or ()
        sound &= found is not None
    return tuple(files) if sound else None


def _role_files(role: str, node: Node, base: Path, problems: Problems) -> Files | None:
    what = "data.files" if role == "all" else f"data.files.{role}"
    listing = (node,) if _of_hub(node) else items(node, what, "paths", problems)
    if not listing and not isinstance(node, MappingNode):
        wrong(node, what, "the path of a file", problems)
    paths = [_location(item, what, base, problems) for item in listing]
    found = [(role, path) for path in paths if path is not None]
    return tuple(found) if found and len(found) == len(paths) else None


def _of_hub(node: Node) -> bool:
    """Whether it is a data set of the hub, rather than files for each split."""
    return isinstance(node, MappingNode) and not node.entries.keys().isdisjoint(HUB_KEYS)


def _location(node: Node, what: str, base: Path, problems: Problems) -> Location | None:
    if isinstance(node, MappingNode):
        return _hub_dataset(node, what, base, problems)
    name = text(node, what, "the path of a file", problems)
    if name is None:
        return None
    if not is_url(name):
        return _path(name, node, what, base, problems)
    try:
        location = parse_url(name)
    except DataError as error:
        problems.absent(node.place, f"{what}: {error}")
        return RemoteFile(name) if problems.elsewhere else None
    if isinstance(location, Path):
        return _path(str(location), node, what, base, problems)
    return location


def _hub_dataset(node: MappingNode, what: str, base: Path, problems: Problems) -> HubDataset | None:
    before = len(problems.found)
    entries = mapping(node, what, HUB_KEYS, problems) or {}
    require(node, node.place, f"{what}: ", HUB_KEYS[:1], problems)
    values = {
        key: text(entry.node, f"{what}.{key}", "text", problems) for key, entry in entries.items()
    }
    if "split" in entries and values["split"] is not None:
        _check_slice(values["split"], entries["split"].node, f"{what}.split", problems)
    if "hub" not in entries or len(problems.found) > before:
        return None
    name = str(values["hub"])
    if name.startswith((".", "/", "~")):
        tried = places_of(name, base)
        folders = [path for path in tried if is_folder(path)]
        if not folders:
            looked = " or ".join(str(path) for path in tried)
            message = f"{what}.hub: there is no folder {looked}{name_hint(tried[0])}"
            problems.absent(entries["hub"].node.place, message)
        name = str((folders or tried)[0].resolve())
    return HubDataset(
        name, values.get("subset"), values.get("split") or "train", values.get("revision")
    )


_SLICE = re.compile(r"[^\[\]+\s]+(\[-?\d*%?:-?\d*%?\])?")


def _check_slice(split: str, node: Node, what: str, problems: Problems) -> None:
    if not all(_SLICE.fullmatch(part.strip()) for part in split.split("+")):
        message = f"{what}: found {short(split)}, expected a split such as train, train[:4096] or "
        problems.add(node.place, f"{message}train[10%:20%]")


def _path(name: str, node: Node, what: str, base: Path, problems: Problems) -> Path | None:
    tried = places_of(name, base)
    for path in tried:
        if is_file(path):
            return path.resolve()
    if any(is_folder(path) for path in tried):
        problems.add(node.place, f"{what}: {short(name)} is a folder, expected a file")
        return None
    looked = " or ".join(str(path) for path in tried)
    problems.absent(node.place, f"{what}: there is no file {looked}{name_hint(tried[0])}")
    return tried[0] if problems.elsewhere else None


def _check_template(
    template: str, label: str | None, entries: dict[str, Entry], problems: Problems
) -> None:
    place = entries["template"].node.place
    try:
        columns = [column for _, column in template_parts(template) if column is not None]
    except DataError as error:
        problems.add(place, f"data.{error}")
        return
    if not columns:
        problems.add(place, "data.template: has no {column} placeholder, expected one or more")
    elif label is not None:
        _check_label(columns, label, place, entries["label"].node.place, problems)


def _check_label(
    columns: list[str], label: str, template: Place, place: Place, problems: Problems
) -> None:
    if label not in columns:
        near = hint(label, columns)
        problems.add(place, f"data.label: {label!r} is not a placeholder of the template{near}")
    elif columns[-1] != label or columns.count(label) > 1:
        message = f"{{{label}}} is the label: it comes once, as the last placeholder"
        problems.add(template, f"data.template: {message}; the last is {{{columns[-1]}}}")
    elif len(columns) == 1:
        message = f"only the label {{{label}}} is in it, expected a column to predict it from"
        problems.add(template, f"data.template: {message}")


def _split(entry: Entry | None, files: Files | None, problems: Problems) -> Split:
    """The shares of dev and test; files of their own leave them without."""
    roles = {role for role, _ in files or ()}
    whole_set = roles == {"all"}
    shares = {"dev": _DEFAULT_SHARE, "test": _DEFAULT_SHARE} if whole_set else {}
    if entry is not None:
        for name, part in (mapping(entry.node, "data.split", _ROLES[1:], problems) or {}).items():
            if name in roles:
                message = f"data.split.{name}: {name} has a file of its own; leave one of them out"
                problems.add(part.place, message)
            elif _is_zero(part.node):
                shares.pop(name, None)  # nothing is kept back
            elif (share := _share(part.node, f"data.split.{name}", problems)) is not None:
                shares[name] = share
        if sum(shares.values()) >= 1:
            message = f"data.split: the shares add up to {sum(shares.values()):g}, expected below 1"
            problems.add(entry.place, message)
    return tuple(shares.items())


def _is_zero(node: Node) -> bool:
    return isinstance(node, ScalarNode) and type(node.value) in (int, float) and node.value == 0


def _share(node: Node, what: str, problems: Problems) -> float | None:
    if isinstance(node, ScalarNode) and type(node.value) in (int, float):
        share = node.value
        assert isinstance(share, (int, float))
        if 0 < share < 1:
            return float(share)
    problems.add(node.place, f"{what}: found {describe(node)}, expected a number between 0 and 1")
    return None
