"""The evaluator `lm_eval`: tasks of lm-evaluation-harness, on a model in whichever runtime it is.

Knows nothing of passes or of the search. The library is an extra; nothing here asks the network.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from evaluators import machine
from evaluators.base import (
    Artifact,
    Estimate,
    Evaluator,
    Interval,
    Json,
    Measurement,
    MeasurementError,
)
from evaluators.offline import no_network
from evaluators.runtimes.lm_eval_model import Requests, as_lm
from evaluators.runtimes.models import open_language_model
from evaluators.shares import mean_interval, mean_of_intervals, paired_mean
from search_spaces.data import DataSpec
from search_spaces.problems import hint, listed
from search_spaces.vocabulary import Aspect, EvaluatorSpec, MetricSpec, ParameterSpec, Value

_SHOWN = 200  # characters of a prompt (its end) and of an answer that are kept
_SEED = 1234  # of the examples before a question


class LmEval(Evaluator):
    """Runs tasks of lm-evaluation-harness (EleutherAI), the library `lm_eval`.

    The metric is the mean over tasks of each one's main metric: the first that it lists (its
    `metric_list`) that is a number from 0 to 1 for each item, of which more is better, and whose
    mean over items is what the library reports: mostly `acc`, or `exact_match` where text is
    generated, after the first filter where there are several. A group counts as the tasks in it. A
    task without such a metric is refused: `perplexity` measures what it would. All of a task's
    figures are kept beside the result, and what became of each item.

    `tasks` are names, of the library's tasks or of those in the folder `task_folder`: YAML files as
    the library has them. Paths of data in these are relative to that folder, and the data should
    lie in it, as its content is part of a result's key. A task file may name Python functions
    (`!function`), which are run, so use only folders that you trust. Nothing is downloaded: a task
    whose data set is not on this machine is refused. The first use of the library's own tasks
    takes 10 s for reading their index. Texts are generated greedily, whatever a task asks for
    besides being refused where it samples.
    """

    spec: ClassVar = EvaluatorSpec(
        name="lm_eval",
        version=1,
        help="tasks of lm-evaluation-harness, own task files included",
        parameters=(
            ParameterSpec("tasks", list, (), "names of tasks, one or more; it has no default"),
            ParameterSpec(
                name="task_folder",
                type=Path,
                default=None,
                help="a folder with task files (YAML) and their data; null: the library's tasks",
                nullable=True,
            ),
            ParameterSpec(
                name="limit",
                type=int,
                default=None,
                help="the first so many items of each task; null: all",
                low=1,
                nullable=True,
            ),
            ParameterSpec(
                name="num_fewshot",
                type=int,
                default=None,
                help="examples before each question; null: as each task says, else none",
                low=0,
                high=64,
                nullable=True,
            ),
        ),
        metrics=(
            MetricSpec(
                name="lm_eval",
                unit="fraction",
                lower_is_better=False,
                depends_on=frozenset({Aspect.WEIGHTS, Aspect.STRUCTURE}),
                help="mean over tasks of each task's main metric",
            ),
        ),
        formats=frozenset({"hf", "quantized", "adapter", "genai"}),
        libraries=(
            "datasets",
            "lm_eval",
            "onnxruntime",
            "onnxruntime-genai",
            "peft",
            "torch",
            "transformers",
        ),
        requires={"lm_eval": "lm-eval"},
    )

    def measure(
        self,
        model: Artifact,
        options: Mapping[str, Value],
        data: DataSpec | None,
        split: str,
        reference: Artifact | None = None,
    ) -> Measurement:
        """Run the tasks; the space's own data have no part in it.

        An item is {"task", "item" (its number), "value" (of the main metric), "figures" (all
        metrics that are numbers), "prompt" (its end), "target", "answers"}.
        """
        asked = _asked(options)
        with _offline(asked.folder):
            tasks = _loaded(asked)
        opened = open_language_model(model)
        requests = Requests(opened)
        with _offline(asked.folder):
            found = _evaluated(as_lm(requests), tasks, asked.limit)
        samples = {name: found["samples"][name] for name in sorted(found["samples"])}
        main = {name: _main_metric(name, found) for name in samples}
        items = [item for name in samples for item in _items(name, samples[name], main[name])]
        conditions = opened.conditions() | {
            "lm_eval": machine.versions("lm_eval").get("lm_eval"),
            "cut_texts": requests.cut,
            "tasks": {name: _task_conditions(name, found, main[name]) for name in samples},
        }
        return Measurement(items=items, conditions=conditions, faults=_faults(requests.written))

    def summarise(
        self,
        measurements: Sequence[Measurement],
        options: Mapping[str, Value],
        metric: str,
        statistic: str | None,
    ) -> Estimate:
        """The mean over tasks; see `shares.mean_interval` and `shares.mean_of_intervals`."""
        tasks = _values(measurements)
        found = mean_of_intervals([mean_interval(values) for values in tasks.values()])
        count = sum(map(len, tasks.values()))
        return Estimate(metric, None, found.value, found.low, found.high, "fraction", count)

    def paired(
        self,
        measurements: Sequence[Measurement],
        baseline: Sequence[Measurement],
        metric: str,
        factor: float,
    ) -> Interval | None:
        """By the items of each task, which are the same; see `shares.paired_mean`."""
        tasks, before = _values(measurements), _values(baseline)
        if {n: len(v) for n, v in tasks.items()} != {n: len(v) for n, v in before.items()}:
            return None
        return mean_of_intervals([paired_mean(v, before[n], factor) for n, v in tasks.items()])


def _values(measurements: Sequence[Measurement]) -> dict[str, list[float]]:
    """Task -> the main metric of its items."""
    tasks: dict[str, list[float]] = {}
    for item in (item for measured in measurements for item in measured.items):
        tasks.setdefault(item["task"], []).append(item["value"])
    return tasks


@dataclass(frozen=True, slots=True)
class _Asked:
    """The options."""

    tasks: list[str]
    folder: Path | None
    limit: int | None
    num_fewshot: int | None


def _asked(options: Mapping[str, Any]) -> _Asked:
    if not options["tasks"]:
        raise MeasurementError("lm_eval: no task is named; write lm_eval: {tasks: [...]}")
    folder = None if options["task_folder"] is None else Path(options["task_folder"])
    if folder is not None and not folder.is_dir():
        raise MeasurementError(f"lm_eval: task_folder: {folder} is a file, expected a folder")
    tasks = list(dict.fromkeys(options["tasks"]))
    return _Asked(tasks, folder, options["limit"], options["num_fewshot"])


@contextmanager
def _offline(folder: Path | None) -> Iterator[None]:
    """Nothing is downloaded meanwhile, and relative paths start from the folder."""
    import datasets.config
    import evaluate.config
    import huggingface_hub.constants

    switches = (
        (huggingface_hub.constants, "HF_HUB_OFFLINE"),
        (datasets.config, "HF_HUB_OFFLINE"),
        (evaluate.config, "HF_EVALUATE_OFFLINE"),
    )
    with no_network(*switches) as refused, nullcontext() if folder is None else chdir(folder):
        try:
            yield
        except MeasurementError as error:
            if not refused:
                raise
            raise MeasurementError(
                f"{error}; its data have to be on this machine, as nothing is downloaded "
                f"({refused[0]} was asked for)"
            ) from error


def _loaded(asked: _Asked) -> Json:
    """The tasks with their data, as the library's `evaluate` takes them."""
    manager = _manager(asked)
    for name in asked.tasks:
        if name not in manager.all_tasks:
            near = hint(name, manager.all_tasks)
            own = "" if asked.folder is None else f", nor in {asked.folder}"
            raise MeasurementError(
                f"lm_eval: there is no task {name!r} among the library's{own}{near}"
            )
    found: Json = {"tasks": {}, "groups": {}, "group_map": {}}
    for name in asked.tasks:
        for part, entries in _load(manager, name).items():
            found[part] |= entries
    for task in found["tasks"].values():
        _set_examples(task, asked.num_fewshot)
    return found


