from __future__ import annotations

import json
from pathlib import Path

import pytest

from search_spaces.references import Reference, parse_reference
from tuner.models.errors import ModelError
from tuner.models.test_data import test_rows as made_up
from tuner.models.test_model import test_model as stand_in
from tuner.models.tiny import write_tiny


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network and an empty cache, wherever the tests run."""
    import huggingface_hub.constants as hub

    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a trait that the defaults of its type lack."""
    return write_tiny(
        "llama", tmp_path_factory.mktemp("large"), tie_word_embeddings=True, num_hidden_layers=9
    )


def test_a_folders_own_configuration_is_kept_and_nothing_is_guessed(
    large: Path, tmp_path: Path
) -> None:
    made = stand_in(parse_reference(str(large), tmp_path), tmp_path)
    config = json.loads((made.path / "config.json").read_text(encoding="utf-8"))
    assert (config["model_type"], config["tie_word_embeddings"]) == ("llama", True)
    assert config["num_hidden_layers"] < 9
    assert made.notices == ()


def test_the_same_architecture_gives_the_same_folder(large: Path, tmp_path: Path) -> None:
    reference = parse_reference(str(large), tmp_path)
    first = stand_in(reference, tmp_path)
    weights = (first.path / "model.safetensors").stat()
    assert stand_in(reference, tmp_path).path == first.path
    assert (first.path / "model.safetensors").stat().st_mtime_ns == weights.st_mtime_ns


def test_without_a_hub_the_name_tells_the_architecture_and_a_notice_says_so(
    tmp_path: Path,
) -> None:
    reference = Reference("hub", "microsoft/Phi-3-mini", repo="microsoft/Phi-3-mini")
    made = stand_in(reference, tmp_path)
    config = json.loads((made.path / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == "phi3"
    assert "taken from its name, phi3" in made.notices[0]


def test_a_name_that_tells_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="its name tells no architecture"):
        stand_in(Reference("hub", "someone/zebra", repo="someone/zebra"), tmp_path)


def test_a_text_model_inside_of_a_larger_one_is_what_is_made(tmp_path: Path) -> None:
    config = {"model_type": "qwen3_vl", "text_config": {"model_type": "qwen3"}}
    (tmp_path / "vl").mkdir()
    (tmp_path / "vl" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    made = stand_in(parse_reference(str(tmp_path / "vl"), tmp_path), tmp_path)
    found = json.loads((made.path / "config.json").read_text(encoding="utf-8"))
    assert found["model_type"] == "qwen3"


def test_conversations_can_be_tried(large: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    made = stand_in(parse_reference(str(large), tmp_path), tmp_path)
    words = AutoTokenizer.from_pretrained(made.path, local_files_only=True)
    talk = [{"role": "user", "content": "the dog"}]
    text = words.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
    assert text == "<|user|>\nthe dog</s>\n<|assistant|>\n"


def test_rows_are_made_up_that_differ_and_have_two_labels() -> None:
    rows = made_up(["sentence1", "sentence2", "same"], "same")
    assert len({row["sentence1"] for row in rows}) == len(rows)
    assert {row["same"] for row in rows} == {"yes", "no"}
    assert all(row["sentence1"] != row["sentence2"] for row in rows)
