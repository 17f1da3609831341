"""Which texts come together in a batch."""

from __future__ import annotations

from itertools import islice

from tuner.training.batching import batches


def test_batches_go_through_all_texts_in_new_orders() -> None:
    source = batches([3, 9, 4, 1, 7, 2, 8, 6], 2, seed=0)
    rounds = [list(islice(source, 4)) for _ in range(3)]
    for taken in rounds:
        assert sorted(i for batch in taken for i in batch) == list(range(8))
    assert rounds[0] != rounds[1] != rounds[2]


def test_batches_hold_texts_of_like_length() -> None:
    lengths = [10 * (i % 8) for i in range(64)]
    for batch in islice(batches(lengths, 8, seed=3), 24):
        assert len({lengths[i] for i in batch}) == 1


def test_batches_are_full_where_rows_do_not_divide_evenly() -> None:
    taken = list(islice(batches([1] * 7, 3, seed=0), 7))
    assert {len(batch) for batch in taken} == {3}
    counts = [sum(batch.count(i) for batch in taken) for i in range(7)]
    assert counts == [3] * 7


def test_fewer_rows_than_a_batch_are_one_batch() -> None:
    assert sorted(next(batches([1, 2, 3], 8, seed=0))) == [0, 1, 2]
