"""The page of the side-by-side. Knows nothing of how jobs are run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]

_NAMES = {"olive": "Olive", "tune": "`tune`"}


def page(result: Json) -> str:
    """Markdown: a table, and the end of every screen."""
    machine, runs = result["machine"], result["runs"]
    head = [
        f"# Olive and `tune` side by side, {machine['date']}",
        "",
        "`python benchmarks/olive/compare.py --olive ENVIRONMENT/bin/olive`: the same small jobs "
        "on SmolLM2-135M-Instruct (fp32), one after the other, each from an empty cache; the jobs",
        f"are in `benchmarks/olive/jobs.py`. {machine['cores']} cores of an {machine['cpu']}, "
        f"shared with others (load {machine['load']} at the end): one run of each, no intervals.",
        "",
        *_versions(result["versions"]),
        "",
        "Memory is the most that all processes held at once, what they share counted once.",
        "",
        "| job | program | exit | time | CPU time | memory | models | lines on the screen |",
        "|---|---|---|---|---|---|---|---|",
    ]
    rows = [_row(run) for run in runs]
    return "\n".join([*head, *rows, "", *_screens(runs)]) + "\n"


def _versions(versions: Json) -> list[str]:
    return [
        f"- {_NAMES[program]}: " + ", ".join(f"{name} {v}" for name, v in found.items())
        for program, found in versions.items()
    ]


def _row(run: Json) -> str:
    end = f"cut off after {run['seconds']:.0f} s" if run["cut_off"] else str(run["exit_code"])
    traces = f", {run['tracebacks']} tracebacks" if run["tracebacks"] else ""
    cells = [
        run["title"] + (", again" if run["again"] else ""),
        _NAMES[run["program"]],
        end,
        f"{run['seconds']:.1f} s",
        f"{run['cpu_seconds']:.0f} s",
        f"{run['memory'] / 1e9:.2f} GB",
        _models(run["models"]),
        f"{run['lines']}{traces}",
    ]
    return "| " + " | ".join(cells) + " |"


def _models(models: Sequence[Json]) -> str:
    return ", ".join(f"{model['bytes'] / 1e6:.0f} MB" for model in models) or "none"


def _screens(runs: Sequence[Json]) -> list[str]:
    lines = ["## What is on the screen at the end", ""]
    for run in runs:
        again = ", again" if run["again"] else ""
        lines += [f"{run['title']}{again}, {_NAMES[run['program']]}:", "", "```"]
        lines += [line[:160] for line in run["screen"]]
        lines += ["```", ""]
    return lines[:-1]
