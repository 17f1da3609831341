"""Reads a space file and checks everything that can be checked before anything runs.

All that is wrong is reported at once. Knows nothing of how a space is searched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from search_spaces.build_only import anywhere, without_runtime
from search_spaces.candidates import is_continuous
from search_spaces.catalog import read_text
from search_spaces.chat_reader import check_chat
from search_spaces.data import DataSpec
from search_spaces.data_reader import read_data
from search_spaces.formats import misfits
from search_spaces.functions import FunctionMetric, read_functions
from search_spaces.goals_reader import Goals, GoalsReader, check_available, check_labels
from search_spaces.installed import is_installed
from search_spaces.kinds import kind_of_source
from search_spaces.node_values import mapping, require, wrong
from search_spaces.overrides import Overrides, apply, extras
from search_spaces.pipeline_reader import Pipeline, read_pipeline
from search_spaces.problems import Place, Problems
from search_spaces.references import Reference
from search_spaces.settings_reader import (
    name_of_file,
    read_limits,
    read_model,
    read_name,
    read_search,
    read_task,
)
from search_spaces.space import Choices, Fixed, Limits, SearchSettings, Space, Step, steps_of
from search_spaces.vocabulary import Vocabulary
from search_spaces.yaml_nodes import Entry, MappingNode, Node, compose

T = TypeVar("T")

_REQUIRED = ("model", "task", "pipeline", "objectives")
_KEYS = (
    "name",
    "model",
    "task",
    "data",
    "pipeline",
    "metrics",
    "objectives",
    "constraints",
    "search",
    "limits",
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A space, and what its user should be told although nothing is wrong."""

    space: Space
    notices: tuple[str, ...]


def read_space(source: Path, vocabulary: Vocabulary, overrides: Overrides | None = None) -> Reading:
    """Read and check a space file; SpaceError with everything that is wrong."""
    return parse_space(read_text(source), source, vocabulary, overrides)


def parse_space(
    text: str,
    path: Path | None,
    vocabulary: Vocabulary,
    overrides: Overrides | None = None,
    *,
    elsewhere: bool = False,
) -> Reading:
    """Check the text of a space file; SpaceError with everything that is wrong.

    `path` names the file in messages, and relative paths start from its folder; None: from the
    current directory. `elsewhere`: it was used on another machine and will not be used here, so
    that its model, files and libraries need not be here.
    """
    problems = Problems(elsewhere=elsewhere)
    reader = _Reader(path, vocabulary, overrides or Overrides(), problems)
    space = reader.read(text)
    problems.raise_if_any()
    assert space is not None, "a space without problems is complete"
    return Reading(space, tuple(problems.notices))


