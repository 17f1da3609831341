"""Plans of sweeps: what they mean, and what is said of a wrong one before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from search_spaces.problems import SpaceError
from search_spaces.space import Fixed, Space, steps_of
from tuner.sweep.plan import Plan, read_plan

SPACE = """
model: model
task: text-generation
pipeline:
  - toy: {a: {choices: [0, 1]}}
objectives: [minimize cost]
search: {strategy: grid, trials: 5}
"""
ON_DEVICE = """
model: model
task: text-generation
pipeline:
  - genai_builder: {precision: {choices: [int8, int4]}}
objectives: [minimize size]
"""


@pytest.fixture(scope="module")
def folder(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("plans")
    (made / "spaces").mkdir()
    (made / "spaces" / "toys.yaml").write_text(SPACE)
    (made / "spaces" / "on-device.yaml").write_text(ON_DEVICE)
    for name in ("spaces/model", "other-0.5B"):
        (made / name).symlink_to(tiny_llama)
    return made


def read(folder: Path, text: str) -> Plan:
    path = folder / "plan.yaml"
    path.write_text(text)
    return read_plan(path)


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(SpaceError) as caught:
        read(folder, text)
    return [str(p).replace(f"{folder}/", "") for p in caught.value.problems]


def values(space: Space, step: str) -> dict[str, object]:
    steps = {s.id: s for item in space.pipeline for s in steps_of(item)}
    return {n: d.value for n, d in steps[step].parameters.items() if isinstance(d, Fixed)}


def test_a_plan_that_says_no_more_than_its_spaces_has_defaults(folder: Path) -> None:
    plan = read(folder, "entries: [{space: spaces/toys.yaml}]")
    assert (plan.name, plan.results) == ("plan", folder / "results" / "plan")
    assert plan.db == str(folder / "results" / "plan" / "plan.db")
    assert (plan.rules.least, plan.rules.confidence) == (0.05, 0.99)
    assert plan.retention.max_age is None
    [entry] = plan.entries
    assert (entry.name, entry.workers, entry.device) == ("toys", 1, None)
    assert entry.space.search.trials == 5, "the space's own"


def test_paths_start_from_the_plans_folder(folder: Path) -> None:
    plan = read(folder, "results: ../out\ndb: ../out/all.db\nentries: [{space: spaces/toys.yaml}]")
    assert plan.results == folder.parent / "out"
    assert plan.db == str(folder.parent / "out" / "all.db")


def test_a_database_may_be_a_url(folder: Path) -> None:
    plan = read(folder, "db: postgresql+psycopg://h/n\nentries: [{space: spaces/toys.yaml}]")
    assert plan.db == "postgresql+psycopg://h/n"


def test_an_entrys_budget_goes_before_the_defaults_and_these_before_the_space(folder: Path) -> None:
    plan = read(
        folder,
        "defaults: {trials: 8, max_time: 10m, workers: 2, strategy: random}\n"
        "entries:\n"
        "  - {space: spaces/toys.yaml, name: one, trials: 3, seed: 7}\n"
        "  - {space: spaces/toys.yaml, name: two}\n",
    )
    one, two = (entry.space.search for entry in plan.entries)
    assert (one.trials, one.max_time, one.strategy, one.seed) == (3, 600.0, "random", 7)
    assert (two.trials, two.max_time, two.strategy, two.seed) == (8, 600.0, "random", 0)
    assert [entry.workers for entry in plan.entries] == [2, 2]


def test_models_and_devices_multiply_and_are_in_the_names(folder: Path) -> None:
    plan = read(
        folder,
        "entries:\n"
        "  - space: spaces/on-device.yaml\n"
        "    models: [spaces/model, other-0.5B]\n"
        "    devices: [cpu, cuda]\n",
    )
    assert [entry.name for entry in plan.entries] == [
        "on-device-model-cpu",
        "on-device-model-cuda",
        "on-device-other-0.5B-cpu",
        "on-device-other-0.5B-cuda",
    ]
    assert [entry.device for entry in plan.entries] == ["cpu", "cuda"] * 2
    assert values(plan.entries[0].space, "genai_builder")["execution_provider"] == "cpu"
    assert plan.entries[3].space.model.path == (folder / "other-0.5B").resolve()
    assert plan.entries[0].unavailable is None


def test_an_entry_for_a_device_that_is_not_there_is_no_mistake(folder: Path) -> None:
    plan = read(folder, "entries: [{space: spaces/on-device.yaml, devices: [dml]}]")
    assert plan.entries[0].unavailable == "DirectML is a part of Windows only"


def test_values_are_set_and_constraints_added(folder: Path) -> None:
    plan = read(
        folder,
        "entries:\n"
        "  - space: spaces/toys.yaml\n"
        "    set: {pipeline.toy.a: 1, limits.time: 5m, name: own}\n"
        "    constraints: ['cost<20ms']\n",
    )
    [entry] = plan.entries
    assert values(entry.space, "toy")["a"] == 1
    assert (entry.space.limits.time, entry.name) == (300.0, "own")
    assert [c.text for c in entry.space.constraints] == ["cost<20ms"]


def test_retention_and_rules_are_read(folder: Path) -> None:
    plan = read(
        folder,
        "retention: {max_age: 14d, max_size: 20GB}\nregressions: {least: 10%, confidence: 95%}\n"
        "entries: [{space: spaces/toys.yaml}]",
    )
    assert (plan.retention.max_age, plan.retention.max_size) == (14 * 86400.0, 20 * 10**9)
    assert (plan.rules.least, plan.rules.confidence) == pytest.approx((0.10, 0.95))


def test_everything_that_is_wrong_is_said_at_once_with_its_line(folder: Path) -> None:
    found = problems(
        folder,
        "name: ../up\n"
        "retntion: {}\n"
        "defaults: {trials: 0}\n"
        "entries:\n"
        "  - {space: spaces/toyz.yaml}\n"
        "  - {spce: spaces/toys.yaml}\n"
        "  - {space: spaces/toys.yaml, devices: [gpu]}\n"
        "  - space: spaces/toys.yaml\n"
        "    name: two\n"
        "    set: {pipeline.toy.aa: 1}\n"
        "regressions: {least: 5, confidence: 20%}\n",
    )
    text = "\n".join(found)
    for part in (
        "plan.yaml:1: name: found '../up', expected letters, digits, spaces and ._-",
        "plan.yaml:2: unknown key 'retntion', expected name",
        "did you mean 'retention'?",
        "plan.yaml:3: trials: found the number 0, expected a whole number of at least 1",
        "plan.yaml:5: space 'spaces/toyz.yaml': there is no such space file",
        "plan.yaml:6: unknown key 'spce' in an entry",
        "plan.yaml:7: devices: found the text 'gpu', expected cpu, openvino, cuda",
        "plan.yaml:8: in its space: --set 'pipeline.toy.aa=1': unknown",
        "plan.yaml:11: least: found 5, expected more than 0 and less than 1, such as 5%",
        "plan.yaml:11: confidence: found 20%, expected from 50% to below 100%",
    ):
        assert part in text, text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty, expected a plan with entries"),
        ("[1]", "found a list, expected a mapping with entries: a plan"),
        ("name: a", "the key 'entries' is missing"),
        ("entries: []", "entries: found a list, expected a list of mappings with a space each"),
        ("entries: [{}]", "of an entry, the key 'space' is missing"),
        (
            "entries: [{space: spaces/toys.yaml, devices: [cpu]}]",
            "devices: no step of toys has execution_provider, which says where a model runs",
        ),
        (
            "entries: [{space: spaces/toys.yaml}, {space: spaces/toys.yaml}]",
            "a second entry 'toys'; give one of them another name",
        ),
        (
            "entries: [{space: spaces/toys.yaml}, {space: spaces/toys.yaml, name: toys-2}]",
            "the names 'toys' and 'toys-2' differ by a number after a dash",
        ),
    ],
)
def test_a_wrong_plan_says_what_was_expected(folder: Path, text: str, said: str) -> None:
    assert said in "\n".join(problems(folder, text))
