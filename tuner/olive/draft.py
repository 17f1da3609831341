"""A space in the making: what an Olive config has become so far, and what of it has no place here.

Knows nothing of how the config was read, or of how a space is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tuner.olive.config import OliveConfig, Setting


class Kind(StrEnum):
    """What it means that something of a config is not in the space."""

    ASIDE = "aside"
    """It changes nothing of the model or of how it is judged, such as a cache's folder."""
    OMITTED = "omitted"
    """The space does without it; the result differs from Olive's in that."""
    ELSEWHERE = "elsewhere"
    """It needs hardware, or the tools of a vendor, that are not here."""
    CANNOT = "cannot"
    """Nothing can stand for it, and without it there is no result."""


@dataclass(frozen=True, slots=True)
class Omission:
    """Something of the config that is not in the space. `where`: its key; `reason`: a sentence.

    `group`: the same few words for all of a sort, such as "no vision models", for tables.
    """

    where: str
    value: Any
    kind: Kind
    reason: str
    group: str
    line: int | None = None


@dataclass(slots=True)
class StepDraft:
    """A step of the pipeline. `pass_`: our pass; `parameters`: values, or {"choices": [...]}.

    `origin`: Olive's names of what it stands for, for a comment. `comments`: by parameter.
    """

    pass_: str
    parameters: dict[str, Any] = field(default_factory=dict)
    origin: str = ""
    comments: dict[str, str] = field(default_factory=dict)
    optional: bool = False
    baseline: bool = False


@dataclass(slots=True)
class Draft:
    """What the space will say. None, or empty: not said.

    `model`: a reference as a space has it. `model_kind`: "causal", "encoder", or None where the
    config does not tell. `provider`: ONNX Runtime's name of the execution provider that the config
    is for. `data`: as under `data:` of a space. `pipeline`: steps, or a list of alternatives, each
    a list of steps. `metrics`: evaluator -> options. `search`: as under `search:`.
    """

    config: OliveConfig
    model: str | None = None
    model_kind: str | None = None
    task: str | None = None
    provider: str = "CPUExecutionProvider"
    data: dict[str, Any] | None = None
    pipeline: list[StepDraft | list[list[StepDraft]]] = field(default_factory=list)
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    objectives: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    search: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, Any] = field(default_factory=dict)
    omissions: list[Omission] = field(default_factory=list)

    def omit(self, setting: Setting, kind: Kind, reason: str, group: str) -> None:
        """Say why a value of the config is not in the space."""
        found = (setting.where, setting.value, kind, reason, group, setting.line)
        self.omissions.append(Omission(*found))

    def omit_all(
        self, settings: Mapping[str, Setting], kind: Kind, reason: str, group: str
    ) -> None:
        """The same of several values."""
        for setting in settings.values():
            self.omit(setting, kind, reason, group)

    def last(self, pass_: str) -> StepDraft | None:
        """The last step of this pass so far, alternatives aside; None where there is none."""
        steps = (step for step in reversed(self.pipeline) if isinstance(step, StepDraft))
        return next((step for step in steps if step.pass_ == pass_), None)
