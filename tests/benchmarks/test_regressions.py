"""The simulation of nights: what it says of worlds whose answer is known."""

from __future__ import annotations

from benchmarks.regressions import SLOWER, World, rates


def test_on_a_quiet_machine_no_night_is_a_false_alarm_and_twice_as_slow_is_found() -> None:
    found = rates(World(sessions=0.04, nights=0.0, history=3), 12)
    assert found.alarms == 0
    assert found.found[SLOWER.index(2.0)] == 1


def test_what_is_slower_by_less_than_the_noise_is_rarely_found() -> None:
    found = rates(World(sessions=0.15, nights=0.06, history=2), 12)
    assert found.found[SLOWER.index(1.1)] < 0.5
