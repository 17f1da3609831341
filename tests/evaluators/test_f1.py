"""F1 scores against counts by hand, and their intervals against simulated truths."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import pytest

from evaluators import f1
from evaluators.base import Interval, Json, NotEnoughSamples

Pairs = Sequence[tuple[str, str]]

# (label, predicted): precision and recall of a are 2/3 and 1/2, of b 1/2 and 1, of c 1/1 and 1/2.
HAND = [*[("a", "a")] * 2, *[("a", "b")] * 2, *[("b", "b")] * 2, ("c", "c"), ("c", "a")]
A, B, C = 4 / 7, 2 / 3, 2 / 3


def items_of(pairs: Pairs) -> list[Json]:
    return [{"label": label, "predicted": predicted} for label, predicted in pairs]


def score_of(score: f1.Score, pairs: Pairs = HAND) -> float:
    return f1.interval(items_of(pairs), score).value


def test_scores_are_those_by_hand() -> None:
    assert score_of(f1.f1_of("a")) == pytest.approx(A)
    assert score_of(f1.f1_of("b")) == pytest.approx(B)
    assert score_of(f1.macro) == pytest.approx((A + B + C) / 3)
    assert score_of(f1.weighted) == pytest.approx((4 * A + 2 * B + 2 * C) / 8)
    assert f1.binary_interval(items_of(HAND), "a").value == pytest.approx(A)


def test_label_that_is_only_predicted_counts_in_the_mean_over_labels_alone() -> None:
    pairs = [("a", "a"), ("a", "z"), ("b", "b")]
    assert score_of(f1.macro, pairs) == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert score_of(f1.weighted, pairs) == pytest.approx((2 * 2 / 3 + 1) / 3)


def test_label_that_never_comes_has_no_score_and_no_certainty() -> None:
    assert f1.binary_interval(items_of([("a", "a")]), "b") == Interval(0.0, 0.0, 1.0)


def test_no_items_give_no_score() -> None:
    with pytest.raises(NotEnoughSamples, match="1 item or more"):
        f1.interval([], f1.macro)


@pytest.mark.parametrize("score", [f1.macro, f1.weighted, f1.f1_of("a")])
def test_all_right_and_all_wrong_are_still_uncertain(score: f1.Score) -> None:
    right = f1.interval(items_of([("a", "a"), ("b", "b")] * 40), score)
    wrong = f1.interval(items_of([("a", "b"), ("b", "a")] * 40), score)
    assert right.value == right.high == 1 > right.low > 0.9
    assert wrong.value == wrong.low == 0 < wrong.high < 0.1


def truth(names: str, right: float, skew: float) -> dict[tuple[str, str], float]:
    """Shares of (label, predicted): each label `skew` times as frequent as the one before."""
    weights = [skew**i for i in range(len(names))]
    wrong = (1 - right) / (len(names) - 1)
    return {
        (a, b): w / sum(weights) * (right if a == b else wrong)
        for a, w in zip(names, weights, strict=True)
        for b in names
    }


def draws(shares: dict[tuple[str, str], float], count: int, seed: int) -> list[Json]:
    rng = random.Random(seed)
    return items_of(rng.choices(list(shares), list(shares.values()), k=count))


@pytest.mark.parametrize("score", [f1.macro, f1.weighted])
@pytest.mark.parametrize("count", [60, 320])
@pytest.mark.parametrize(("right", "skew"), [(0.6, 1.0), (0.9, 0.5), (0.97, 1.0)])
def test_intervals_hold_the_truth_as_often_as_they_say(
    score: f1.Score, count: int, right: float, skew: float
) -> None:
    shares = truth("abcd", right, skew)
    expected, _ = score(shares)
    found = [f1.interval(draws(shares, count, seed), score) for seed in range(300)]
    held = sum(i.low <= expected <= i.high for i in found) / len(found)
    assert held >= 0.91
    assert sum(i.high - i.low for i in found) / len(found) < 4.5 * (count**-0.5)


def test_interval_of_one_label_holds_the_truth_as_often_as_it_says() -> None:
    shares = truth("abcd", 0.85, 0.7)
    expected, _ = f1.f1_of("b")(shares)
    found = [f1.binary_interval(draws(shares, 160, seed), "b") for seed in range(400)]
    held = sum(i.low <= expected <= i.high for i in found) / len(found)
    assert 0.92 <= held <= 0.99


def changed(items: Sequence[Json], share: float, rng: random.Random) -> list[Json]:
    """The same items, of which a share is answered anew by chance."""
    return [
        item | {"predicted": rng.choice("abcd")} if rng.random() < share else item for item in items
    ]


@pytest.mark.parametrize("score", [f1.macro, f1.weighted, f1.f1_of("a")])
def test_difference_on_the_same_items_holds_the_truth_and_is_narrower(score: f1.Score) -> None:
    shares = truth("abcd", 0.85, 1.0)
    after = {
        (a, c): 0.9 * share + 0.1 / 4 * sum(p for (x, _), p in shares.items() if x == a)
        for (a, c), share in shares.items()
    }
    expected = score(after)[0] - score(shares)[0]
    rng = random.Random(0)
    held, pairs, single = 0, 0.0, 0.0
    for seed in range(300):
        before = draws(shares, 200, seed)
        now = changed(before, 0.1, rng)
        found = f1.paired_difference(now, before, score, 1.0)
        held += found.low <= expected <= found.high
        pairs += found.high - found.low
        single += sum(i.high - i.low for i in (f1.interval(x, score) for x in (now, before)))
    assert held / 300 >= 0.91
    assert pairs < 0.6 * single


def test_same_answers_differ_by_nothing_but_are_not_certain_to() -> None:
    items = draws(truth("abcd", 0.8, 1.0), 160, 0)
    found = f1.paired_difference(items, items, f1.macro, 1.0)
    assert found.value == 0
    assert -0.03 < found.low < 0 < found.high < 0.03
    half = f1.paired_difference(items, items, f1.macro, 0.5)
    assert half.value == pytest.approx(0.5 * f1.interval(items, f1.macro).value)


def test_a_thousand_items_of_many_labels_take_no_time() -> None:
    names = [f"label {i}" for i in range(77)]
    rng = random.Random(0)
    pairs = [(a, a if rng.random() < 0.8 else rng.choice(names)) for a in names * 13]
    started = time.process_time()
    found = f1.interval(items_of(pairs), f1.macro)
    assert time.process_time() - started < 2
    assert 0.7 < found.low < found.value < found.high < 0.9
