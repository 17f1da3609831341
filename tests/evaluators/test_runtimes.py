"""The contract of the runtimes: the same model through two of them says the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
from runtime_support import AGREES, adapted, agree, quantised, save_like, served

from evaluators.base import Artifact, MeasurementError
from evaluators.runtimes.models import (
    LanguageModel,
    generates,
    open_classifier,
    open_language_model,
)
from evaluators.runtimes.torch_models import TorchLanguageModel
from evaluators.scores import Question, log_probabilities

PROMPT = "### Text: Who knew?\n### The tone is:\n"
TEXTS = ["Who knew?", "The last bus left with my friends, and the town went quiet.", "Sunlight"]
LABELS = sorted(tiny_models.PHRASES)

Pair = tuple[LanguageModel, LanguageModel]
Copied = Callable[[Path], Path]


@pytest.fixture(scope="session")
def llama_genai(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX Runtime GenAI folder, fp32, built from `tiny_llama`. Read only."""
    return tiny_models.save_genai(tiny_llama, tmp_path_factory.mktemp("llama_genai") / "model")


@pytest.fixture(scope="session")
def artifacts(
    tiny_phi3: Path,
    tiny_llama: Path,
    tiny_genai: Path,
    llama_genai: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, tuple[Artifact, Artifact]]:
    """Language models, each in two forms that say the same."""
    folder = tmp_path_factory.mktemp("runtimes")
    adapter, merged = adapted(tiny_phi3, folder / "adapter")
    return {
        "phi3 in torch and genai": (Artifact("hf", tiny_phi3), Artifact("genai", tiny_genai)),
        "llama in torch and genai": (Artifact("hf", tiny_llama), Artifact("genai", llama_genai)),
        "packed and plain": quantised(tiny_llama, folder / "packed"),
        "adapter and merged": (adapter, merged),
        "adapter in torch and genai": (adapter, served(adapter, folder / "served")),
    }


PAIRS = (
    "phi3 in torch and genai",
    "llama in torch and genai",
    "packed and plain",
    "adapter and merged",
    "adapter in torch and genai",
)


@pytest.fixture(scope="session", params=PAIRS)
def pair(request: pytest.FixtureRequest, artifacts: dict[str, tuple[Artifact, Artifact]]) -> Pair:
    first, second = artifacts[request.param]
    assert generates(first)
    assert generates(second)
    return open_language_model(first), open_language_model(second)


@pytest.fixture
def copied(tmp_path: Path) -> Copied:
    """A function that copies a folder, so that it can be broken."""

    def copy(folder: Path) -> Path:
        return Path(shutil.copytree(folder, tmp_path / "copied"))

    return copy


def batch(model: LanguageModel) -> np.ndarray:
    """Three prompts of one length."""
    ids = list(model.tokenizer(PROMPT)["input_ids"])
    return np.array([ids, ids[::-1], [*ids[5:], *ids[:5]]], np.int64)


def test_logits_agree_at_every_position(pair: Pair) -> None:
    ids = batch(pair[0])
    first, second = (model.logits(ids) for model in pair)
    assert first.shape == second.shape == (*ids.shape, 600)
    assert first.dtype == second.dtype == np.float32
    assert first.std() > 100 * AGREES, "agreement would say nothing"
    agree(first, second)


def test_a_step_gives_the_logits_of_the_last_position(pair: Pair) -> None:
    ids = batch(pair[0])
    for model in pair:
        logits, cache = model.step(ids, None, keep=False)
        assert cache == {}
        agree(logits, model.logits(ids)[:, -1])


def test_a_step_goes_on_from_a_cache_whose_rows_are_chosen(pair: Pair) -> None:
    ids, rows = batch(pair[0]), [2, 0, 0, 1]
    more = np.array([[9], [10], [11], [12]], np.int64)
    expected = pair[1].logits(np.concatenate([ids[rows], more], 1))[:, -1]
    for model in pair:
        _, cache = model.step(ids, None, keep=True)
        chosen = {name: values[rows] for name, values in cache.items()}
        once, after = model.step(more, chosen, keep=True)
        again, _ = model.step(more, chosen, keep=False)
        agree(once, expected)
        assert np.array_equal(once, again), "a step changed the cache that it was given"
        further = np.concatenate([ids[rows], more, more + 20], 1)
        agree(model.step(more + 20, after, keep=False)[0], pair[1].logits(further)[:, -1])


