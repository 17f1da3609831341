"""The nightly sweep that is shipped: its plan is valid, and its tiny model is always the same."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from search_spaces.problems import SpaceError
from search_spaces.space import Fixed, steps_of
from tuner.models.resolver import fingerprint
from tuner.sweep.plan import Plan, read_plan

ROOT = Path(__file__).parent.parent.parent
SHIPPED = ROOT / "benchmarks" / "nightly.yaml"


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "nightly_models", ROOT / "benchmarks" / "nightly_models.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def plan_file(maker: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plan in a folder of its own, with the model that its script makes."""
    folder = tmp_path_factory.mktemp("shipped")
    spaces = folder / "benchmarks" / "nightly"
    spaces.mkdir(parents=True)
    (folder / "search_spaces").symlink_to(ROOT / "search_spaces")
    for path in (ROOT / "benchmarks" / "nightly").glob("*.yaml"):
        (spaces / path.name).write_text(path.read_text())
    (folder / "benchmarks" / "nightly.yaml").write_text(SHIPPED.read_text())
    maker.main(spaces / "models" / "tiny-phi3")
    return folder / "benchmarks" / "nightly.yaml"


@pytest.fixture(scope="module")
def plan(plan_file: Path) -> Plan:
    return read_plan(plan_file)


def test_it_has_three_spaces_with_small_budgets(plan: Plan) -> None:
    assert [entry.name for entry in plan.entries] == ["minilm", "smollm2", "tiny-phi3"]
    assert all(0 < (entry.space.search.trials or 99) <= 4 for entry in plan.entries)
    assert plan.retention.max_age is not None


def test_its_results_are_beside_the_other_results(plan: Plan, plan_file: Path) -> None:
    assert plan.results == plan_file.parent.parent / "results" / "nightly"


def test_its_tiny_model_is_the_same_whenever_it_is_made(
    maker: ModuleType, plan: Plan, tmp_path: Path
) -> None:
    maker.main(tmp_path / "again")
    made = plan.entries[2].space.model
    assert made.path is not None
    again = type(made)("path", "again", path=tmp_path / "again")
    assert fingerprint(made, tmp_path / "cache") == fingerprint(again, tmp_path / "cache")


def test_a_model_that_was_not_made_yet_is_told_with_its_folder(plan_file: Path) -> None:
    other = plan_file.with_name("nightly") / "models"
    other.rename(other.with_name("hidden"))
    try:
        with pytest.raises(SpaceError, match=r"there is no folder .*models/tiny-phi3"):
            read_plan(plan_file)
    finally:
        other.with_name("hidden").rename(other)


def test_the_artificial_regression_of_the_docs_is_a_valid_setting(plan_file: Path) -> None:
    text = (ROOT / "docs" / "sweeps.md").read_text()
    found = re.search(r"```yaml\n( +set: .*disable}\n)```", text)
    assert found is not None
    entry = "  - space: nightly/minilm.yaml\n"
    slower = plan_file.with_name("slower.yaml")
    slower.write_text(plan_file.read_text().replace(entry, entry + found[1]))
    space = read_plan(slower).entries[0].space
    steps = {s.id: s for item in space.pipeline for s in steps_of(item)}
    assert steps["session"].parameters["graph_optimization_level"] == Fixed("disable")
