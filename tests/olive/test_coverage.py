"""Which class a config falls in, with the reasons; and what is no config at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from olive_configs import of_2024, of_today, written

from tuner.olive.coverage import Reach, by_group, by_reach, coverage, file_coverage, to_json

SHARED = Path(__file__).parents[3] / "shared" / "data" / "olive-recipes"


def reach_of(folder: Path, config: Any) -> tuple[Reach | None, set[str]]:
    found = file_coverage(written(folder, config))
    return found.reach, {reason.group for reason in found.reasons}


def test_a_recipe_whose_passes_are_here_runs(tmp_path: Path) -> None:
    assert reach_of(tmp_path, of_2024()) == (Reach.RUNS, set())
    assert reach_of(tmp_path, of_today()) == (Reach.RUNS, set())


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    config = of_today()
    config["input_model"]["load_kwargs"] = {"torch_dtype": "float16"}
    assert reach_of(tmp_path, config) == (Reach.OMITS, {"precision of loading"})


def test_a_build_for_a_device_that_is_not_here_is_said_to_be_no_more_than_built(
    tmp_path: Path,
) -> None:
    system = {"type": "LocalSystem", "accelerators": [{"device": "gpu"}]}
    system["accelerators"][0]["execution_providers"] = ["WebGpuExecutionProvider"]  # type: ignore[index]
    config = of_today(systems={"gpu": system}, target="gpu")
    reach, groups = reach_of(tmp_path, config)
    assert reach is Reach.OMITS
    assert groups == {"no such device here: built for the CPU, or built and not measured"}


def test_a_vendors_passes_are_elsewhere(tmp_path: Path) -> None:
    config = of_today({"q": {"type": "QuarkQuantization"}})
    assert reach_of(tmp_path, config)[0] is Reach.ELSEWHERE


def test_a_picture_model_cannot(tmp_path: Path) -> None:
    config = of_today(
        {"c": {"type": "OnnxConversion"}},
        model="google/vit-base-patch16-224",
        task="image-classification",
    )
    assert reach_of(tmp_path, config)[0] is Reach.CANNOT


@pytest.mark.parametrize(
    "text", ['{"input_model": 1, "passes": {', '{"input_model": {}, "passes": 3}']
)
def test_a_config_with_a_mistake_cannot_and_says_which(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text, encoding="utf-8")
    found = file_coverage(path)
    assert found.reach is Reach.CANNOT
    assert {reason.group for reason in found.reasons} == {"configs with mistakes"}
    assert all(reason.text for reason in found.reasons)


def test_other_files_are_told_apart_and_not_counted(tmp_path: Path) -> None:
    written(tmp_path, {"model_type": "llama"}, "config.json")
    written(tmp_path, [1, 2], "list.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "readme.md").write_text("input_model passes", encoding="utf-8")
    written(tmp_path / "sub", of_today(), "run.json")
    written(tmp_path / ".hidden", of_today(), "run.json")
    found = coverage(tmp_path)
    assert {f.path.name: f.reach for f in found} == {
        "bytes.json": None,
        "config.json": None,
        "list.json": None,
        "run.json": Reach.RUNS,
    }
    assert by_reach(found)[Reach.RUNS] == 1
    assert sum(by_reach(found).values()) == 1


def test_tables_count_files_and_not_keys(tmp_path: Path) -> None:
    config = of_today()
    config["input_model"]["load_kwargs"] = {"torch_dtype": "float16"}
    written(tmp_path, config, "a.json")
    written(tmp_path, config, "b.json")
    found = coverage(tmp_path)
    assert by_group(found) == [(Reach.OMITS, "precision of loading", 2)]
    plain = json.loads(json.dumps(to_json(found, tmp_path)))
    assert plain["classes"][Reach.OMITS.value] == 2
    assert [f["file"] for f in plain["files"]] == ["a.json", "b.json"]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the example recipes are not here")
def test_every_example_has_a_class_and_a_reason_for_it() -> None:
    found = coverage(SHARED)
    assert len(found) >= 100
    for each in found:
        assert each.reach is not None, each.path
        assert each.reasons or each.reach is Reach.RUNS, each.path
        assert "configs with mistakes" not in {r.group for r in each.reasons}, each