def test_labels_are_as_probable(pair: Pair) -> None:
    prompt = tuple(pair[0].tokenizer(PROMPT)["input_ids"])
    names = [tuple(pair[0].tokenizer(f"{label}, I think")["input_ids"]) for label in LABELS]
    assert max(map(len, names)) > 2
    questions = [Question(prompt, tuple(names)), Question(prompt[2:], tuple(names))]
    first, second = (log_probabilities(model, questions) for model in pair)
    assert np.std(first) > 100 * AGREES
    agree(first, second)


def test_generated_tokens_are_the_same_and_each_the_most_probable(pair: Pair) -> None:
    prompt = list(pair[0].tokenizer(PROMPT)["input_ids"])
    first, second = (model.generate(prompt, 24) for model in pair)
    assert first == second
    assert len(first) == 24
    told = pair[0].logits(np.array([prompt + first], np.int64))[0, len(prompt) - 1 : -1]
    assert told.argmax(-1).tolist() == first


def test_generation_ends_with_the_context(pair: Pair) -> None:
    for model in pair:
        assert model.context_length == 256
        assert len(model.generate([9] * 250, 20)) <= 6
        with pytest.raises(MeasurementError, match="leaves no room in the model's context of 256"):
            model.generate([9] * 256, 1)
        with pytest.raises(MeasurementError, match="the prompt has no tokens"):
            model.generate([], 1)


def test_tokenizers_are_the_same(pair: Pair) -> None:
    for text in TEXTS:
        first, second = (model.tokenizer(text)["input_ids"] for model in pair)
        assert first == second


def test_conditions_say_what_it_ran_on(pair: Pair) -> None:
    for model in pair:
        model.step(batch(model), None, keep=False)
        model.generate([9, 10, 11], 2)
        found = model.conditions()
        assert json.loads(json.dumps(found)) == found
        assert "cpu" in (found.get("device") or found["provider"]).lower()
        assert found["threads"] >= 1
        assert all(found["versions"].values())
        if "generation" in found:
            assert found["generation"]["device"] == "CPU"


def test_conditions_of_torch_name_the_data_type_and_the_libraries(
    artifacts: dict[str, tuple[Artifact, Artifact]],
) -> None:
    import torch

    found = open_language_model(artifacts["adapter and merged"][0]).conditions()
    assert found["threads"] == torch.get_num_threads()
    assert found["runtime"] == "torch"
    assert found["dtype"] == "float32"
    assert found["versions"].keys() == {"torch", "transformers", "peft"}


def test_a_checkpoint_in_half_precision_computes_in_full(tiny_llama: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    half = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.bfloat16)
    model = open_language_model(Artifact("hf", save_like(half, tiny_llama, tmp_path / "half")))
    assert model.conditions()["dtype"] == "float32"
    off = np.abs(model.logits(batch(model)) - torch_logits(half.float(), batch(model)))
    assert off.max() < AGREES


def torch_logits(network: Any, ids: np.ndarray) -> np.ndarray:
    import torch

    with torch.no_grad():
        return np.asarray(network(torch.from_numpy(ids)).logits.numpy())


def test_packed_weights_are_not_the_float_ones(
    artifacts: dict[str, tuple[Artifact, Artifact]], tiny_llama: Path
) -> None:
    packed = open_language_model(artifacts["packed and plain"][0])
    original = open_language_model(Artifact("hf", tiny_llama))
    off = np.abs(packed.logits(batch(packed)) - original.logits(batch(original)))
    assert 10 * AGREES < off.mean() < 1


def test_an_adapter_changes_what_its_base_says(
    artifacts: dict[str, tuple[Artifact, Artifact]], tiny_phi3: Path
) -> None:
    adapter = open_language_model(artifacts["adapter and merged"][0])
    base = open_language_model(Artifact("hf", tiny_phi3))
    assert np.abs(adapter.logits(batch(adapter)) - base.logits(batch(base))).max() > 100 * AGREES


