"""The model card of a study's model: Markdown with the front matter that model hubs read.

Everything comes from the study's database; what that does not know is said to be unknown. Text
from a study is quoted so that it stays text. How to run the model is in `usage`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import yaml

from evaluators.floors import Floors
from search_spaces.data_report import DataReport
from tuner.report.card_markdown import code, fenced, one_line, plain, text
from tuner.report.card_measuring import measuring_lines
from tuner.report.stored_recipe import parts_of_the_space, recipe_of
from tuner.report.usage import Usage, pass_helps, usage_of
from tuner.report.words import duration, interval_text, metric_name, plural
from tuner.study.api import Study, Trial

Json = Mapping[str, Any]

_SMALL_TEST = 500  # rows; with fewer, a share is known to a few points only
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_HUB_TYPES = {"macro_f1": "f1"}  # as model hubs name a metric


def card(study: Study, trial: Trial) -> str:
    """The card of a trial's model, ending in a newline."""
    usage = usage_of(study, trial)
    name = _name(study)
    sections = [
        _front_matter(study, trial, usage),
        f"# {text(name)}, trial {trial.number}",
        _opening(study, trial),
        _results(study, trial),
        "## How to run\n\n" + _running(trial, usage),
        "## What was done\n\n" + _pipeline(trial),
        "## Base model and data\n\n" + _origin(study),
        "## How it was measured\n\n" + _measuring(study, trial),
        "## Limits and known weaknesses\n\n" + _weaknesses(study, trial),
        "## Licence\n\n" + _licence(study),
        "## Environment\n\n" + _environment(study),
        "## Recipe\n\n" + _recipe(study, trial),
    ]
    return "\n\n".join(section.strip("\n") for section in sections if section) + "\n"


def _name(study: Study) -> str:
    return one_line(study.info.space.get("name") or study.name)


# The front matter


def _front_matter(study: Study, trial: Trial, usage: Usage | None) -> str:
    space = parts_of_the_space(study)
    found: dict[str, Any] = {"license": one_line(study.info.space.get("license") or "unknown")}
    model = str(study.info.space.get("model") or "").partition("@")[0]
    if _HUB_ID.fullmatch(model):
        found["base_model"] = model
    if usage is not None:
        found["library_name"] = usage.library
    if space.get("task"):
        found["pipeline_tag"] = one_line(space["task"])
    passes = [one_line(step["pass"]) for step in trial.row.steps]
    found["tags"] = list(dict.fromkeys([*(usage.tags if usage is not None else ()), *passes]))
    results = _model_index(study, trial, str(space.get("task") or "other"))
    if results:
        found["model-index"] = [{"name": _name(study), "results": [results]}]
    dumped = yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=96)
    return f"---\n{dumped}---"


def _model_index(study: Study, trial: Trial, task: str) -> dict[str, Any] | None:
    """What the model did on held-out data, else in the search."""
    split, estimates = _estimates(study, trial)
    if not estimates:
        return None
    metrics = [
        {
            "type": _HUB_TYPES.get(e["metric"], one_line(e["metric"])),
            "name": f"{metric_name(e['metric'], e['statistic'])} ({e['unit'] or 'number'})",
            "value": e["value"],
        }
        for e in estimates
        if e["value"] is not None
    ]
    data = {"name": _data_name(study), "type": "private", "split": split}
    return {"task": {"type": task}, "dataset": data, "metrics": metrics}


def _data_name(study: Study) -> str:
    data = parts_of_the_space(study).get("data")
    files = data.get("files") if isinstance(data, Mapping) else None
    of_hub = isinstance(files, Mapping) and "hub" in files
    first = next(iter(files.values()), "") if isinstance(files, Mapping) and not of_hub else files
    first = first[0] if isinstance(first, list) and first else first
    return one_line((first.get("hub") if isinstance(first, Mapping) else first) or "none")


def _estimates(study: Study, trial: Trial) -> tuple[str, Sequence[Json]]:
    """The split, and the estimates: of the confirmation where there is one."""
    confirmed = study.confirmations.get(trial.number)
    if confirmed is not None:
        return "test", confirmed.estimates
    rows = dict.fromkeys(trial.metrics.values())
    names = ("metric", "statistic", "value", "low", "high", "unit", "samples", "ratio")
    return "dev", [{name: getattr(row, name) for name in names} for row in rows]


# What it is and does


