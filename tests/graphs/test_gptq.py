"""GPTQ on matrices: errors are made up for where the inputs allow it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tuner.graphs.gptq import Grid, rounded

GRID = Grid(bits=4, block=32, symmetric=False, damp=0.01, by_size=False)


@pytest.fixture(scope="module")
def inputs() -> np.ndarray:
    """Inputs [1000, 256] that go together: 32 directions, and a little noise."""
    random = np.random.default_rng(0)
    directions = random.normal(size=(1000, 32)) @ random.normal(size=(32, 256))
    return np.asarray(directions + 0.3 * random.normal(size=(1000, 256)), np.float32)


@pytest.fixture(scope="module")
def weights() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(256, 48)).astype(np.float32)


def restored(weights: np.ndarray, moment: np.ndarray, grid: Grid) -> np.ndarray:
    """The matrix that the integers, scales and zero points stand for."""
    integers, scales, zeros = rounded(weights, moment, grid)
    assert integers.max() <= 2**grid.bits - 1
    spread = [np.repeat(part, grid.block, axis=0)[: len(weights)] for part in (scales, zeros)]
    return np.asarray((integers - spread[1]) * spread[0])


def error(weights: np.ndarray, inputs: np.ndarray, made: np.ndarray) -> float:
    return float(np.linalg.norm(inputs @ (weights - made)) / np.linalg.norm(inputs @ weights))


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("by_size", [True, False])
@pytest.mark.parametrize("block", [32, 128, 256])
def test_the_product_is_much_nearer_than_by_rounding_each_weight_alone(
    inputs: np.ndarray, weights: np.ndarray, symmetric: bool, by_size: bool, block: int
) -> None:
    grid = replace(GRID, symmetric=symmetric, by_size=by_size, block=block)
    plain = restored(weights, np.eye(256), grid)  # inputs that have nothing to do with each other
    made = restored(weights, inputs.T @ inputs, grid)
    assert error(weights, inputs, made) < 0.6 * error(weights, inputs, plain)
    assert np.abs(plain - weights).max() <= 0.51 * (weights.max() - weights.min()) / 7.5


def test_more_bits_are_nearer(inputs: np.ndarray, weights: np.ndarray) -> None:
    moment = inputs.T @ inputs
    four, eight = (restored(weights, moment, replace(GRID, bits=bits)) for bits in (4, 8))
    assert error(weights, inputs, eight) < 0.1 * error(weights, inputs, four)


def test_inputs_that_are_never_used_and_columns_of_zeros_do_no_harm(
    inputs: np.ndarray, weights: np.ndarray
) -> None:
    silent, empty = inputs.copy(), weights.copy()
    silent[:, 7] = 0
    empty[:, 3] = 0
    made = restored(empty, silent.T @ silent, GRID)
    assert np.isfinite(made).all()
    assert not made[:, 3].any()
    assert error(empty, silent, made) < 0.1
