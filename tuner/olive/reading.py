"""An Olive config's file as plain data: JSON or YAML, of both generations of its schema.

Everything wrong is told at once, with its line. Knows nothing of what Olive's passes take, nor of
what becomes of any of it here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from search_spaces.paths import name_hint
from search_spaces.problems import Place, Problem, Problems, SpaceError, hint, listed, short
from search_spaces.yaml_nodes import ListNode, MappingNode, Node, ScalarNode, compose, describe
from tuner.olive import reading_words as words
from tuner.olive.config import (
    OliveConfig,
    OliveMetric,
    OliveModel,
    OlivePass,
    OliveSearch,
    OliveSystem,
    Setting,
    Settings,
)
from tuner.olive.reading_json import compose_json
from tuner.olive.reading_metrics import read_evaluator, read_evaluators
from tuner.olive.reading_parts import read_data, read_model, read_system, read_systems
from tuner.olive.reading_tables import Table

MAX_BYTES = 4_000_000
"""A config is a few kB; a file beyond this is something else."""

SCRIPT_PASSES = frozenset({"aitkpython"})
"""Passes that stand for a whole program of the recipe's: their model needs no type."""


def read_config(path: Path) -> OliveConfig:
    """The config in a file; SpaceError with everything that is wrong with it."""
    problems = Problems()
    node = _compose(_read_text(path), path, problems)
    if not isinstance(node, MappingNode):
        if node is not None or not problems.found:
            found = "an empty file" if node is None else describe(node)
            expected = "expected an Olive config: an object with input_model and passes"
            problems.add(Place(str(path)), f"found {found}, {expected}")
        problems.raise_if_any()
        raise AssertionError("a problem was noted")
    config = _Reader(Table(node, "", problems), path).read()
    problems.raise_if_any()
    return config


def _read_text(path: Path) -> str:
    """The file's text; SpaceError where there is none."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        message = f"there is no file {path}{name_hint(path)}"
        raise SpaceError([Problem(message)]) from None
    except IsADirectoryError:
        message = f"{path} is a folder, expected the file of an Olive config"
        raise SpaceError([Problem(message)]) from None
    except (OSError, ValueError) as error:
        raise SpaceError([Problem(f"{path} cannot be read: {error}")]) from None
    if len(data) > MAX_BYTES:
        message = f"{len(data):,} bytes, expected an Olive config of a few thousand"
        raise SpaceError([Problem(message, str(path))])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SpaceError([Problem("not UTF-8 text", str(path), line)]) from None


def _compose(text: str, path: Path, problems: Problems) -> Node | None:
    if path.suffix.lower() in (".yaml", ".yml"):
        return compose(text, str(path), problems)
    return compose_json(text, str(path), problems)


class _Reader:
    """Takes the whole mapping of a config apart."""

    def __init__(self, table: Table, path: Path) -> None:
        self._table = table
        self._path = path
        self._old = _is_old(table)
        self._outer: dict[str, Setting] = {}
        self._systems: dict[str, OliveSystem] = {}
        self._evaluators: dict[str, tuple[OliveMetric, ...]] = {}

    def read(self) -> OliveConfig:
        """The config; what is wrong is noted on the way."""
        table = self._table
        table.dissolve("engine")
        table.dissolve("config")
        table.known(words.SECTIONS | words.ENGINE, "an Olive config")
        self._systems = read_systems(table)
        self._evaluators = read_evaluators(table)
        data = read_data(table)
        passes = self._passes()
        model = self._model(passes)
        target, host = self._system("target"), self._system("host")
        evaluator = self._evaluator()
        search = _search(table)
        config = OliveConfig(
            path=self._path,
            generation=_generation(self._old),
            model=model,
            passes=passes,
            data=data,
            systems=self._systems,
            host=host,
            target=target,
            evaluators=self._evaluators,
            evaluator=evaluator,
            search=search,
            engine=table.rest() | self._outer,
        )
        self._check_data_names(config)
        return config

    def _model(self, passes: tuple[tuple[OlivePass, ...], ...]) -> OliveModel:
        types = {one.type.casefold() for alternatives in passes for one in alternatives}
        table = self._table.table("input_model")
        if table is None:
            found = [p for p in self._table.problems.found if "input_model" in p.message]
            if not found:
                self._table.missing("input_model", "expected the model to begin with")
            nothing = Setting("", "input_model", self._table.line)
            return OliveModel(nothing, None, None, {})
        return read_model(table, untyped=bool(types) and types <= SCRIPT_PASSES)

    def _passes(self) -> tuple[tuple[OlivePass, ...], ...]:
        table = self._table
        node = table.peek("passes")
        if isinstance(node, ListNode):
            listed_ = [(_named(t), t) for t in table.items("passes", "passes") or []]
            found: list[tuple[OlivePass | None, ...]] = [(self._pass(n, t),) for n, t in listed_]
        else:
            found = self._named_passes()
        steps = [tuple(p for p in alternatives if p is not None) for alternatives in found]
        if not found and not any("passes" in p.message for p in table.problems.found):
            table.missing("passes", _no_passes(table))
        return tuple(alternatives for alternatives in steps if alternatives)

    def _named_passes(self) -> list[tuple[OlivePass | None, ...]]:
        outer = self._table.table("passes")
        if outer is None:
            return []
        found: list[tuple[OlivePass | None, ...]] = []
        for name in outer:
            if isinstance(outer.peek(name), ListNode):
                many = outer.items(name, "alternative passes") or []
                found.append(tuple(self._pass(name, one) for one in many))
            else:
                one = outer.table(name)
                found.append((None,) if one is None else (self._pass(name, one),))
        return found

    def _pass(self, name: str, table: Table) -> OlivePass | None:
        """A pass; what says how it is run goes to the engine's settings, by its dotted path."""
        table.dissolve("config")
        kind = table.text("type", "the type of a pass, such as OnnxConversion", required=True)
        for key in sorted(words.RUN_KEYS):
            if key in ("host", "evaluator") and isinstance(table.peek(key), MappingNode):
                setting = self._inline(table, key, table.at(key))
            else:
                found = table.take(key)
                setting = None if found is None else found[1]
            if setting is not None:
                self._outer[setting.where] = setting
        settings = table.rest(nulls=True)
        if kind is None:
            return None
        return OlivePass(name, kind.value, table.where, table.line, settings)

    def _inline(self, table: Table, key: str, name: str) -> Setting | None:
        """A system or an evaluator that stands where its name could; the name that it gets."""
        place = Setting(name, table.at(key), table.line)
        inner = table.table(key)
        if inner is None:
            return None
        if key == "evaluator":
            self._evaluators[name] = read_evaluator(inner, name)
        else:
            system = read_system(inner, name)
            if system is None:
                return None
            self._systems[name] = system
        return place

    def _system(self, key: str) -> Setting | None:
        if isinstance(self._table.peek(key), MappingNode):
            return self._inline(self._table, key, key)
        found = self._table.text(key, "the name of a system, or a system")
        return self._known(found, self._systems, "system", "systems")

    def _evaluator(self) -> Setting | None:
        if isinstance(self._table.peek("evaluator"), MappingNode):
            return self._inline(self._table, "evaluator", "evaluator")
        found = self._table.text("evaluator", "the name of an evaluator, or an evaluator")
        return self._known(found, self._evaluators, "evaluator", "evaluators")

    def _known(
        self, found: Setting | None, known: Collection[str], what: str, section: str
    ) -> Setting | None:
        """A name that is one of a section's."""
        if found is None or found.value in known:
            return found
        near = hint(found.value, known)
        names = [name if len(name) <= 60 else short(name) for name in known][:12]
        few = "" if near else f"; {section} has {listed(names, 'and') or 'none'}"
        self._table.bad(found, f"there is no {what} {short(found.value)}{near or few}")
        return None

    def _check_data_names(self, config: OliveConfig) -> None:
        for found in _data_names(config):
            self._known(found, config.data, "data config", "data_configs")