class _Reader:
    def __init__(
        self, path: Path | None, vocabulary: Vocabulary, overrides: Overrides, problems: Problems
    ) -> None:
        self._path = path
        self._file = "the space" if path is None else str(path)
        self._base = Path.cwd() if path is None else path.parent
        self._vocabulary = vocabulary
        self._overrides = overrides
        self._problems = problems
        self._entries: dict[str, Entry] = {}
        self._functions: Mapping[str, FunctionMetric] = {}

    def read(self, text: str) -> Space | None:
        root = self._root(text)
        if root is None:
            return None
        require(root, Place(self._file), "", _REQUIRED, self._problems)
        model_base = Path.cwd() if self._overrides.model is not None else self._base
        model = self._block("model", lambda node: read_model(node, model_base, self._problems))
        task = self._block("task", lambda node: read_task(node, self._problems))
        name = self._block("name", lambda node: read_name(node, self._problems))
        data = self._data(task)
        pipeline = self._pipeline()
        goals = self._goals()
        search = self._search()
        limits = self._block("limits", lambda node: read_limits(node, self._problems))
        self._check_whole(pipeline, goals, search, data)
        if not self._problems.elsewhere:
            self._check_installed(pipeline, goals)
        if pipeline.complete and not self._problems.elsewhere:
            self._check_formats(pipeline, goals, task, model)
        if self._problems.found or model is None or task is None:
            return None
        return Space(
            name=name or ("space" if self._path is None else name_of_file(self._path)),
            path=None if self._path is None else self._path.absolute(),
            model=model,
            task=task,
            data=data,
            pipeline=tuple(pipeline.items),
            evaluators=goals.evaluators,
            objectives=tuple(goals.objectives),
            constraints=tuple(goals.constraints),
            search=search,
            limits=limits or Limits(),
            build_only=self._overrides.build_only,
            files=self._files(goals),
            functions=self._functions,
        )

    def _files(self, goals: Goals) -> frozenset[tuple[str, str]]:
        specs = self._vocabulary.evaluators
        return frozenset(
            (name, p.name)
            for name in goals.evaluators
            for p in specs[name].parameters
            if p.type is Path
        )

    def _root(self, text: str) -> MappingNode | None:
        before = len(self._problems.found)
        node = compose(text, self._file, self._problems)
        if node is None:
            if len(self._problems.found) == before:
                message = f"the file is empty, expected a space with {', '.join(_REQUIRED)}"
                self._problems.add(Place(self._file), message)
            return None
        if not isinstance(node, MappingNode):
            wrong(node, "", f"a mapping with {', '.join(_REQUIRED)}", self._problems)
            return None
        changed = apply(node, self._overrides, self._vocabulary.passes, self._problems)
        self._entries = mapping(changed, "", _KEYS, self._problems) or {}
        return changed

    def _block(self, key: str, read: Callable[[Node], T]) -> T | None:
        entry = self._entries.get(key)
        return None if entry is None else read(entry.node)

    def _data(self, task: str | None) -> DataSpec | None:
        entry = self._entries.get("data")
        return None if entry is None else read_data(entry, task, self._base, self._problems)

    def _pipeline(self) -> Pipeline:
        passes = self._vocabulary.passes
        if self._overrides.build_only:
            passes = {name: anywhere(spec) for name, spec in passes.items()}
        found = self._block("pipeline", lambda node: read_pipeline(node, passes, self._problems))
        return found or Pipeline(complete=False)

    def _goals(self) -> Goals:
        metrics = self._entries.get("metrics")
        found = None if metrics is None else metrics.node
        functions = read_functions(found, self._vocabulary, self._base, self._problems)
        self._functions = functions.metrics
        self._vocabulary = functions.extend(self._vocabulary, "data" in self._entries)
        reader = GoalsReader(self._vocabulary, functions, self._problems, self._base)
        self._block("metrics", reader.metrics)
        self._block("objectives", reader.objectives)
        constraints = self._entries.get("constraints")
        node = None if constraints is None else constraints.node
        reader.constraints(node, extras(self._overrides))
        if self._overrides.build_only:
            without_runtime(reader.goals, self._vocabulary, self._problems)
        return reader.goals

    def _search(self) -> SearchSettings:
        found = self._block("search", lambda node: read_search(node, self._problems))
        return found or SearchSettings()

    # What can only be judged of the whole

    def _check_whole(
        self, pipeline: Pipeline, goals: Goals, search: SearchSettings, data: DataSpec | None
    ) -> None:
        if "data" not in self._entries or data is not None:
            label = None if data is None else data.label
            specs = self._vocabulary.evaluators
            check_labels(goals.evaluators, specs, goals.places, label, self._problems)
        if not self._problems.elsewhere:
            check_available(goals, self._vocabulary, self._problems)
        self._check_trained(pipeline)
        if search.strategy == "grid":
            self._check_grid(pipeline)

    def _check_trained(self, pipeline: Pipeline) -> None:
        if "data" in self._entries:
            return
        for step in (s for item in pipeline.items for s in steps_of(item)):
            if step.spec.uses_data and _may_read(step):
                place = pipeline.places[step.id]
                self._problems.add(place, f"{step.id} learns from data; the key 'data' is missing")

    def _check_grid(self, pipeline: Pipeline) -> None:
        for step in (s for item in pipeline.items for s in steps_of(item)):
            for name, domain in step.parameters.items():
                if is_continuous(domain):
                    full = f"{step.id}.{name}"
                    message = "a grid cannot list a continuous range; give it a step, or choices"
                    self._problems.add(pipeline.places[full], f"{full}: {message}")

    def _check_installed(self, pipeline: Pipeline, goals: Goals) -> None:
        steps = (s for item in pipeline.items for s in steps_of(item))
        asked = [(s.id, s.spec.requires, pipeline.places[s.id]) for s in steps]
        specs = self._vocabulary.evaluators
        asked += [(name, specs[name].requires, goals.places[name]) for name in goals.evaluators]
        for name, requires, place in asked:
            for distribution, extra in requires.items():
                if not is_installed(distribution):
                    message = f"{name} needs {distribution}, which is not installed; the extra "
                    self._problems.add(place, f"{message}`{extra}` of this program brings it")

    def _check_chat(self, model: Path, kind: str | None) -> None:
        data = self._entries.get("data")
        node = None if data is None else data.node
        if isinstance(node, MappingNode) and "chat" in node.entries:
            check_chat(node.entries["chat"], model, kind, self._problems)

    def _check_formats(
        self, pipeline: Pipeline, goals: Goals, task: str | None, model: Reference | None
    ) -> None:
        evaluators = [self._vocabulary.evaluators[name] for name in goals.evaluators]
        found = None if model is None else model.checkpoint
        path = None if found is None else found.path
        kind = None if found is None or path is None else kind_of_source(found.format, path)
        flow = "hf" if model is None else model.flow
        if path is not None:
            self._check_chat(path, kind)
        passes = self._vocabulary.passes
        known = map(self._vocabulary.metric, goals.metrics)
        asked = [found for found in known if found is not None and found[1].lacking() is None]
        for misfit in misfits(pipeline.items, evaluators, passes, task, kind, asked, flow):
            places = pipeline.places if misfit.is_step else goals.metrics | goals.places
            self._problems.add(places[misfit.name], f"{misfit.name} {misfit.message}")


def _may_read(step: Step) -> bool:
    """Whether a step whose pass uses data can have values with which it does."""
    for name, reading in step.spec.data_where.items():
        domain = step.parameters.get(name, Fixed(step.spec.parameter(name).default))
        values = domain.values if isinstance(domain, Choices) else ()
        values = (domain.value,) if isinstance(domain, Fixed) else values
        if values and not set(values) & set(reading):
            return False
    return True
