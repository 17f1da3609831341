"""`tune finetune`: train an adapter or all weights, and measure what that changed.

Knows which passes train and what is worth measuring of their results.
"""

from __future__ import annotations

from collections.abc import Mapping

from search_spaces.problems import Problem, SpaceError
from tuner.steps.space import Plan, StepWish
from tuner.steps.wish import Wish

METHODS: Mapping[str, str] = {"lora": "lora", "qlora": "qlora", "full": "full_finetune"}
"""What the command line calls it -> the pass."""


def finetune_plan(wish: Wish, method: str, *, merge: bool) -> Plan:
    """Train, merge if asked; SpaceError where nothing is to be merged."""
    if merge and method == "full":
        raise SpaceError(
            [Problem("full training makes no adapter that could be merged", "--merge")]
        )
    values: dict[str, tuple[str, str | None]] = {}
    if not wish.encodes and _learns_all(wish):
        values["loss"] = ("full", "the whole text is learned")
    steps = [StepWish(METHODS[method], values)]
    steps += [StepWish("merge_adapter")] if merge else []
    return Plan(steps, *_measured(wish))


def _learns_all(wish: Wish) -> bool:
    """Whether no part of a text is the answer, or texts are strung together."""
    assert wish.data is not None, "training needs data"
    if "packing" in wish.settings:
        return True
    return not {"label", "chat"} & set(wish.data.settings)


def _measured(wish: Wish) -> tuple[dict[str, str], list[str]]:
    """Evaluators and objectives."""
    metrics: dict[str, str] = {}
    objectives: list[str] = []
    if wish.classifies:
        metrics["accuracy"] = "{}"
        objectives.append("maximize accuracy")
    if not wish.encodes:
        metrics["perplexity"] = "{}"
        objectives.append("minimize perplexity")
    return metrics, objectives
