"""Telling commands that live from commands that died."""

from __future__ import annotations

import subprocess
import sys

from tuner.pipeline.store_owner import new_name
from tuner.study.presence import SILENCE, Presence

ELSEWHERE = "ffffffff-12-345-0123456789ab"


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_command_of_this_machine_is_looked_up_among_its_processes() -> None:
    code = "from tuner.pipeline.store_owner import new_name; print(new_name())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    presence = Presence()
    assert not presence.is_dead(1, new_name(), 0)
    assert presence.is_dead(2, run.stdout.strip(), 0)


def test_a_command_of_another_machine_lives_as_long_as_its_beat_changes() -> None:
    clock = Clock()
    presence = Presence(clock)
    for beat in range(5):
        assert not presence.is_dead(1, ELSEWHERE, beat)
        clock.now += SILENCE * 0.9
    assert not presence.is_dead(1, ELSEWHERE, 4)
    clock.now += SILENCE * 0.2
    assert presence.is_dead(1, ELSEWHERE, 4)


def test_silence_is_counted_from_the_first_look_whatever_was_before() -> None:
    clock = Clock()
    presence = Presence(clock)
    assert not presence.is_dead(1, ELSEWHERE, 7)
    clock.now += SILENCE / 2
    assert not presence.is_dead(1, ELSEWHERE, 7)
    assert not presence.is_dead(2, ELSEWHERE, 7), "another run has a count of its own"


def test_a_run_of_a_program_that_knew_no_owners_is_over() -> None:
    assert Presence().is_dead(1, None, None)