def _manager(asked: _Asked) -> Any:
    """The library's list of tasks; its own are read only where need be, as that takes seconds."""
    from lm_eval.tasks import TaskManager

    if asked.folder is not None:
        manager = TaskManager(include_path=str(asked.folder), include_defaults=False)
        if set(asked.tasks) <= set(manager.all_tasks):
            return manager
        return TaskManager(include_path=str(asked.folder))
    return TaskManager()


def _load(manager: Any, name: str) -> Json:
    try:
        found: Json = manager.load([name])
    except Exception as error:  # data sets and task files may raise anything
        raise MeasurementError(
            f"lm_eval: task {name!r} cannot be loaded: {_reason(error)}"
        ) from error
    return found


def _reason(error: BaseException) -> str:
    """The cause in words: above all that a data set is not here, and was not asked for."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) and cause not in causes:
        causes.append(cause)
    first = str(error).strip().splitlines()
    said = f"{type(error).__name__}: {first[0]}" if first else type(error).__name__
    if any(isinstance(cause, ConnectionError) for cause in causes):
        return f"its data set is not on this machine, and nothing is downloaded ({said})"
    return said


def _set_examples(task: Any, count: int | None) -> None:
    """How many examples come before a question; a task that rules them out (0) has none."""
    own = task.get_config("num_fewshot")
    if own is None or (count is not None and own != 0):
        task.set_config(key="num_fewshot", value=count or 0)
    task.set_fewshot_seed(seed=_SEED)


def _evaluated(model: Any, tasks: Json, limit: int | None) -> Json:
    """What the library reports of the tasks."""
    from lm_eval.evaluator import evaluate

    try:
        found = evaluate(model, tasks, limit=limit, bootstrap_iters=0, log_samples=True)
    except MeasurementError:
        raise
    except Exception as error:  # task files name functions, which may raise anything
        raise MeasurementError(
            f"lm_eval: {listed(tasks['tasks'], 'and')} cannot be run: {_reason(error)}"
        ) from error
    assert isinstance(found, dict), "the library reports in its first process"
    return found


def _main_metric(task: str, found: Json) -> str:
    """The metric that stands for a task, see the class."""
    samples = _first_filter(found["samples"][task])
    better = found["higher_is_better"].get(task, {})
    figures = found["results"][task]
    for name in samples[0]["metrics"]:
        values = [float(sample[name]) for sample in samples if _is_share(sample.get(name))]
        if not better.get(name) or len(values) < len(samples):
            continue
        reported = figures.get(f"{name},{samples[0]['filter']}")
        if _is_share(reported) and abs(reported - statistics.fmean(values)) < 1e-6:
            return str(name)
    raise MeasurementError(
        f"lm_eval: task {task!r} has {listed(samples[0]['metrics'], 'and')}, none of which is a "
        "number from 0 to 1 for each item with its mean as the task's figure, more being better"
    )


def _is_share(value: object) -> bool:
    """Whether it is a number from 0 to 1, of Python or of numpy."""
    from numbers import Real

    return isinstance(value, Real) and 0 <= float(value) <= 1


def _first_filter(samples: Sequence[Json]) -> list[Json]:
    """A task may filter its answers in several ways, and has every item once for each."""
    return [sample for sample in samples if sample["filter"] == samples[0]["filter"]]


def _items(task: str, samples: Sequence[Json], metric: str) -> list[Json]:
    return [
        {
            "task": task,
            "item": sample["doc_id"],
            "value": float(sample[metric]),
            "figures": {n: float(sample[n]) for n in sample["metrics"] if _is_share(sample[n])},
            "prompt": str(sample["arguments"][0][0])[-_SHOWN:],
            "target": str(sample["target"]),
            "answers": [str(answer)[:_SHOWN] for answer in sample["filtered_resps"]],
        }
        for sample in _first_filter(samples)
    ]


def _task_conditions(task: str, found: Json, metric: str) -> Json:
    samples = _first_filter(found["samples"][task])
    figures = {k: v for k, v in found["results"][task].items() if isinstance(v, (int, float))}
    return {
        "metric": metric,
        "filter": samples[0]["filter"],
        "items": len(samples),
        "version": found["versions"].get(task),
        "num_fewshot": found["n-shot"].get(task),
        "figures": figures,
    }


def _faults(written: Sequence[str]) -> list[str]:
    """Texts that are worth nothing, whatever they score."""
    if written and not any(text.strip() for text in written):
        return [f"generates nothing for all of {len(written)} prompts"]
    return []
