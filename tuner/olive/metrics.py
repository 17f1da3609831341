"""What an Olive evaluator measures, ranks and asks for: metrics, objectives and constraints.

Olive's times are in milliseconds, its sizes in bytes, and its relative goals relate to the input
model, which is the baseline here. Measures nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tuner.olive.config import OliveMetric, Setting
from tuner.olive.draft import Draft, Kind, StepDraft

_STATISTICS = {name: name for name in ("p50", "p90", "p95", "p99", "min")} | {"avg": "mean"}
_NEAREST = {"max": "p99", "p75": "p90", "p999": "p99"}
_REQUESTS = {"p99": 25}
"""Requests of a block, of which there are 12, for as many samples as a statistic needs."""

_ACCURACIES = {
    "accuracy_score": "accuracy",
    "accuracy": "accuracy",
    "f1_score": "f1",
    "f1": "f1",
    "exact_match": "exact_match",
    "perplexity": "perplexity",
}
_EVALUATOR_OF = {
    "accuracy": "accuracy",
    "f1": "accuracy",
    "macro_f1": "accuracy",
    "exact_match": "generation",
    "perplexity": "perplexity",
    "latency": "latency",
    "throughput": "throughput",
    "items_throughput": "throughput",
    "size": "size",
    "lm_eval": "lm_eval",
}
_UNITS = {"latency": "ms", "size": "B", "throughput": "tokens/s", "items_throughput": "items/s"}
_LOWER = frozenset({"latency", "size", "perplexity"})
_FRACTIONS = frozenset({"accuracy", "f1", "macro_f1", "exact_match", "lm_eval"})

_HARNESS = "LMEvaluator"
_HARNESS_KEYS = ("limit", "num_fewshot")
_HARNESS_ASIDE = frozenset(
    {
        "batch_size",
        "bootstrap_iters",
        "device",
        "execution_provider",
        "max_length",
        "model_class",
        "name",
        "provider_options",
        "sample_log_dir",
        "sample_log_num",
    }
)


@dataclass(frozen=True, slots=True)
class _Metric:
    """A metric here, with the statistic where it has some."""

    name: str
    statistic: str | None = None

    @property
    def text(self) -> str:
        """As objectives and constraints name it; p50 is what a time is without a statistic."""
        plain = self.statistic in (None, "p50")
        return self.name if plain else f"{self.name}.{self.statistic}"


def describe(draft: Draft) -> None:
    """Fill in the draft's metrics, objectives and constraints, by its evaluator's.

    Without an evaluator, or with one of which nothing can be measured here, what the model takes
    is measured: time, size, and how well it does on rows that were held out.
    """
    config = draft.config
    name = None if config.evaluator is None else str(config.evaluator.value)
    ranked: list[tuple[int, str]] = []
    for metric in config.evaluators.get(name or "", ()):
        ranked += _metric(draft, metric)
    _unused(draft, name)
    for _, objective in sorted(ranked, key=lambda item: item[0]):
        if objective not in draft.objectives:
            draft.objectives.append(objective)
    if not draft.objectives:
        _sensible(draft)


def is_encoder(draft: Draft) -> bool:
    """Whether the result classifies rather than generates."""
    steps = (step.pass_ for step in steps_of(draft.pipeline))
    return draft.model_kind == "encoder" or "onnx_export" in steps


def steps_of(pipeline: Iterable[StepDraft | list[list[StepDraft]]]) -> Iterable[StepDraft]:
    """Every step, those of all alternatives too."""
    for item in pipeline:
        if isinstance(item, StepDraft):
            yield item
        else:
            yield from (step for alternative in item for step in alternative)


def _unused(draft: Draft, used: str | None) -> None:
    for name, metrics in draft.config.evaluators.items():
        if name != used and metrics:
            where = metrics[0].where.split(".metrics")[0].split("[")[0]
            setting = Setting(name, where, metrics[0].line)
            reason = "no evaluator of this name is asked for, by Olive neither"
            draft.omit(setting, Kind.ASIDE, reason, "evaluators that nothing asks for")


def _sensible(draft: Draft) -> None:
    """What can be said of any result, for a config that measures nothing."""
    draft.metrics.setdefault("latency", {})
    draft.metrics.setdefault("size", {})
    quality = quality_metric(draft)
    if quality is not None and held_out(draft):
        draft.metrics.setdefault(_EVALUATOR_OF[quality], {})
    draft.objectives.append("minimize latency")


def held_out(draft: Draft) -> bool:
    """Whether the config itself keeps rows from training, to judge by."""
    data = draft.data or {}
    files = data.get("files")
    share = data.get("split", {}).get("dev", 0)
    return bool(share) or (isinstance(files, Mapping) and "dev" in files)


def quality_metric(draft: Draft) -> str | None:
    """How well a model does on the space's rows; None where there are none."""
    if draft.data is None:
        return None
    if is_encoder(draft) or draft.task == "text-classification":
        return "accuracy" if "label" in draft.data else None
    return "perplexity"


