"""How the next token is chosen out of what a model expects: the most probable, or one drawn.

Knows nothing of any one runtime.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to choose. With `temperature` 0 always the most probable token: greedy.

    `temperature`: above 1 levels the probabilities, below 1 sharpens them. `top_p`: draw among the
    most probable tokens that together have this share (nucleus sampling, Holtzman et al. 2020).
    `seed`: of the drawing; the same seed draws the same tokens.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    @property
    def greedy(self) -> bool:
        """Whether nothing is drawn."""
        return self.temperature == 0


GREEDY = Sampling()


def chooser(sampling: Sampling) -> Callable[[NDArray[np.float32]], int]:
    """What takes logits (vocabulary,) and gives a token; it draws on from call to call."""
    import numpy as np

    if sampling.greedy:
        return lambda logits: int(logits.argmax())
    draws = np.random.default_rng(sampling.seed)

    def choose(logits: NDArray[np.float32]) -> int:
        order, shares = _nucleus(logits, sampling)
        place = int(np.searchsorted(shares.cumsum(), draws.random() * shares.sum(), "right"))
        return int(order[min(place, len(order) - 1)])

    return choose


def _nucleus(
    logits: NDArray[np.float32], sampling: Sampling
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The tokens to draw among, the most probable first, and their probabilities."""
    import numpy as np

    scaled = logits.astype(np.float64) / sampling.temperature
    shares = np.exp(scaled - scaled.max())
    shares /= shares.sum()
    order = np.argsort(-shares, kind="stable")
    before = shares[order].cumsum() - shares[order]
    kept = order[before < sampling.top_p]
    return kept, shares[kept]