def _opening(study: Study, trial: Trial) -> str:
    model, verdict = study.info.space.get("model"), trial.row.verdict or trial.row.state
    asked = ", ".join(code(o["text"]) for o in study.info.objectives)
    limits = ", ".join(code(c["text"]) for c in study.info.constraints) or "no constraints"
    chosen = study.best is not None and study.best.number == trial.number
    what = "the chosen one" if chosen else "not the chosen one"
    role = (
        "the unoptimised model itself"
        if trial.number < 0
        else f"{what} of {plural(len(study.trials), 'candidate')} that were tried ({verdict})"
    )
    lines = [
        f"Made by `tune` from {code(model)}: {role}.",
        f"Asked for: {asked or 'nothing'}; under {limits}.",
    ]
    if not chosen and trial.number >= 0 and study.best is not None:
        lines.append(f"The study chose trial {study.best.number}.")
    return "\n".join(lines)


def _results(study: Study, trial: Trial) -> str:
    split, estimates = _estimates(study, trial)
    if not estimates:
        return "## Results\n\nNo numbers were measured of this model."
    baseline = _baseline_of(study, trial)
    searched = {metric_name(m.metric, m.statistic): m for m in trial.metrics.values()}
    confirmed = split == "test"
    head = ["metric", "this model", "the unoptimised model", "change", "limits"]
    head[2:2] = ["in the search"] if confirmed else []
    rows = [head, ["---"] * len(head)]
    for e in estimates:
        name = metric_name(e["metric"], e["statistic"])
        before = baseline.get(name)
        cells = [text(name), _value(e)]
        if confirmed:
            row = searched.get(name)
            cells.append("" if row is None else _value({k: getattr(row, k) for k in _ENDS}))
        cells += ["" if before is None else _value(before), _change(e, before)]
        rows.append([*cells, _limits(study, trial, e)])
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    how = "held-out data that the search never saw" if confirmed else "the data of the search"
    note = f"Estimates with their 95 % intervals, on {how}."
    return f"## Results\n\n{note}\n\n{table}"


_ENDS = ("value", "low", "high", "unit")


def _value(estimate: Json) -> str:
    if estimate["value"] is None:
        return "not a number"
    low, high = (estimate["value"] if estimate[k] is None else estimate[k] for k in ("low", "high"))
    return text(interval_text({**estimate, "low": low, "high": high}))


def _baseline_of(study: Study, trial: Trial) -> dict[str, Json]:
    """The unoptimised model's numbers, where it was measured beside this one, those."""
    confirmed = study.confirmations.get(trial.number)
    if confirmed is not None:
        found: Sequence[Json] = confirmed.baseline
    elif study.baseline is None or trial.number < 0:
        found = ()
    else:
        found = _estimates(study, study.baseline)[1]
    return {metric_name(e["metric"], e["statistic"]): e for e in found}


def _change(estimate: Json, before: Json | None) -> str:
    if estimate.get("ratio") is not None:
        value, low, high = estimate["ratio"]
        return f"x{value:.3g} ({low:.3g}-{high:.3g})"
    if before is None or before["value"] is None or estimate["value"] is None:
        return ""
    if estimate["unit"] == "fraction":
        return f"{100 * (estimate['value'] - before['value']):+.1f} points"
    return f"x{estimate['value'] / before['value']:.3g}" if before["value"] else ""


def _limits(study: Study, trial: Trial, estimate: Json) -> str:
    """The constraints on a metric and their verdicts, by the same numbers."""
    confirmed = study.confirmations.get(trial.number)
    judged = (
        [(c["text"], c["metric"], c["statistic"], c["verdict"]) for c in confirmed.constraints]
        if confirmed is not None
        else [(c.text, c.metric, c.statistic, c.verdict) for c in trial.constraints]
    )
    name = metric_name(estimate["metric"], estimate["statistic"])
    return ", ".join(f"{code(t)} {v}" for t, m, s, v in judged if metric_name(m, s) == name)


def _running(trial: Trial, usage: Usage | None) -> str:
    if usage is not None:
        return f"With {usage.packages}:\n\n{fenced(usage.snippet, 'python')}"
    by = f" (the pass {code(trial.row.steps[-1]['pass'])} made it)" if trial.row.steps else ""
    about = f"The format of the model{by} is not known here: load the folder `model/` as its"
    return f"{about} pass documents it."


def _pipeline(trial: Trial) -> str:
    if not trial.row.steps:
        return "Nothing: the model is as it was."
    helps = pass_helps()
    lines = ["The steps in order, with every value:", ""]
    for position, step in enumerate(trial.row.steps, 1):
        parameters = step["parameters"].items()
        values = [code(f"{k}={json.dumps(v, ensure_ascii=False)}") for k, v in parameters]
        about = helps.get(step["pass"], "")
        lines.append(f"{position}. **{text(step['pass'])}** {text(about)}".rstrip())
        if values:
            lines.append(f"   {', '.join(values)}")
    return "\n".join(lines)


