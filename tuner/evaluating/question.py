"""What is to be measured of a model, on which data: read from options and an answer's recipe.

Everything is checked as in a space, with the same words. Knows nothing of how it is measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from search_spaces.catalog import read_text
from search_spaces.data import DataSpec, read_split, split_names
from search_spaces.data_reader import read_data
from search_spaces.expressions import ExpressionError, parse_metric
from search_spaces.functions import FunctionMetric, read_functions
from search_spaces.goals_reader import GoalsReader, check_available
from search_spaces.overrides import Overrides, apply
from search_spaces.problems import Place, Problem, Problems, SpaceError, listed
from search_spaces.vocabulary import EvaluatorSpec, MetricSpec, Value, Vocabulary
from search_spaces.yaml_nodes import Entry, MappingNode, ScalarNode, compose, text_node

RECIPE = "recipe.yaml"
_WHOLE = "dev"  # the split that a file of one's own is measured as


@dataclass(frozen=True, slots=True)
class Flags:
    """What a command line says. `recipe`: that of an answer's folder, for what it does not say."""

    metrics: Sequence[str] = ()
    settings: Sequence[str] = ()
    data: str | None = None
    template: str | None = None
    label: str | None = None
    text: str | None = None
    split: str | None = None
    recipe: Path | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A metric of an evaluator; `statistic`: None for its default.

    `implied`: the evaluator was asked for, and not this metric by its name.
    """

    evaluator: str
    metric: MetricSpec
    statistic: str | None
    implied: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """What to measure. `options`: evaluator -> every option; `rows`: how many the split has.

    `given`: the options that the command line sets, as EVALUATOR.OPTION.
    """

    options: Mapping[str, Mapping[str, Value]]
    asked: Sequence[Asked]
    data: DataSpec | None
    split: str
    rows: int
    functions: Mapping[str, FunctionMetric]
    specs: Mapping[str, EvaluatorSpec]
    given: frozenset[str] = frozenset()

    def of(self, evaluator: str) -> list[Asked]:
        """What is asked of one evaluator."""
        return [asked for asked in self.asked if asked.evaluator == evaluator]


def read_question(flags: Flags, words: Vocabulary, formats: Sequence[str]) -> Question:
    """The question that a command line asks of models; SpaceError with all that is wrong.

    `formats`: of the models. An evaluator's name stands for all its metrics that such models have.
    DataError where the data cannot be read.
    """
    problems = Problems()
    recipe = _recipe(flags.recipe, problems)
    base = Path.cwd() if flags.recipe is None else flags.recipe.parent
    listing = recipe.get("metrics")
    functions = read_functions(None if listing is None else listing.node, words, base, problems)
    words = functions.extend(words, flags.data is not None or "data" in recipe)
    names = flags.metrics or list(_entries(listing))
    asked = _asked(names, words, formats, problems)
    if not asked and not problems.found:
        problems.add(Place("--metric"), f"found none, expected {listed(_known(words))}")
    problems.raise_if_any()
    root = _metrics_node(flags, listing, asked, words, problems)
    reader = GoalsReader(words, functions, problems, base)
    reader.metrics(root.entries["metrics"].node)
    for one in asked:
        reader.goals.metrics.setdefault(one.metric.name, Place(f"--metric {one.metric.name}"))
    check_available(reader.goals, words, problems)
    data = _data(flags, recipe, asked, words, problems)
    problems.raise_if_any()
    split = _split(flags, data)
    return Question(
        options=reader.goals.evaluators,
        asked=asked,
        data=data,
        split=split,
        rows=0 if data is None else len(read_split(data, split)),
        functions=functions.metrics,
        specs=words.evaluators,
        given=frozenset(setting.partition("=")[0].strip() for setting in flags.settings),
    )


def _recipe(path: Path | None, problems: Problems) -> Mapping[str, Entry]:
    if path is None:
        return {}
    node = compose(read_text(path), str(path), problems)
    return node.entries if isinstance(node, MappingNode) else {}


def _entries(listing: Entry | None) -> Mapping[str, Entry]:
    found = None if listing is None else listing.node
    return found.entries if isinstance(found, MappingNode) else {}


def _known(words: Vocabulary) -> list[str]:
    metrics = (m.name for spec in words.evaluators.values() for m in spec.metrics)
    return list(dict.fromkeys([*words.evaluators, *metrics]))


def _asked(
    names: Sequence[str], words: Vocabulary, formats: Sequence[str], problems: Problems
) -> list[Asked]:
    found: dict[tuple[str, str | None], Asked] = {}
    for name in names:
        if name in words.evaluators:
            these = _all_of(words.evaluators[name], formats, problems)
        else:
            these = _one_of(name, words, problems)
        for one in these:
            spec = words.evaluators[one.evaluator]
            for model_format in dict.fromkeys(formats):
                if model_format not in spec.formats:
                    takes = listed(sorted(spec.formats))
                    message = f"{spec.name} measures {takes}, and this model is {model_format}"
                    problems.add(Place(f"--metric {name}"), message)
            found.setdefault((one.metric.name, one.statistic), one)
    return list(found.values())


def _all_of(spec: EvaluatorSpec, formats: Sequence[str], problems: Problems) -> list[Asked]:
    """The metrics of an evaluator that every one of the models can have."""
    found = [
        Asked(spec.name, metric, None, implied=True)
        for metric in spec.metrics
        if all(metric.is_of(model_format) for model_format in formats)
    ]
    if not found:
        reasons = (metric.lacking() for metric in spec.metrics)
        why = next(
            filter(None, reasons), f"a model that is {listed(formats, 'and')} has none of it"
        )
        problems.add(Place(f"--metric {spec.name}"), f"it cannot be measured here: {why}")
    return found


def _one_of(name: str, words: Vocabulary, problems: Problems) -> list[Asked]:
    """A metric by its name, which may have a statistic."""
    try:
        metric, statistic = parse_metric(name, words)
    except ExpressionError as error:
        problems.add(Place("--metric"), str(error))
        return []
    owner = words.metric(metric.name)
    assert owner is not None, "it was just found"
    return [Asked(owner[0].name, metric, statistic)]


def _metrics_node(
    flags: Flags,
    listing: Entry | None,
    asked: Sequence[Asked],
    words: Vocabulary,
    problems: Problems,
) -> MappingNode:
    """A mapping with `metrics:`: the options of the recipe, with those of the command line."""
    place = Place("--metric")
    of_recipe = _entries(listing)
    nothing = Entry(place, ScalarNode(None, "", False, place))
    evaluators = dict.fromkeys(one.evaluator for one in asked)
    entries = {name: of_recipe.get(name, nothing) for name in evaluators}
    root = MappingNode({"metrics": Entry(place, MappingNode(entries, place))}, place)
    settings = [f"metrics.{s}" for s in _settings(flags, list(evaluators), words, problems)]
    return apply(root, Overrides(settings=tuple(settings)), {}, problems)


def _settings(
    flags: Flags, evaluators: Sequence[str], words: Vocabulary, problems: Problems
) -> list[str]:
    for setting in flags.settings:
        name = setting.partition("=")[0].partition(".")[0]
        if name not in evaluators:
            expected = f"expected EVALUATOR.OPTION=VALUE of {listed(evaluators)}"
            problems.add(Place(f"--set {setting}"), f"{name!r} is not measured; {expected}")
    found = [s for s in flags.settings if s.partition("=")[0].partition(".")[0] in evaluators]
    if flags.text is None:
        return found
    takers = [n for n in evaluators if any(_is_text(p) for p in words.evaluators[n].parameters)]
    if not takers:
        message = "is for perplexity and divergence, and neither is measured"
        problems.add(Place(f"--text {flags.text}"), message)
    path = yaml.safe_dump(str(Path(flags.text).expanduser().absolute()), width=10**6)
    return [*found, *(f"{name}.file={path.partition(chr(10))[0]}" for name in takers)]


def _is_text(parameter: Any) -> bool:
    return parameter.name == "file" and parameter.type is Path


# The data


def _data(
    flags: Flags,
    recipe: Mapping[str, Entry],
    asked: Sequence[Asked],
    words: Vocabulary,
    problems: Problems,
) -> DataSpec | None:
    specs = [words.evaluators[name] for name in dict.fromkeys(a.evaluator for a in asked)]
    if flags.data is None:
        for name in ("template", "label"):
            if getattr(flags, name) is not None:
                problems.add(Place(f"--{name}"), "is about --data, which is missing")
        found = _of_recipe(recipe, flags, specs, problems)
    else:
        if flags.split is not None:
            problems.add(Place("--split"), "is of a recipe's data; --data is measured whole")
        found = _of_flags(flags, specs, problems)
    for spec in specs:
        if found is None and not problems.found and (spec.needs_labels or spec.needs_data):
            needed = "--data FILE --template TEXT" + " --label COLUMN" * spec.needs_labels
            problems.add(Place(f"--metric {spec.name}"), f"needs data: {needed}")
        elif found is not None and spec.needs_labels and found.label is None:
            message = "needs to know what is right: --label COLUMN"
            problems.add(Place(f"--metric {spec.name}"), message)
    return found


def _of_recipe(
    recipe: Mapping[str, Entry],
    flags: Flags,
    specs: Sequence[EvaluatorSpec],
    problems: Problems,
) -> DataSpec | None:
    """The recipe's data; where no evaluator is in need of it, it need not be there."""
    if "data" not in recipe or flags.recipe is None:
        return None
    inner = Problems()
    task = recipe["task"].node if "task" in recipe else None
    word = str(task.value) if isinstance(task, ScalarNode) else None
    found = read_data(recipe["data"], word, flags.recipe.parent, inner)
    needed = any(spec.needs_labels or spec.needs_data for spec in specs)
    problems.found += inner.found if needed else []
    return None if inner.found else found