# One metric


def _metric(draft: Draft, found: OliveMetric) -> list[tuple[int, str]]:
    """Take over one sub-type; its rank and objective, where it is ranked."""
    if found.type.casefold() == _HARNESS.casefold():
        return _harness(draft, found)
    metric = _counterpart(draft, found)
    if metric is None:
        return []
    options = draft.metrics.setdefault(_EVALUATOR_OF[metric.name], {})
    if metric.statistic in _REQUESTS:
        options["requests"] = _REQUESTS[metric.statistic]
    _settings(draft, found)
    if found.priority is None:
        if found.goal is not None:
            _omit(draft, found, Kind.ASIDE, "Olive, too, looks at goals of ranked metrics only")
        return []
    if found.goal is not None:
        _constrain(draft, found, metric)
    better = "minimize" if metric.name in _LOWER else "maximize"
    return [(found.priority, f"{better} {metric.text}")]


def _counterpart(draft: Draft, found: OliveMetric) -> _Metric | None:
    match found.type:
        case "latency":
            return _timed(draft, found, "latency", _STATISTICS)
        case "throughput":
            name = "items_throughput" if is_encoder(draft) else "throughput"
            return _timed(draft, found, name, {"avg": "mean", "p50": "p50"})
        case "size_on_disk":
            return _Metric("size")
        case "accuracy":
            return _accuracy(draft, found)
        case "custom":
            reason = "a function of yours measures it; see `function:` under metrics of a space"
            _omit(draft, found, Kind.OMITTED, reason, "functions of a user's own that measure")
        case _:
            reason = f"nothing here measures what {found.type} does"
            _omit(draft, found, Kind.OMITTED, reason, "metrics that are not here")
    return None


def _timed(
    draft: Draft, found: OliveMetric, name: str, statistics: Mapping[str, str]
) -> _Metric | None:
    statistic = statistics.get(found.sub_type)
    if statistic is not None:
        return _Metric(name, statistic)
    if found.priority is None:
        reason = "it is only reported; the report has all statistics that samples support"
        _omit(draft, found, Kind.ASIDE, reason)
        return _Metric(name, next(iter(statistics.values())))
    near = _NEAREST.get(found.sub_type) if name == "latency" else "mean"
    reason = f"{name} has no {found.sub_type}, which a few samples cannot tell; nearest is {near}"
    _omit(draft, found, Kind.OMITTED, reason, "statistics that are not here")
    return None


def _accuracy(draft: Draft, found: OliveMetric) -> _Metric | None:
    name = _ACCURACIES.get(found.sub_type)
    if name is None:
        reason = f"nothing here measures {found.sub_type}; there are accuracy, f1 and macro_f1"
        _omit(draft, found, Kind.OMITTED, reason, "metrics that are not here")
        return None
    if name == "f1":
        name = _f1(found)
    encoder = is_encoder(draft)
    if name == "perplexity":
        lacks = "a language model and rows" if encoder or draft.data is None else None
    elif name == "exact_match" and encoder:
        lacks = "a language model"
    else:
        lacks = None if "label" in (draft.data or {}) else "rows with labels"
    if lacks is not None:
        reason = f"{name} needs {lacks}, which this config does not give"
        _omit(draft, found, Kind.OMITTED, reason, "metrics without rows to measure on")
        return None
    return _Metric(name)


def _f1(found: OliveMetric) -> str:
    """The F1 that is meant: over all labels alike, by rows (as torchmetrics has it), or of one."""
    told = {key: setting.value for key, setting in found.settings.items()}
    for inner in ("metric_config", "compute_params"):
        nested = told.get(inner)
        told |= nested if isinstance(nested, Mapping) else {}
    average = told.get("average")
    if average == "micro" or (average is None and told.get("task") == "multiclass"):
        return "accuracy"  # of one label a row, micro-averaged F1 is the accuracy
    return "macro_f1" if average == "macro" else "f1"


