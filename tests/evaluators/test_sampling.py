"""How the next token is chosen: greedily, or drawn out of a nucleus by a seed."""

from __future__ import annotations

import numpy as np

from evaluators.runtimes.sampling import GREEDY, Sampling, chooser

LOGITS = np.log(np.array([0.1, 0.5, 0.05, 0.35], np.float32))


def drawn(sampling: Sampling, count: int = 400) -> list[int]:
    choose = chooser(sampling)
    return [choose(LOGITS) for _ in range(count)]


def test_greedy_takes_the_most_probable_token() -> None:
    assert set(drawn(GREEDY, 3)) == {1}


def test_a_seed_draws_the_same_tokens_again() -> None:
    assert drawn(Sampling(1.0, seed=5)) == drawn(Sampling(1.0, seed=5))
    assert drawn(Sampling(1.0, seed=5)) != drawn(Sampling(1.0, seed=6))


def test_tokens_are_drawn_as_often_as_they_are_probable() -> None:
    counts = np.bincount(drawn(Sampling(1.0), 4000), minlength=4) / 4000
    np.testing.assert_allclose(counts, np.exp(LOGITS), atol=0.03)


def test_top_p_leaves_the_fewest_tokens_that_have_the_share() -> None:
    assert set(drawn(Sampling(1.0, top_p=0.49))) == {1}
    assert set(drawn(Sampling(1.0, top_p=0.51))) == {1, 3}


def test_a_low_temperature_is_nearly_greedy() -> None:
    assert set(drawn(Sampling(0.02))) == {1}