def _named(table: Table) -> str:
    """The name of a pass in a list: its type."""
    node = table.peek("type")
    return str(node.value) if isinstance(node, ScalarNode) else "pass"


def _is_old(table: Table) -> bool:
    """Whether it is of the schema of 2023 and 2024, told by keys that only that has."""
    if "azureml_client" in table or "data_root" in table or "pass_flows" in table:
        return True
    model, engine = table.peek("input_model"), table.peek("engine")
    old_engine = isinstance(engine, MappingNode) and "execution_providers" in engine.entries
    return old_engine or (isinstance(model, MappingNode) and _has_hf_config(model))


def _has_hf_config(node: MappingNode) -> bool:
    if "hf_config" in node.entries:
        return True
    inner = node.entries.get("config")
    return inner is not None and isinstance(inner.node, MappingNode) and _has_hf_config(inner.node)


def _generation(old: bool) -> Literal["2024", "today"]:
    return "2024" if old else "today"


def _no_passes(table: Table) -> str:
    """What to do about a config that leaves the passes to Olive."""
    expected = "expected what is done with the model, pass by pass"
    if "auto_optimizer_config" in table:
        return f"{expected}; where the tool is to choose: tune optimize --model ..."
    return expected


def _search(table: Table) -> OliveSearch | None:
    """`search_strategy`, where it is a search; true is one with Olive's defaults."""
    node = table.peek("search_strategy")
    if isinstance(node, ScalarNode) and isinstance(node.value, bool):
        where = table.at("search_strategy")
        found = table.take("search_strategy")
        line = 1 if found is None else found[1].line
        return OliveSearch(where, line, {}) if node.value else None
    inner = table.table("search_strategy")
    if inner is None:
        return None
    inner.dissolve("sampler_config", "search_algorithm_config", "config")
    inner.known(words.SEARCH, "search_strategy")
    return OliveSearch(inner.where, inner.line, _search_settings(inner))


def _search_settings(table: Table) -> Settings:
    found: dict[str, Setting | None] = {
        "sampler": table.choice("sampler", words.SAMPLERS),
        "search_algorithm": table.choice("search_algorithm", ("exhaustive", *words.SAMPLERS)),
        "execution_order": table.choice("execution_order", ("joint", "pass-by-pass")),
    }
    for key in ("max_samples", "num_samples", "max_iter", "output_model_num", "seed"):
        found[key] = table.checked(key, (int,), "a whole number")
    found["max_time"] = table.checked("max_time", (int, float), "a number of seconds")
    for key in ("stop_when_goals_met", "include_pass_params", "group", "multivariate"):
        found[key] = table.checked(key, (bool,), "true or false")
    return {key: setting for key, setting in found.items() if setting is not None} | table.rest()


def _data_names(config: OliveConfig) -> Iterator[Setting]:
    """Every place where a data config is named, in metrics and passes."""
    for metrics in config.evaluators.values():
        for metric in metrics:
            if metric.data is not None:
                where = metric.where.partition(".sub_types[")[0]
                yield Setting(metric.data, f"{where}.data_config", metric.line)
    for alternatives in config.passes:
        for one in alternatives:
            for key, setting in one.settings.items():
                yield from _names_in(key, setting.value, setting)


def _names_in(key: str, value: Any, setting: Setting) -> Iterator[Setting]:
    if key.endswith("data_config") and isinstance(value, str):
        yield Setting(value, setting.where, setting.line)
    elif isinstance(value, Mapping):
        for inner, found in value.items():
            yield from _names_in(inner, found, setting)