def _of_flags(flags: Flags, specs: Sequence[EvaluatorSpec], problems: Problems) -> DataSpec | None:
    """The file of the command line, all of whose rows are measured."""
    if flags.template is None:
        problems.add(Place("--data"), "needs --template: how a row becomes text, with {column}")
        return None
    parts = {"template": flags.template, "label": flags.label}
    entries = {k: _entry(f"--{k}", text) for k, text in parts.items() if text is not None}
    place = Place("--data")
    file = text_node(str(flags.data), place)
    files = MappingNode({"train": Entry(place, file), "dev": Entry(place, file)}, place)
    entries["files"] = Entry(place, files)
    words = any(spec.name == "generation" for spec in specs)
    task = "text-generation" if words or flags.label is None else "text-classification"
    return read_data(Entry(place, MappingNode(entries, place)), task, Path.cwd(), problems)


def _entry(option: str, text: str) -> Entry:
    r"""An option's text, in which \n is a line break, as shells leave it."""
    return Entry(Place(option), text_node(text.replace("\\n", "\n"), Place(option)))


def _split(flags: Flags, data: DataSpec | None) -> str:
    if data is None or flags.data is not None:
        return _WHOLE
    there = split_names(data)
    wanted = flags.split or ("test" if "test" in there else _WHOLE)
    if wanted not in there:
        message = f"the recipe's data has no {wanted!r}, expected {listed(there)}"
        raise SpaceError([Problem(message, "--split")])
    return wanted


def without_second(question: Question) -> Question:
    """The question as it can be asked of one model alone. SpaceError where nothing of it can."""
    lone = [a for a in question.asked if not question.specs[a.evaluator].reference]
    for asked in question.asked:
        if asked not in lone:
            message = f"{asked.metric.name} compares two models; give a second folder"
            raise SpaceError([Problem(message, f"--metric {asked.metric.name}")])
    return replace(question, asked=lone)
