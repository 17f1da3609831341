"""The README of a package: a model card of what the answer's summary says, and how to run it.

What is not known is said to be unknown. Knows nothing of archives; a study's database knows more,
see `tuner.report.card`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tuner.packaging.answer_folder import Contents
from tuner.packaging.cleaning import is_elsewhere, last_name, without_paths
from tuner.report.card_markdown import code, text
from tuner.report.words import interval_text

Json = Mapping[str, Any]

_FORMATS = {
    "genai": "an ONNX Runtime GenAI model",
    "onnx": "an encoder for ONNX Runtime",
    "hf": "a transformers checkpoint",
    "quantized": "a transformers checkpoint with packed weights (GPTQ layout)",
    "adapter": "a peft adapter",
}


def readme(
    found: Contents, requirements: Sequence[str], *, sample: bool, notes: Sequence[str]
) -> str:
    """The text, in Markdown. `notes`: what its reader has to know of the package."""
    sections = [
        f"# {text(_name(found))}",
        _opening(found),
        "## How to run\n\n" + _running(requirements, sample),
        _results(found),
        _pipeline(found),
        "## Licence\n\n" + _licence(found),
    ]
    if notes:
        sections.append("## Notes\n\n" + "\n".join(f"- {text(note)}" for note in notes))
    return without_paths("\n\n".join(s.strip("\n") for s in sections if s) + "\n")


def files_of_licence(found: Contents) -> list[str]:
    """The names of licence and notice files in the model's folder, and beside it."""
    folders = dict.fromkeys([found.model.path, found.folder])
    starts = ("license", "licence", "notice", "copying")
    names = (p.name for folder in folders for p in folder.iterdir() if p.is_file())
    return sorted({name for name in names if name.lower().startswith(starts)})


def _name(found: Contents) -> str:
    space = found.summary.get("space")
    named = space.get("name") if isinstance(space, Mapping) else None
    return str(named or found.recipe.get("name") or found.folder.name)


def _opening(found: Contents) -> str:
    lines = [f"This is {_FORMATS[found.model.format]}."]
    space = found.summary.get("space")
    source = space.get("model") if isinstance(space, Mapping) else found.recipe.get("model")
    if isinstance(source, str):
        named = last_name(source) if is_elsewhere(source) else source
        lines.append(f"Made by `tune` from {code(named)}.")
    asked = found.summary.get("objectives") or ()
    limits = found.summary.get("constraints") or ()
    if asked:
        wanted = ", ".join(code(objective) for objective in asked)
        under = f", under {', '.join(code(limit) for limit in limits)}" if limits else ""
        lines.append(f"Asked for: {wanted}{under}.")
    if found.base is not None:
        lines.append("The adapter's base model is in `base/`.")
    elif found.base_name is not None and not is_elsewhere(found.base_name):
        lines.append(f"The adapter's base model is {code(found.base_name)}.")
    elif found.model.base is not None:
        name = code(last_name(str(found.model.base.path)))
        lines.append(f"The adapter's base model, {name}, is not in this package.")
    if found.adapters:
        lines.append(f"Adapters: {', '.join(code(name) for name in found.adapters)}.")
    return "\n".join(lines)


def _running(requirements: Sequence[str], sample: bool) -> str:
    if not sample:
        return f"With {', '.join(code(line) for line in requirements)}; the model is in `model/`."
    return (
        "    pip install -r requirements.txt\n"
        "    python sample.py\n\n"
        "The program says what it has to be told."
    )


def _results(found: Contents) -> str:
    chosen = found.summary.get("chosen")
    metrics = chosen.get("metrics") if isinstance(chosen, Mapping) else None
    if not isinstance(metrics, Mapping) or not metrics:
        return "## Results\n\nNothing is known here of what was measured of this model."
    baseline = found.summary.get("baseline")
    before = baseline.get("metrics") if isinstance(baseline, Mapping) else None
    rows = ["| metric | this model | the model that came in |", "| --- | --- | --- |"]
    for name, value in metrics.items():
        other = before.get(name) if isinstance(before, Mapping) else None
        rows.append(f"| {text(name)} | {_value(value)} | {_value(other)} |")
    note = "Estimates with their 95 % intervals, on the machine of the search."
    return f"## Results\n\n{note}\n\n" + "\n".join(rows)


def _value(metric: Any) -> str:
    if not isinstance(metric, Mapping) or metric.get("value") is None:
        return ""
    ends = {k: metric["value"] if metric.get(k) is None else metric[k] for k in ("low", "high")}
    return text(interval_text({**metric, **ends}))


def _pipeline(found: Contents) -> str:
    steps = list(_steps(found.recipe.get("pipeline")))
    if not steps:
        return ""
    return "## What was done\n\n" + "\n".join(
        f"{number}. {line}" for number, line in enumerate(steps, 1)
    )


def _steps(pipeline: Any) -> Iterator[str]:
    for step in pipeline if isinstance(pipeline, list) else ():
        if isinstance(step, str):
            yield code(step)
        elif isinstance(step, Mapping):
            for name, values in step.items():
                if isinstance(values, Mapping):
                    parts = (f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in values.items())
                    yield f"{code(name)}: {', '.join(map(code, parts))}"


def _licence(found: Contents) -> str:
    there = files_of_licence(found)
    if there:
        return f"See {', '.join(code(name) for name in there)}, which came with the model."
    return (
        "Unknown, to be filled in: no licence came with the model. A model made from another is "
        "bound by its licence, and by that of the data it was trained on."
    )
