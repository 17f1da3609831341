"""Gaussian process regression on rows of grouped columns, in NumPy alone.

The kernel is a Matern 5/2 of the root of the squared distance, each group of columns weighted;
weights and noise are those of the greatest posterior density, the variance and the mean follow in
closed form (Rasmussen and Williams, Gaussian Processes for Machine Learning, chapters 2 and 5).
Knows nothing of candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ITERATIONS = 30
_NOISE = (1e-6, 1.0)  # the smallest and the greatest share of the variance
_SPREAD = 1.5  # of the prior of the log of a weight
_JITTER = 1e-8


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each group counts, and the noise of one observation (as a share of the variance)."""

    groups: Array
    noise: float


@dataclass(frozen=True)
class Gaussian:
    """A process given observations."""

    rows: Array  # scaled by the roots of the weights
    scale: Array
    inverse: Array  # of the Cholesky factor
    alpha: Array
    mean: float
    variance: float

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """Means and standard deviations (of the value, without noise) at rows (n x columns)."""
        cross = _matern(_squared(rows * self.scale, self.rows))
        means = self.mean + cross @ self.alpha
        explained = np.square(cross @ self.inverse.T).sum(axis=1)
        return means, np.sqrt(self.variance * np.maximum(1.0 - explained, 1e-10))


def condition(
    rows: Array, groups: NDArray[np.intp], y: Array, noise: Array, w: Weights
) -> Gaussian:
    """The process given `y` at `rows`. `noise`: of each, as a multiple of one observation's."""
    scale = np.sqrt(w.groups)[groups]
    scaled = rows * scale
    kernel = _matern(_squared(scaled, scaled))
    kernel[np.diag_indices(len(y))] += w.noise * noise + _JITTER
    inverse = np.linalg.inv(np.linalg.cholesky(kernel))
    ones = inverse.sum(axis=1)
    white = inverse @ y
    mean = float(ones @ white / (ones @ ones))
    rest = white - mean * ones
    variance = float((rest @ rest + 2.0 * _typical(y)) / (len(y) + 2.0))
    return Gaussian(scaled, scale, inverse, inverse.T @ rest, mean, max(variance, 1e-20))


def fit(rows: Array, groups: NDArray[np.intp], y: Array, noise: Array) -> Weights:
    """The weights of the greatest posterior density; about 30 inversions."""
    count = int(groups.max()) + 1
    problem = _Problem(rows, groups, y, noise, count)
    start = np.append(np.full(count, problem.centre), np.log(1e-2))
    return problem.weights(_descend(problem, start))


class _Problem:
    """The negative log density of weights, and its gradient."""

    def __init__(
        self, rows: Array, groups: NDArray[np.intp], y: Array, noise: Array, count: int
    ) -> None:
        n = len(y)
        self._distances = np.zeros((count, n * n))
        for column, group in enumerate(groups):
            difference = rows[:, column, None] - rows[None, :, column]
            self._distances[group] += np.square(difference).ravel()
        self._y, self._noise, self._n = y, noise, n
        varied = int((self._distances.max(axis=1) > 0).sum())
        self.centre = float(np.log(3.0 / max(varied, 3)))
        self._typical = 2.0 * _typical(y)

    def weights(self, theta: Array) -> Weights:
        return Weights(np.exp(theta[:-1]), float(np.clip(np.exp(theta[-1]), *_NOISE)))

    def __call__(self, theta: Array) -> tuple[float, Array]:
        w, n = self.weights(theta), self._n
        squared = (w.groups @ self._distances).reshape(n, n)
        root = np.sqrt(5.0 * squared)
        decay = np.exp(-root)
        kernel = (1.0 + root + root * root / 3.0) * decay
        kernel[np.diag_indices(n)] += w.noise * self._noise + _JITTER
        lower = np.linalg.cholesky(kernel)
        inverse = np.linalg.inv(kernel)
        ones = inverse.sum(axis=1)
        rest = self._y - (ones @ self._y) / ones.sum()
        alpha = inverse @ rest
        quadratic = float(rest @ alpha) + self._typical
        value = 0.5 * (n + 2) * np.log(quadratic) + float(np.log(np.diag(lower)).sum())
        change = 0.5 * (inverse - (n + 2) / quadratic * np.outer(alpha, alpha))
        slope = change * (-5.0 / 6.0) * (1.0 + root) * decay
        gradient = np.append(
            w.groups * (self._distances @ slope.ravel()),
            w.noise * float(np.diag(change) @ self._noise),
        )
        away = theta - np.append(np.full(len(theta) - 1, self.centre), np.log(1e-3))
        spread = np.append(np.full(len(theta) - 1, _SPREAD), 2.0)
        value += float(0.5 * np.square(away / spread).sum())
        return value, gradient + away / np.square(spread)


def _descend(problem: _Problem, theta: Array) -> Array:
    """Resilient backpropagation (Riedmiller and Braun 1993): each parameter has its own step."""
    step = np.full(len(theta), 0.5)
    before = np.zeros(len(theta))
    best, least = theta, np.inf
    for _ in range(_ITERATIONS):
        value, gradient = problem(theta)
        if value < least:
            best, least = theta, value
        agree = gradient * before
        step = np.where(agree > 0, step * 1.3, np.where(agree < 0, step * 0.5, step))
        step = np.clip(step, 1e-3, 1.0)
        gradient = np.where(agree < 0, 0.0, gradient)
        theta = np.clip(theta - np.sign(gradient) * step, -12.0, 6.0)
        before = gradient
    return best


def _typical(y: Array) -> float:
    return float(np.var(y)) or 1.0


def _squared(a: Array, b: Array) -> Array:
    """Squared distances between the rows of two tables."""
    products = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)[None, :]
    found: Array = np.maximum(products - 2.0 * (a @ b.T), 0.0)
    return found


def _matern(squared: Array) -> Array:
    root = np.sqrt(5.0 * squared)
    found: Array = (1.0 + root + root * root / 3.0) * np.exp(-root)
    return found
