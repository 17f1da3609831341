"""What stages and measurements have cost so far, from the store alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tuner.pipeline.store import Store


@dataclass(frozen=True, slots=True)
class PassCosts:
    """Mean seconds by pass, and by evaluator (all processes of a measurement together)."""

    stages: Mapping[str, float]
    measurements: Mapping[str, float]


def known_costs(root: Path, passes: Mapping[str, str], evaluators: Iterable[str]) -> PassCosts:
    """The means over everything in the store at `root`; nothing where there is no store."""
    if not root.is_dir():
        return PassCosts({}, {})
    seconds: dict[str, list[float]] = {}
    models: dict[str, set[str]] = {}
    for entry in Store(root).entries():
        name = str(entry.meta.get("pass", ""))
        seconds.setdefault(name, []).append(float(entry.meta.get("seconds", 0.0)))
        models.setdefault(name, set()).add(str(entry.meta.get("description", {}).get("model")))
    wanted = set(passes.values()) & seconds.keys()
    measured = {e: f"measure {e}" for e in evaluators if f"measure {e}" in seconds}
    return PassCosts(
        {name: sum(seconds[name]) / len(seconds[name]) for name in wanted},
        {e: sum(seconds[name]) / len(models[name]) for e, name in measured.items()},
    )
