"""The winner is chosen by what is measured again, on held-out data."""

from __future__ import annotations

import json

import pytest
from cli.conftest import SPACE, Desk

FRONT = SPACE.replace('constraints: ["cost<20ms"]', 'constraints: ["cost<24ms"]')


def chosen(desk: Desk, study: str) -> dict[str, object]:
    done = desk.tune("best", study, "--json")
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.fixture
def first(desk: Desk) -> dict[str, object]:
    """The answer where held-out data say the same as the search."""
    desk.write(FRONT)
    done = desk.tune("--space", "space.yaml", "--study", "first")
    assert done.returncode == 0, done.stderr
    assert "The order is that of the search." in done.stdout
    return chosen(desk, "first")


def test_the_best_few_are_measured_again_and_agree(desk: Desk, first: dict[str, object]) -> None:
    assert first["order_changed"] is False
    bracket = first["bracket"]
    assert isinstance(bracket, list)
    assert len(bracket) == 3
    assert {row["verdict"] for row in bracket} == {"feasible"}


def test_a_winner_that_is_worse_on_held_out_data_is_not_chosen(
    desk: Desk, first: dict[str, object]
) -> None:
    steps = first["chosen"]["pipeline"]  # type: ignore[index]
    a = next(step["parameters"]["a"] for step in steps if step["id"] == "toy")
    desk.environment["TOY_HELD_OUT"] = json.dumps({str(a): 3.0})
    desk.environment["TUNER_STORE"] = str(desk.folder / "another-store")
    done = desk.tune("--space", "space.yaml", "--study", "second")
    assert done.returncode == 0, done.stderr
    assert "infeasible: cost" in done.stdout
    second = chosen(desk, "second")
    assert second["chosen"]["number"] != first["chosen"]["number"]  # type: ignore[index]
    assert second["confirmed"]["verdict"] == "feasible"  # type: ignore[index]
    again = desk.tune("--space", "space.yaml", "--study", "second")
    assert again.returncode == 0
    assert chosen(desk, "second")["chosen"] == second["chosen"]


def test_where_nothing_holds_that_is_the_answer(desk: Desk) -> None:
    desk.write(FRONT)
    desk.environment["TOY_HELD_OUT"] = json.dumps({str(a): 3.0 for a in range(5)})
    done = desk.tune("--space", "space.yaml")
    assert done.returncode == 3, done.stdout
    assert "Nothing is feasible" in done.stdout
    assert "held in the search, but not on held-out data: cost<24ms" in done.stdout
    again = desk.tune("--space", "space.yaml")
    assert again.returncode == 3, again.stdout