def _origin(study: Study) -> str:
    info = study.info.space
    lines = [f"- Base model: {code(info.get('model'))}"]
    question = info.get("question")
    if isinstance(question, Mapping):
        lines.append(f"- Content of the base model (SHA-256): {code(question.get('model'))}")
    check = study.data_check
    if check is None:
        return "\n".join([*lines, "- Data: none"])
    lines.append(
        f"- Data: {code(_data_name(study))}; {text(DataReport.from_json(check['report']))}"
    )
    keys = question.get("data_keys") if isinstance(question, Mapping) else None
    for split, key in keys.items() if isinstance(keys, Mapping) else ():
        lines.append(f"- Content of the {text(split)} rows (SHA-256): {code(key)}")
    data = parts_of_the_space(study).get("data")
    if isinstance(data, Mapping) and data.get("template"):
        lines += ["- A row is put into words as", "", fenced(plain(str(data["template"])), "text")]
    elif isinstance(data, Mapping) and isinstance(data.get("chat"), Mapping):
        said = [f"{name}: {value}" for name, value in data["chat"].items()]
        words = fenced(plain("\n".join(said)), "text")
        lines += ["- A row is a conversation, in the model's own chat template", "", words]
    return "\n".join(lines)


# How far it can be trusted


def _measuring(study: Study, trial: Trial) -> str:
    lines = [f"- {text(line)}" for line in measuring_lines(study, trial)]
    return "\n".join(lines) or "Nothing was measured."


def _weaknesses(study: Study, trial: Trial) -> str:
    return "\n".join(f"- {line}" for line in _weaknesses_of(study, trial))


def _weaknesses_of(study: Study, trial: Trial) -> Iterator[str]:
    confirmed = study.confirmations.get(trial.number)
    if trial.number >= 0 and confirmed is None:
        yield (
            "It was never measured on held-out data: of many candidates the best look better than "
            "they are."
        )
    judged = {c.text: c.verdict for c in trial.constraints}
    if confirmed is not None:
        judged |= {c["text"]: c["verdict"] for c in confirmed.constraints}
    for constraint, verdict in judged.items():
        if verdict == "infeasible":
            yield f"It does not meet {code(constraint)}."
        elif verdict == "undecided":
            yield f"Whether it meets {code(constraint)} is undecided: the interval holds the limit."
    yield from _data_weaknesses(study)
    yield (
        "Times are of one machine (see Environment) and of the workload above; on another machine "
        "measure again."
    )
    yield (
        "Only the metrics above were measured: nothing is known of bias, safety, other languages "
        "or other uses. What holds of the base model holds of this one."
    )


def _data_weaknesses(study: Study) -> Iterator[str]:
    check = study.data_check
    if check is None:
        return
    report = DataReport.from_json(check["report"])
    rows = report.splits.get("test", report.splits.get("dev"))
    if rows is not None and rows < _SMALL_TEST:
        yield f"The held-out data is small ({plural(rows, 'row')}): the intervals are wide."
    for split, data in check["floors"].items():
        yield f"Accuracy on {text(split)} without any model: {text(Floors.from_json(data))}."
    for finding in report.warnings:
        yield f"The data: {text(finding.message)}"


def _licence(study: Study) -> str:
    known = study.info.space.get("license")
    base = (
        f"The base model says {code(known)}."
        if known
        else "Unknown, to be filled in: the study does not know the licence of the base model."
    )
    return (
        f"{base} A model made from another is bound by its licence; that of the data it was "
        "trained on is not known to the study either."
    )


def _environment(study: Study) -> str:
    lines = [f"- {text(k)}: {text(v)}" for k, v in study.info.environment.items()]
    made = datetime.fromtimestamp(study.info.created_at, UTC).strftime("%Y-%m-%d")
    worked = duration(study.seconds)
    lines.append(f"- the study {code(study.name)} began on {made} (UTC); {worked} of work")
    return "\n".join(lines)


def _recipe(study: Study, trial: Trial) -> str:
    recipe = recipe_of(study, trial)
    if recipe is None:
        return "The study's space cannot be read any more; the steps above are all that is known."
    note = "`tune --space recipe.yaml` makes the model again; paths are as the space had them."
    return f"{note}\n\n{fenced(plain(recipe), 'yaml')}"
