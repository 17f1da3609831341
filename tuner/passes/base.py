"""What a pass is: one transformation of a model folder, run in a process of its own.

A pass module imports heavy libraries inside `run` only, so that its declaration can be read
at no cost. Knows nothing of the store, the search or the study.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from evaluators.base import Artifact
from search_spaces.data import DataSpec
from search_spaces.vocabulary import Aspect, PassSpec, Value


class PassError(Exception):
    """The pass cannot do this, for a reason that a person understands (one sentence).

    The same inputs would fail again: the failure is deterministic.
    """


Tell = Callable[[str], None]
"""Takes a sentence for whoever runs the search: what a pass did that one may not expect."""


def ignored(_: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class StageContext:
    """What a pass gets: the model that comes in, its parameters (all filled in), where to write.

    Of a pass with a `budget`, `share` is how much of its training is to be done now (1: all), in
    steps that are those of the whole training; `earlier` is the result of the same training after
    a smaller share, to go on from. What comes out must not depend on `earlier`.
    `tell` takes what a user should know of the result; it is kept with it, and told again where
    the result is used again.
    """

    model: Artifact
    parameters: Mapping[str, Value]
    output: Path  # an empty folder; what the pass writes there is the model that goes out
    task: str
    data: DataSpec | None
    share: float = 1.0
    earlier: Path | None = None
    tell: Tell = ignored


class Pass(ABC):
    """One transformation."""

    spec: ClassVar[PassSpec]

    def check(self, parameters: Mapping[str, Value]) -> list[str]:
        """What is wrong with a combination of parameters, in words; empty when nothing is.

        Called before the stage starts. Bounds and types of single parameters are checked already.
        """
        return []

    def environment(self, parameters: Mapping[str, Value]) -> Mapping[str, str]:
        """What else than parameters, inputs and library versions the result depends on."""
        return {}

    def relevant(
        self, parameters: Mapping[str, Value], aspects: frozenset[Aspect], model_format: str
    ) -> Mapping[str, Value] | None:
        """The parameters that decide what the pass changes of these aspects; None: it changes none.

        A metric that depends on these aspects is shared by candidates that differ elsewhere only.
        `model_format`: of the model that comes in. By default every parameter, where `changes` of
        the declaration names one of the aspects. What a pass narrows down, `environment` is asked
        for again, of these parameters alone.
        """
        return parameters if self.spec.changes & aspects else None

    def tolerance(self, parameters: Mapping[str, Value], model_format: str) -> float | None:
        """How far the pass may move what a model computes: mean KL divergence, in nats.

        It is of the distributions that go out (of the next token, or of the labels) from those
        that came in, on a few texts (`evaluators.fidelity`). What goes beyond is another model, and
        its trial ends. Generous: several times what an honest result was ever seen to have. None,
        the default: nothing is compared, since the pass may change everything, as training does,
        or cannot change a number. `model_format`: of the model that comes in.
        """
        return None

    @abstractmethod
    def run(self, context: StageContext) -> None:
        """Write the model that goes out into `context.output`. Runs in a worker process."""