def _settings(draft: Draft, found: OliveMetric) -> None:
    """What else stands at a metric: how it is run, which is told otherwise here."""
    for key, setting in found.settings.items():
        if setting.value in (None, {}, []):
            continue
        if key in ("warmup_num", "repeat_test_num", "sleep_num", "metric_config", "io_bind"):
            reason = "warm-up and repetitions follow from what is measured; see docs/measurement.md"
        elif key in ("user_script", "script_dir", "post_processing_func", "dataloader_func"):
            reason = "no code of a config is run; rows come from data:"
        else:
            reason = "it says how Olive runs the model to measure it"
        draft.omit(setting, Kind.ASIDE, reason, "how metrics are run")


# Goals


def _constrain(draft: Draft, found: OliveMetric, metric: _Metric) -> None:
    assert found.goal is not None, "the caller looked"
    kind, value = found.goal
    limit = _limit(kind, value, metric.name)
    if limit is None:
        reason = f"a goal of {kind} {value:g} leaves nothing, or nothing to hold"
        _omit(draft, found, Kind.OMITTED, reason, "goals that nothing can meet")
        return
    sign = "<=" if metric.name in _LOWER else ">="
    draft.constraints.append(f"{metric.text}{sign}{limit}")


def _limit(kind: str, value: float, name: str) -> str | None:
    """The limit's text; None where there is none such."""
    if not math.isfinite(value):
        return None
    if kind == "threshold":
        usable = 0 <= value <= 1 if name in _FRACTIONS else value > 0
        return f"{_number(value)}{_UNITS.get(name, '')}" if usable else None
    better = -1 if name in _LOWER else 1
    change = better if kind.endswith("min-improvement") else -better
    if kind.startswith("percent"):
        factor = round(1 + change * value / 100, 12)
        return f"{_number(factor)}*baseline" if factor > 0 else None
    if value == 0:
        return "baseline"
    if name in _FRACTIONS:
        return f"baseline{'+' if change > 0 else '-'}{_number(round(value * 100, 10))}%"
    return f"baseline{'+' if change > 0 else '-'}{_number(value)}{_UNITS.get(name, '')}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _omit(draft: Draft, found: OliveMetric, kind: Kind, reason: str, group: str = "") -> None:
    label = f"{found.type} {found.sub_type}".strip()
    setting = Setting(label, found.where, found.line)
    draft.omit(setting, kind, reason, group or "how metrics are run")


# Tasks of lm-evaluation-harness


def _harness(draft: Draft, found: OliveMetric) -> list[tuple[int, str]]:
    if is_encoder(draft):
        reason = "tasks of lm-evaluation-harness are for language models"
        _omit(draft, found, Kind.OMITTED, reason, "metrics that are not here")
        return []
    names, others = _tasks(found.settings.get("tasks"))
    if others is not None:
        reason = "a task in the config itself; write it as a file, and name its task_folder"
        draft.omit(others, Kind.OMITTED, reason, "tasks in the config itself")
    _harness_rest(draft, found)
    if not names:
        return []
    options: dict[str, Any] = {"tasks": names}
    for key in _HARNESS_KEYS:
        told = found.settings.get(key)
        if told is not None and told.value is not None:
            options |= _whole(draft, told, key)
    draft.metrics["lm_eval"] = options
    draft.metrics.setdefault("latency", {})
    draft.metrics.setdefault("size", {})
    return [(found.priority or 1, "maximize lm_eval")]


def _tasks(setting: Setting | None) -> tuple[list[str], Setting | None]:
    value = None if setting is None else setting.value
    listing = value if isinstance(value, list) else [] if value is None else [value]
    names = [task for task in listing if isinstance(task, str)]
    others = [task for task in listing if not isinstance(task, str)]
    if setting is None or not others:
        return names, None
    return names, Setting(others, setting.where, setting.line)


def _whole(draft: Draft, setting: Setting, key: str) -> dict[str, int]:
    value = setting.value
    least = 1 if key == "limit" else 0
    is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if is_whole and not isinstance(value, bool) and value >= least:
        return {key: int(value)}
    reason = f"{key} is a whole number here; a share of a task's items is not"
    draft.omit(setting, Kind.OMITTED, reason, "how metrics are run")
    return {}


def _harness_rest(draft: Draft, found: OliveMetric) -> None:
    for key, setting in found.settings.items():
        if key in ("tasks", *_HARNESS_KEYS) or setting.value in (None, {}, [], False):
            continue
        if key in _HARNESS_ASIDE:
            reason = "the evaluator chooses how the model is run; its results do not depend on it"
            draft.omit(setting, Kind.ASIDE, reason, "how metrics are run")
        else:
            reason = "tasks are asked as lm-evaluation-harness has them"
            draft.omit(setting, Kind.OMITTED, reason, "how tasks are asked")