@pytest.mark.parametrize("family", ["gemma3_text", "lfm2"])
def test_caches_of_windows_and_of_convolutions_are_gone_on_from(
    family: str, tmp_path: Path
) -> None:
    from tuner.models.tiny import write_tiny

    model = open_language_model(Artifact("hf", write_tiny(family, tmp_path)))
    ids = np.arange(120).reshape(2, 60) + 10  # longer than a window
    rows, more = [1, 1, 0], np.array([[9], [10], [11]], np.int64)
    _, cache = model.step(ids, None, keep=True)
    chosen = {name: values[rows] for name, values in cache.items()}
    expected = model.logits(np.concatenate([ids[rows], more], 1))[:, -1]
    for _ in range(2):  # the first does not change what the second goes on from
        agree(model.step(more, chosen, keep=True)[0], expected)


@pytest.mark.parametrize("format_", ["hf", "genai"])
def test_generation_stops_before_a_token_that_ends_the_text(
    format_: str, tiny_phi3: Path, tiny_genai: Path, copied: Copied
) -> None:
    source = {"hf": tiny_phi3, "genai": tiny_genai}[format_]
    prompt = [9, 10, 11, 12]
    whole = open_language_model(Artifact(format_, source)).generate(prompt, 12)
    folder = copied(source)
    end = whole[5]
    name = {"hf": "generation_config.json", "genai": "genai_config.json"}[format_]
    config = json.loads((folder / name).read_text(encoding="utf-8"))
    (config if format_ == "hf" else config["model"])["eos_token_id"] = [2, end]
    (folder / name).write_text(json.dumps(config), encoding="utf-8")
    made = open_language_model(Artifact(format_, folder)).generate(prompt, 12)
    assert made == whole[: whole.index(end)]


def test_a_graph_of_the_last_position_alone_gives_all_of_them(
    tiny_phi3: Path, tiny_genai: Path, tmp_path: Path
) -> None:
    pruned = tmp_path / "model"
    from onnxruntime_genai.models.builder import create_model, parse_extra_options

    where = (None, str(tiny_phi3), str(pruned), "fp32", "cpu", str(tmp_path / "cache"))
    create_model(*where, **parse_extra_options(*where, ["prune_lm_head=true"]))
    model = open_language_model(Artifact("genai", pruned))
    whole = open_language_model(Artifact("genai", tiny_genai))
    agree(model.logits(batch(whole)), whole.logits(batch(whole)))


def test_the_other_kind_of_model_is_refused(tiny_bert: Path, tiny_phi3: Path) -> None:
    with pytest.raises(MeasurementError, match="found an encoder, expected a model that generates"):
        open_language_model(Artifact("hf", tiny_bert))
    with pytest.raises(MeasurementError, match="found a model that generates, expected an encoder"):
        open_classifier(Artifact("hf", tiny_phi3))


def test_an_adapter_without_its_base_is_refused(tiny_phi3: Path) -> None:
    with pytest.raises(MeasurementError, match="only be run with its base"):
        open_language_model(Artifact("adapter", tiny_phi3))


def test_a_request_is_timed_until_its_first_and_its_last_token(
    artifacts: dict[str, tuple[Artifact, Artifact]],
) -> None:
    prompt = np.full((2, 16), 9, np.int32)
    for first, second in artifacts.values():
        for artifact in (first, second):
            if artifact.format == "genai":
                continue
            model = TorchLanguageModel(artifact)
            model.check(prompt, 8)
            whole, begun = model.request(prompt, 8)
            assert 0 < begun < whole


@pytest.mark.parametrize("ends", [None, 0, list(range(600))])
def test_a_request_has_all_its_tokens_whatever_ends_a_text(
    ends: Any, tiny_phi3: Path, copied: Copied
) -> None:
    folder = copied(tiny_phi3)
    for name in ("config.json", "generation_config.json"):
        config = json.loads((folder / name).read_text(encoding="utf-8"))
        (folder / name).write_text(json.dumps(config | {"eos_token_id": ends}), encoding="utf-8")
    model = TorchLanguageModel(Artifact("hf", folder))
    taken = []
    model._network.register_forward_hook(lambda *_: taken.append(1))
    model.request(np.full((1, 16), 9, np.int32), 8)
    assert len(taken) == 8
    assert len(model.generate([9, 10], 8)) == (0 if ends == list(range(600)) else 8)


def test_a_request_beyond_the_context_is_refused(tiny_phi3: Path) -> None:
    model = TorchLanguageModel(Artifact("hf", tiny_phi3))
    with pytest.raises(MeasurementError, match="is 257, over the model's context of 256"):
        model.check(np.full((1, 250), 9, np.int32), 7)
