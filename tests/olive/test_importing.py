"""A config as the text of a space that holds, and what may stand in place of what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from olive_configs import of_2024, of_today, written

from search_spaces.overrides import Overrides
from search_spaces.problems import SpaceError
from search_spaces.reader import parse_space
from search_spaces.space import Fixed, Space, Step
from tuner.olive.draft import Kind, StepDraft
from tuner.olive.importing import Changes, import_olive, translate
from tuner.olive.telling import told
from tuner.registry import vocabulary

EXAMPLES = Path(__file__).parents[3] / "shared" / "data"


def space_of(text: str, path: Path) -> Space:
    anywhere = Overrides(build_only=True)
    return parse_space(text, path, vocabulary(), anywhere, elsewhere=True).space


def test_a_config_of_2024_becomes_a_space_with_its_values(tmp_path: Path) -> None:
    path = written(tmp_path, of_2024())
    imported = import_olive(path)
    lora, merge, build = space_of(imported.text, path).pipeline
    assert isinstance(lora, Step)
    assert isinstance(merge, Step)
    assert isinstance(build, Step)
    assert [step.spec.name for step in (lora, merge, build)] == [
        "lora",
        "merge_adapter",
        "genai_builder",
    ]
    fixed = {k: d.value for k, d in lora.parameters.items() if isinstance(d, Fixed)}
    expected = {"r": 64, "alpha": 64, "dropout": 0.1, "learning_rate": 0.0001, "max_steps": 10}
    assert expected.items() <= fixed.items()


def test_files_are_named_from_where_the_space_will_lie(tmp_path: Path) -> None:
    path = written(tmp_path / "configs", of_2024())
    imported = import_olive(path, folder=tmp_path)
    assert "files: ./configs/rows.json" in imported.text


def test_a_recipes_worth_is_told_and_no_condition(tmp_path: Path) -> None:
    path = written(tmp_path, of_2024())
    assert not space_of(import_olive(path).text, path).limits.faults
    assert space_of(import_olive(path, searchable=True).text, path).limits.faults


def test_another_provider_model_and_rows_take_the_place_of_the_configs(tmp_path: Path) -> None:
    config = of_2024()
    files = config["data_configs"][0]["load_dataset_config"]["params"]
    files["data_files"] = {"type": "azureml_datastore", "config": {"relative_path": "x"}}
    path = written(tmp_path, config)
    assert "rows in Azure ML" in {one.group for one in translate(path, Changes()).omissions}
    changes = Changes("other/model", str(tmp_path / "mine.json"), "CUDAExecutionProvider")
    draft = translate(path, changes)
    assert draft.model == "other/model"
    assert draft.data is not None
    assert draft.data["files"] == str(tmp_path / "mine.json")
    assert "rows in Azure ML" not in {one.group for one in draft.omissions}
    build = draft.pipeline[-1]
    assert isinstance(build, StepDraft)
    assert build.parameters["execution_provider"] == "cuda"


def test_rows_at_an_address_stay_there(tmp_path: Path) -> None:
    path = written(tmp_path, of_2024())
    draft = translate(path, Changes(rows="s3://bucket/rows.json"))
    assert draft.data is not None
    assert draft.data["files"] == "s3://bucket/rows.json"
    path = written(tmp_path, of_today())
    with pytest.raises(SpaceError, match="reads no rows"):
        translate(path, Changes(rows="rows.json"))


def test_what_is_told_fits_a_terminal_and_says_the_worst_first(tmp_path: Path) -> None:
    config = of_today(model="openai/whisper-tiny") | {"output_dir": "x", "cache_dir": "y"}
    config["input_model"]["load_kwargs"] = {"torch_dtype": "float16"}
    lines = told(translate(written(tmp_path, config), Changes()).omissions)
    assert all(len(line) <= 79 for line in lines)
    titles = [line for line in lines if not line.startswith(" ")]
    assert titles[0] == "nothing here can stand for:"
    assert titles[-1].startswith("left aside")
    assert "cache_dir" in lines[-1] or "cache_dir" in lines[-2]


@pytest.mark.parametrize("folder", ["olive-2024", "olive-recipes"])
def test_every_example_is_imported_and_nothing_is_dropped_in_silence(folder: str) -> None:
    files = sorted((EXAMPLES / folder).glob("*.json"))
    if not files:
        pytest.skip(f"the examples (../shared/data/{folder}) are not here")
    for path in files:
        config = json.loads(path.read_text(encoding="utf-8-sig"))
        if "passes" not in config:
            continue
        draft = import_olive(path).draft
        stops = {one.kind for one in draft.omissions} & {Kind.CANNOT, Kind.ELSEWHERE}
        assert draft.pipeline or stops, path
        said = " ".join(one.where for one in draft.omissions)
        for key in ("cache_dir", "output_dir", "log_severity_level"):
            if key in config:
                assert key in said, path
