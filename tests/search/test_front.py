from __future__ import annotations

import random

from tuner.search.front import add_to_front, choose, dominates, in_order, reordered


def test_a_point_dominates_only_what_it_is_nowhere_worse_than() -> None:
    assert dominates((1, 2), (1, 3))
    assert not dominates((1, 2), (1, 2))
    assert not dominates((1, 3), (2, 2))


def test_the_front_is_what_no_other_point_dominates_whatever_the_order() -> None:
    rng = random.Random(0)
    points = {n: (rng.randrange(20), rng.randrange(20), rng.randrange(20)) for n in range(200)}
    front: dict[int, tuple[int, ...]] = {}
    for number, losses in points.items():
        front = dict(add_to_front(front, number, losses))
    expected = {p for p in points.values() if not any(dominates(q, p) for q in points.values())}
    assert set(front.values()) == expected
    assert len(front) == len(expected), "of equal points one stays"


def test_of_equal_points_the_first_stays() -> None:
    assert list(add_to_front({3: (1.0, 1.0)}, 7, (1.0, 1.0))) == [3]


def test_the_chosen_point_is_the_one_nearest_to_the_best_of_everything() -> None:
    assert choose({0: (0.0, 10.0), 1: (1.0, 1.0), 2: (10.0, 0.0)}) == 1


def test_scale_does_not_decide_the_choice() -> None:
    front = {0: (0.0, 10.0), 1: (2.0, 1.0), 2: (10.0, 0.0)}
    stretched = {n: (1e6 * a, 1e-6 * b) for n, (a, b) in front.items()}
    assert choose(front) == choose(stretched) == 1


def test_a_tie_goes_to_the_better_first_objective() -> None:
    assert choose({0: (5.0, 1.0), 1: (1.0, 5.0)}) == 1


def test_nothing_is_chosen_from_an_empty_front() -> None:
    assert choose({}) is None


def test_a_front_has_an_order_that_begins_with_the_chosen_one() -> None:
    front = {1: (0.0, 1.0), 2: (0.3, 0.3), 3: (1.0, 0.0)}
    assert in_order(front) == [2, 1, 3]
    assert in_order({}) == []


def test_what_moves_all_alike_does_not_change_the_order() -> None:
    front = {1: (0.0, 1.0), 2: (0.3, 0.3), 3: (1.0, 0.0), 4: (0.5, 0.2)}
    again = {n: (x + 0.4, y - 0.1) for n, (x, y) in front.items() if n != 3}
    assert reordered(front, again) == [n for n in in_order(front) if n != 3]


def test_who_is_worse_when_measured_again_falls_behind() -> None:
    front = {1: (0.0, 1.0), 2: (0.3, 0.3), 4: (0.5, 0.2)}
    assert in_order(front)[0] == 2
    assert reordered(front, {1: (0.0, 1.0), 2: (0.9, 0.9), 4: (0.5, 0.2)})[0] != 2
