"""What a one-shot command asks for, as plain data. Knows nothing of the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from search_spaces.kinds import ENCODER
from tuner.init.model import Model
from tuner.steps.text import Setting

CLASSIFY, GENERATE = "text-classification", "text-generation"


@dataclass(frozen=True, slots=True)
class DataWish:
    """Where rows are and how they are read. `settings`: key of a space's `data:` -> its value.

    `held_out`: rows to measure on, in a file of their own.
    """

    file: Setting
    held_out: Setting | None = None
    settings: Mapping[str, Setting] = field(default_factory=dict)

    @property
    def label(self) -> Setting | None:
        """The column to predict."""
        return self.settings.get("label")


@dataclass(frozen=True, slots=True)
class Wish:
    """A command. `command`: finetune, quantize or optimize; `name` becomes the space's.

    `settings`: parameter, or "pass.parameter", -> its value. `how`: the option that chose the
    pass, for messages. `bounds`: constraints. `search`: keys of `search:`, of a short search.
    """

    command: str
    name: str
    model: Model
    task: str
    data: DataWish | None
    settings: Mapping[str, Setting] = field(default_factory=dict)
    how: str = ""
    bounds: tuple[Setting, ...] = ()
    search: Mapping[str, Setting] = field(default_factory=dict)
    request: tuple[int, int] = (64, 32)

    @property
    def encodes(self) -> bool:
        """Whether the model is an encoder."""
        return self.model.kind == ENCODER

    @property
    def classifies(self) -> bool:
        """Whether there is a label to predict."""
        return self.task == CLASSIFY and self.data is not None
