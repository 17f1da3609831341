"""The model, the data and the systems of an Olive config.

Knows nothing of what becomes of them here.
"""

from __future__ import annotations

from collections.abc import Mapping

from search_spaces.problems import hint, short
from search_spaces.yaml_nodes import ListNode, MappingNode, Node, ScalarNode
from tuner.olive import reading_words as words
from tuner.olive.config import OliveData, OliveModel, OliveSystem, Setting
from tuner.olive.reading_tables import Table, plain

NO_TYPE = ""
"""The type of a model that has none, where a script of the recipe's is all that runs."""


def read_model(table: Table, *, untyped: bool) -> OliveModel:
    """`input_model`, the keys of `hf_config` dissolved. `untyped`: it needs no type."""
    table.dissolve("config")
    hf = table.table("hf_config")
    kind = table.choice("type", words.MODEL_TYPES, required=not untyped)
    table.known(words.MODEL, "a model")
    if hf is not None:
        hf.dissolve("config")
        hf.known(words.HF_CONFIG, "hf_config")
    path = _model_path(table)
    name = None if hf is None else hf.text("model_name", "a hub id or a folder")
    task = table.text("task") or (None if hf is None else hf.text("task"))
    settings = table.rest() | ({} if hf is None else hf.rest())
    if path is None:
        path = name
    elif name is not None:
        settings["model_name"] = name
    needed = {"model_path", "model_loader", "model_components"}
    if path is None and kind is not None and not needed & settings.keys():
        table.missing("model_path", "expected a hub id or a folder")
    default = Setting(NO_TYPE, f"{table.where}.type", table.line)
    return OliveModel(kind or default, path, task, settings)


def _model_path(table: Table) -> Setting | None:
    """The path where it is a text; an object that names another place is left where it is."""
    found = table.peek("model_path")
    if isinstance(found, MappingNode):
        return None
    return table.text("model_path", "a hub id, a folder, or a place with a type")


def read_data(table: Table) -> dict[str, OliveData]:
    """`data_configs`, a list or a mapping, by name."""
    if isinstance(table.peek("data_configs"), MappingNode):
        entries = [(name, found) for name, found in table.tables("data_configs")]
    else:
        entries = [("", found) for found in table.items("data_configs", "data configs") or []]
    found: dict[str, OliveData] = {}
    for name, entry in entries:
        data = _data(entry, name)
        if data.name in found:
            other = found[data.name].where
            entry.problems.add(entry.place, f"{entry.where}: {other} is called {data.name!r} too")
        found[data.name] = data
    return found


def _data(table: Table, key: str) -> OliveData:
    name = table.text("name", "a name", required=not key)
    kind = table.text("type", "the type of a data container")
    table.known(words.DATA, "a data config")
    old = table.table("components")
    parts = [_part(table, old, new, before) for new, before in words.DATA_PARTS.items()]
    if old is not None:
        old.known(set(words.DATA_PARTS.values()), "components")
    params = table.table("params_config")
    load = parts[0] if params is None else parts[0] | params.rest()
    return OliveData(
        name=key if name is None else name.value,
        where=table.where,
        line=table.line,
        type=kind,
        load=load,
        pre_process=parts[1],
        post_process=parts[2],
        dataloader=parts[3],
        settings=table.rest(),
    )


def _part(table: Table, old: Table | None, new: str, before: str) -> dict[str, Setting]:
    """What a part is told, its `type` among it; `params` are dissolved."""
    found = table.table(new) or (None if old is None else old.table(before))
    if found is None:
        return {}
    found.dissolve("params")
    return found.rest()


def read_systems(table: Table) -> dict[str, OliveSystem]:
    """`systems`, by name."""
    found = {name: read_system(entry, name) for name, entry in table.tables("systems")}
    return {name: system for name, system in found.items() if system is not None}


def read_system(table: Table, name: str) -> OliveSystem | None:
    """One system; None where its type is none, which is noted."""
    table.dissolve("config")
    kind = table.choice("type", words.SYSTEM_TYPES, required=True)
    table.known(words.SYSTEM, "a system")
    devices, providers = _accelerators(table)
    device = table.choice("device", words.DEVICES)
    providers += providers_of(table, "execution_providers")
    settings = table.rest()
    if kind is None:
        return None
    named = device.value if device is not None else next(iter(devices), None)
    unique = tuple(dict.fromkeys(providers))
    return OliveSystem(name, table.where, table.line, kind.value, named, unique, settings)


def _accelerators(table: Table) -> tuple[list[str], list[str]]:
    """The devices and providers of `accelerators`, a list of names or of mappings."""
    node = table.peek("accelerators")
    if isinstance(node, ListNode) and node.items and _all_texts(node):
        table.take("accelerators")
        devices = [str(plain(item)) for item in node.items]
        return _known_devices(table, devices), []
    devices, providers = [], []
    for item in table.items("accelerators", "accelerators") or []:
        device = item.choice("device", words.DEVICES)
        item.known(words.ACCELERATOR, "an accelerator")
        providers += providers_of(item, "execution_providers")
        devices += [] if device is None else [device.value]
    return devices, providers


def _all_texts(node: ListNode) -> bool:
    return all(isinstance(i, ScalarNode) and isinstance(i.value, str) for i in node.items)


def _known_devices(table: Table, names: list[str]) -> list[str]:
    found = []
    for name in names:
        if name.casefold() in words.DEVICES:
            found.append(name.casefold())
        else:
            near = hint(name, words.DEVICES)
            message = f"{table.where}.accelerators: unknown device {short(name)}{near}"
            table.problems.add(table.place, message)
    return found


def providers_of(table: Table, key: str) -> list[str]:
    """A list of execution providers, each a name or a name and the path of its library."""
    found = table.take(key)
    if found is None:
        return []
    node, setting = found
    items = node.items if isinstance(node, ListNode) else (node,)
    names = [_provider(table, setting, item) for item in items]
    return [name for name in names if name is not None]


def _provider(table: Table, setting: Setting, node: Node) -> str | None:
    first = node.items[0] if isinstance(node, ListNode) and node.items else node
    name = plain(first)
    if not isinstance(name, str):
        table.wrong(setting, node, "the name of an execution provider")
        return None
    by_name: Mapping[str, str] = {known.casefold(): known for known in words.PROVIDERS}
    if name.casefold() in by_name:
        return by_name[name.casefold()]
    near = hint(name, words.PROVIDERS)
    table.bad(setting, f"unknown execution provider {short(name)}{near}")
    return None
