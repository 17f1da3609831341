"""How much is measured of a candidate: little of clear losers, more of what may win."""

from __future__ import annotations

from tuner.search.judging import next_look


def looks(usual: int, *, undecided: bool, near_front: bool) -> list[int]:
    done, found = 1, [1]
    while (more := next_look(done, usual, undecided=undecided, near_front=near_front)) != 0:
        assert more > done
        done = more
        found.append(done)
    return found


def test_a_clear_loser_stays_with_a_first_look() -> None:
    assert looks(3, undecided=False, near_front=False) == [1]


def test_what_may_reach_the_front_is_measured_in_full() -> None:
    assert looks(3, undecided=False, near_front=True) == [1, 3]


def test_what_is_undecided_is_measured_up_to_a_cap() -> None:
    assert looks(3, undecided=True, near_front=False) == [1, 3, 6, 9]


def test_where_a_process_makes_no_difference_more_of_them_tell_nothing() -> None:
    assert looks(1, undecided=True, near_front=True) == [1]
