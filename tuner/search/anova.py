"""A Bayesian analysis of variance: what each factor and each pair of factors adds to a number.

The model is y = mean + sum of the factors' effects + sum of the pairs' effects + noise. Every
factor and every pair has a variance of its own under a half-t prior (akin to the grouped
horseshoe): what does nothing shrinks to nothing, and what does much is left alone. Drawn by Gibbs
sampling: weights as in Bhattacharya, Chakraborty and Mallick (2016) where there are fewer rows than
columns, variances as in Makalic and Schmidt (2016). Knows nothing of trials, passes or metrics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Whole = NDArray[np.int64]

_CHAINS = 2  # from different seeds, as one can stay with a wrong choice of pairs
_BURN_IN = 80
_DRAWS = 170  # of each chain
_NOISE_STEPS = 24
_SMALLEST_NOISE = 2e-2  # of the standard deviation of y; a chain does not move well with less
LARGEST_NOISE = 2.0
_TAIL = 3.0  # degrees of freedom of the half-t prior; 1 takes small effects for none too soon
_PAIR_SCALE = 0.5  # of the pairs' prior beside the factors': most pairs do little


@dataclass(frozen=True)
class Draws:
    """Draws from the posterior, in the unit of y: weights (draws x columns), noise variance."""

    weights: Array
    noise: Array


@dataclass(frozen=True)
class Columns:
    """The model's columns: `matrix` (rows x columns), `group` of each, `is_pair` of each group."""

    matrix: Array
    group: Whole
    is_pair: NDArray[np.bool_]


def draw(
    y: Array, errors: Array, columns: Columns, largest_noise: float = LARGEST_NOISE, seed: int = 0
) -> Draws:
    """Draws of the columns' weights and of the variance that nothing explains.

    `y`: not all the same. `errors`: the standard error of each, as measured, 0 where it is exact.
    `largest_noise`: how much can be unexplained, in standard deviations of y.
    """
    import numpy as np

    centre = y.mean()
    # What is measured too coarsely to differ may differ by as much as it was measured to.
    scale = float(np.sqrt(y.var() + np.square(errors).mean()))
    steps = np.geomspace(_SMALLEST_NOISE, largest_noise, _NOISE_STEPS) ** 2
    standard = (y - centre) / scale, errors / scale
    chains = [_Chain(*standard, columns, steps, seed + i) for i in range(_CHAINS)]
    weights, noise = zip(*(chain.run(_BURN_IN, _DRAWS) for chain in chains), strict=True)
    return Draws(np.vstack(weights) * scale, np.concatenate(noise) * scale**2)


class _Chain:
    """One Gibbs chain over weights, the groups' variances and the noise, with y standardised."""

    def __init__(self, y: Array, errors: Array, columns: Columns, steps: Array, seed: int) -> None:
        import numpy as np

        rows, width = columns.matrix.shape
        self._np = np
        self._rng = np.random.default_rng(seed)
        self._y = y
        self._x = np.hstack([np.ones((rows, 1)), columns.matrix])
        self._group = columns.group
        self._sizes = np.bincount(columns.group, minlength=len(columns.is_pair))
        self._kind = columns.is_pair.astype(int)  # of a group: 0 a factor, 1 a pair
        self._local = np.ones(len(columns.is_pair))
        self._local_aid = np.ones(len(columns.is_pair))
        self._global = np.array([0.3, 0.03])
        self._global_aid = np.ones(2)
        self._prior = 1.0 / np.array([1.0, _PAIR_SCALE]) ** 2
        self._noises = steps[:, None] + errors**2  # steps x rows
        self._log_noises = np.log(self._noises).sum(axis=1)
        self._steps = steps
        self._noise = _NOISE_STEPS * 2 // 3
        self._grams: dict[int, tuple[Array, Array]] = {}
        self._tall = rows > width + 1

    def run(self, burn_in: int, count: int) -> tuple[Array, Array]:
        np = self._np
        weights = np.empty((count, self._x.shape[1] - 1))
        noise = np.empty(count)
        for i in range(-burn_in, count):
            drawn = self._draw_weights()
            self._draw_noise(self._y - self._x @ drawn)
            self._draw_variances(drawn[1:])
            if i >= 0:
                weights[i], noise[i] = drawn[1:], self._steps[self._noise]
        return weights, noise

    def _draw_weights(self) -> Array:
        np = self._np
        variance = self._local * self._global[self._kind]
        spread = np.empty(len(self._group) + 1)
        spread[0] = 10.0
        spread[1:] = np.minimum(np.maximum(variance, 1e-12), 1e4)[self._group]
        return self._tall_weights(spread) if self._tall else self._wide_weights(spread)

    def _wide_weights(self, spread: Array) -> Array:
        """By a system as large as there are rows."""
        np, noise = self._np, self._noises[self._noise]
        guess = np.sqrt(spread) * self._rng.standard_normal(len(spread))
        shift = np.sqrt(noise) * self._rng.standard_normal(len(noise))
        scaled = self._x * spread
        system = scaled @ self._x.T
        system.flat[:: len(noise) + 1] += noise
        rest = np.linalg.solve(system, self._y - self._x @ guess - shift)
        found: Array = guess + scaled.T @ rest
        return found

    def _tall_weights(self, spread: Array) -> Array:
        """By a system as large as there are columns, made once for each size of the noise."""
        np = self._np
        gram, target = self._gram()
        system = gram.copy()
        system.flat[:: len(spread) + 1] += 1.0 / spread
        root = np.linalg.cholesky(system)
        half = np.linalg.solve(root, target) + self._rng.standard_normal(len(spread))
        found: Array = np.linalg.solve(root.T, half)
        return found

    def _gram(self) -> tuple[Array, Array]:
        if self._noise not in self._grams:
            weighted = self._x / self._noises[self._noise][:, None]
            self._grams[self._noise] = weighted.T @ self._x, weighted.T @ self._y
        return self._grams[self._noise]

    def _draw_noise(self, residual: Array) -> None:
        """One of the steps, each as likely as the residuals make it; uniform in the logarithm."""
        np = self._np
        fit = -0.5 * (self._log_noises + (residual**2 / self._noises).sum(axis=1))
        mass = np.cumsum(np.exp(fit - fit.max()))
        self._noise = int(np.searchsorted(mass, self._rng.random() * mass[-1]))

    def _draw_variances(self, weights: Array) -> None:
        np = self._np
        squares = np.bincount(self._group, weights**2, minlength=len(self._sizes))
        rate = _TAIL / self._local_aid + squares / (2.0 * self._global[self._kind])
        self._local = self._inverse_gamma((_TAIL + self._sizes) / 2.0, rate)
        shape = np.full_like(rate, (_TAIL + 1.0) / 2.0)
        self._local_aid = self._inverse_gamma(shape, 1.0 + _TAIL / self._local)
        for kind in range(2):
            of_kind = self._kind == kind
            total = (squares[of_kind] / (2.0 * self._local[of_kind])).sum()
            freedom = (1.0 + self._sizes[of_kind].sum()) / 2.0
            total += 1.0 / self._global_aid[kind]
            self._global[kind] = self._inverse_gamma(freedom, total)
        rate = self._prior + 1.0 / self._global
        self._global_aid = self._inverse_gamma(np.ones(2), rate)

    def _inverse_gamma(self, shape: Any, rate: Any) -> Any:
        found = rate / self._np.maximum(self._rng.standard_gamma(shape), 1e-12)
        return self._np.minimum(self._np.maximum(found, 1e-10), 1e8)
