"""What goes from the store after a night, and what stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from sweep.conftest import Sweep

from tuner.pipeline.store import Store
from tuner.sweep.plan import Retention
from tuner.sweep.records import read_night, read_nights
from tuner.sweep.retention import prune

DAY = 86400.0


def put(store: Store, letter: str, used: float, size: int = 1000) -> str:
    """An entry of so many bytes, used at that time."""
    key = letter * 64
    with store.draft(key) as draft:
        (draft.output / "x").write_bytes(letter.encode() * size)
        entry = draft.commit({"pass": "toy"})
    os.utime(entry.path / "meta.json", (used, used))
    return key


@pytest.fixture
def stored(after_three: Sweep) -> tuple[Sweep, Store, dict[str, str]]:
    store = Store(after_three.folder / "store")
    now = time.time()
    return (
        after_three,
        store,
        {
            "old": put(store, "a", now - 30 * DAY),
            "recent": put(store, "b", now - 2 * DAY),
            "tonight": put(store, "c", now),
        },
    )


def test_a_plan_without_retention_keeps_everything(
    stored: tuple[Sweep, Store, dict[str, str]],
) -> None:
    sweep, store, keys = stored
    night = read_night(sweep.results / "night-3")
    assert prune(Retention(), store.root, night, [night]) is None
    assert all(store.has(key) for key in keys.values())


def test_what_was_not_used_for_long_goes(stored: tuple[Sweep, Store, dict[str, str]]) -> None:
    sweep, store, keys = stored
    nights = read_nights(sweep.results)
    found = prune(Retention(max_age=14 * DAY), store.root, nights[-1], nights)
    assert found is not None
    assert found.report.removed == (keys["old"],)
    assert str(found).startswith("store: removed 1 of ")


def test_what_the_night_used_stays_whatever_the_size(
    stored: tuple[Sweep, Store, dict[str, str]],
) -> None:
    sweep, store, keys = stored
    nights = read_nights(sweep.results)
    found = prune(Retention(max_size=1), store.root, nights[-1], nights)
    assert found is not None
    assert [store.has(keys[name]) for name in ("old", "recent", "tonight")] == [False, False, True]
    assert "more than 1 B, as this night used them" in str(found)


def test_stages_of_what_is_watched_stay_however_old(
    stored: tuple[Sweep, Store, dict[str, str]],
) -> None:
    sweep, store, _ = stored
    nights = read_nights(sweep.results)
    long_ago = time.time() - 90 * DAY
    for entry in store.entries():
        os.utime(entry.path / "meta.json", (long_ago, long_ago))
    prune(Retention(max_age=14 * DAY), store.root, nights[-1], nights)
    watched = [w for e in nights[-1].entries for w in e.watched]
    kept = {key for w in watched for key in w.stages.values()}
    assert kept
    assert all(store.has(key) for key in kept)


def test_results_and_database_are_left_alone(stored: tuple[Sweep, Store, dict[str, str]]) -> None:
    sweep, store, _ = stored

    def looks() -> dict[Path, int]:
        return {p: p.stat().st_size for p in sweep.results.rglob("*") if p.is_file()}

    before, nights = looks(), read_nights(sweep.results)
    prune(Retention(max_size=1), store.root, nights[-1], nights)
    assert looks() == before
