"""Drafts of configs made on the spot, for tests of what Olive's passes become."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuner.olive.config import OliveConfig, OliveData, OliveModel, OlivePass, OliveSearch, Setting
from tuner.olive.draft import Draft, Kind, Omission, StepDraft
from tuner.olive.passes.work import Work

Pass = tuple[str, Mapping[str, Any]]


def settings(values: Mapping[str, Any], where: str, line: int) -> dict[str, Setting]:
    """Values as settings, all of one line."""
    return {key: Setting(value, f"{where}.{key}", line) for key, value in values.items()}


def draft_of(
    *passes: Pass | list[Pass],
    kind: str | None = "causal",
    provider: str = "CPUExecutionProvider",
    rows: Mapping[str, Any] | None = None,
    search: Mapping[str, Any] | None = None,
    model: str = "HfModel",
) -> Draft:
    """A draft with these passes, named p0, p1, ... on lines 1, 2, ...; a list holds alternatives.

    `rows`: the pre-processing of a data config called "rows"; None: there is none.
    """
    found = tuple(
        tuple(_pass(number, *one) for one in (item if isinstance(item, list) else [item]))
        for number, item in enumerate(passes)
    )
    given = {"rows": _rows(rows)} if rows is not None else {}
    task = "text-classification" if kind == "encoder" else "text-generation"
    config = OliveConfig(
        Path("config.json"),
        "today",
        OliveModel(
            Setting(model, "input_model.type", 1), None, Setting(task, "input_model.task", 1), {}
        ),
        found,
        given,
        search=None if search is None else OliveSearch("search", 1, settings(search, "search", 1)),
    )
    return Draft(config, model_kind=kind, task=task, provider=provider, data={"files": "rows.json"})


def _pass(number: int, type_: str, values: Mapping[str, Any]) -> OlivePass:
    where, line = f"passes.p{number}", number + 1
    return OlivePass(f"p{number}", type_, where, line, settings(values, where, line))


def _rows(pre_process: Mapping[str, Any]) -> OliveData:
    told = settings(pre_process, "data_configs[0].pre_process_data_config", 1)
    return OliveData("rows", "data_configs[0]", 1, None, {}, told, {}, {}, {})


def steps(draft: Draft) -> list[tuple[str, dict[str, Any]]]:
    """The steps of a pipeline without alternatives: pass and parameters."""
    found = []
    for step in draft.pipeline:
        assert isinstance(step, StepDraft)
        found.append((step.pass_, step.parameters))
    return found


def omitted(draft: Draft, where: str) -> Omission:
    """What is said of the setting at this place."""
    return next(omission for omission in draft.omissions if omission.where == where)


def kinds(draft: Draft) -> set[Kind]:
    """The kinds of all omissions."""
    return {omission.kind for omission in draft.omissions}


def answered(work: Work) -> set[str]:
    """Where every setting stood that became something, or was said something of."""
    said = {omission.where for omission in work.draft.omissions}
    return said | work.taken
