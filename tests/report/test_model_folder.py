"""The model of an answer, and what an adapter says of its base there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from evaluators.base import Artifact
from search_spaces.references import Reference, parse_reference
from tuner.report.model_folder import put_model

PLAIN = {"config.json": {"model_type": "phi3"}, "model.safetensors": 0}
ADAPTER = {"adapter_config.json": {"peft_type": "LORA"}, "adapter_model.safetensors": 0}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Models as stages leave them: an adapter that names no base, and two checkpoints."""
    for name, files in {"source": PLAIN, "rounded": PLAIN, "adapter": ADAPTER}.items():
        (tmp_path / name).mkdir()
        for file, content in files.items():
            (tmp_path / name / file).write_text(json.dumps(content))
    (tmp_path / "answer").mkdir()
    return tmp_path


def adapter_on(made: Path, base: str) -> Artifact:
    return Artifact("adapter", made / "adapter", Artifact("hf", made / base))


def written(made: Path, artifact: Artifact, model: Reference, identity: str = "1") -> Any:
    source = Artifact("hf", made / "source")
    put_model(made / "answer", artifact, source, model, identity)
    return json.loads((made / "answer/model/adapter_config.json").read_text())


def test_an_adapter_on_a_local_model_names_its_folder(made: Path) -> None:
    config = written(made, adapter_on(made, "source"), parse_reference("source", made))
    assert config == {"base_model_name_or_path": str(made / "source"), "peft_type": "LORA"}
    assert not (made / "answer/base").exists()
    assert parse_reference("answer", made).checkpoint.path == made / "source"
    kept = json.loads((made / "adapter/adapter_config.json").read_text())
    assert kept == {"peft_type": "LORA"}


def test_an_adapter_on_a_model_of_the_hub_names_it_as_the_hub_does(made: Path) -> None:
    config = written(made, adapter_on(made, "source"), parse_reference("org/name@v1", made))
    assert (config["base_model_name_or_path"], config["revision"]) == ("org/name", "v1")
    base = parse_reference("answer", made).checkpoint
    assert (base.repo, base.revision) == ("org/name", "v1")


def test_a_base_that_the_pipeline_made_lies_beside_its_adapter(made: Path) -> None:
    config = written(made, adapter_on(made, "rounded"), parse_reference("source", made))
    assert config["base_model_name_or_path"] == str(made / "answer/base")
    assert (made / "answer/base/model.safetensors").is_file()
    moved = shutil.move(made / "answer", made / "moved")
    assert parse_reference("moved", made).checkpoint.path == Path(moved) / "base"


def test_the_base_of_an_earlier_answer_goes_away(made: Path) -> None:
    written(made, adapter_on(made, "rounded"), parse_reference("source", made))
    written(made, adapter_on(made, "source"), parse_reference("source", made), "2")
    assert not (made / "answer/base").exists()


def test_a_folder_called_base_that_is_a_users_own_stays(made: Path) -> None:
    (made / "answer/base").mkdir()
    (made / "answer/base/mine.txt").write_text("mine")
    written(made, adapter_on(made, "source"), parse_reference("source", made))
    assert (made / "answer/base/mine.txt").exists()


def test_an_adapter_that_came_in_and_goes_out_keeps_its_base(made: Path) -> None:
    (made / "adapter/adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": str(made / "source")})
    )
    reference = parse_reference("adapter", made)
    came_in = adapter_on(made, "source")
    put_model(made / "answer", came_in, came_in, reference, "1")
    assert parse_reference("answer", made).checkpoint.path == made / "source"
