"""Model folders that are damaged, or ask for what is not there, in every runtime."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluators.base import Artifact, DeadModel, MeasurementError
from evaluators.runtimes import providers
from evaluators.runtimes.genai import Generation
from evaluators.runtimes.models import open_classifier, open_language_model
from evaluators.runtimes.onnx import Encoder
from evaluators.runtimes.providers import PROVIDERS, Provider, unavailable

FOLDERS = ("hf", "genai", "classifier", "onnx")
Spoiled = Callable[[str], Path]


@pytest.fixture(scope="session")
def sources(
    tiny_phi3: Path,
    tiny_genai: Path,
    tiny_onnx: Path,
    torch_classifier: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """A folder of every format that is whole; "classifier" is one for torch. Read only."""
    classifier = tmp_path_factory.mktemp("classifier") / "model"
    shutil.copytree(tiny_onnx, classifier, ignore=shutil.ignore_patterns("model.onnx*"))
    torch_classifier.save_pretrained(classifier)
    return {"hf": tiny_phi3, "genai": tiny_genai, "classifier": classifier, "onnx": tiny_onnx}


@pytest.fixture
def spoiled(sources: dict[str, Path], tmp_path: Path) -> Spoiled:
    """A function that copies a folder, so that it can be spoiled."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(sources[name], tmp_path / "model"))

    return copy


def use(name: str, folder: Path) -> None:
    """Open the model, and ask it everything that there is."""
    if name in ("hf", "genai"):
        model = open_language_model(Artifact(name, folder))
        ids = np.array([[9, 10, 11]], np.int64)
        model.step(ids, None, keep=False)
        model.logits(ids)
        model.generate([9, 10, 11], 4)
        assert model.tokenizer("Who knew?")["input_ids"]
    else:
        classifier = open_classifier(Artifact("hf" if name == "classifier" else name, folder))
        rows, _ = classifier.tokenise(["Who knew?"])
        classifier.logits(rows)
        classifier.log_probabilities(rows[0])


def weights(folder: Path) -> Path:
    """The file that holds the weights."""
    names = ("model.safetensors", "model.onnx.data", "model.onnx")
    return next(folder / name for name in names if (folder / name).exists())


@pytest.mark.parametrize("name", FOLDERS)
def test_a_whole_folder_is_used(name: str, sources: dict[str, Path]) -> None:
    use(name, sources[name])


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_without_weights_is_refused(name: str, spoiled: Spoiled) -> None:
    folder = spoiled(name)
    weights(folder).unlink()
    with pytest.raises(MeasurementError):
        use(name, folder)


@pytest.mark.parametrize("name", FOLDERS)
def test_cut_weights_are_refused(name: str, spoiled: Spoiled) -> None:
    file = weights(spoiled(name))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(MeasurementError, match="load"):
        use(name, file.parent)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_without_its_configuration_is_refused(name: str, spoiled: Spoiled) -> None:
    folder = spoiled(name)
    (folder / ("genai_config.json" if name == "genai" else "config.json")).unlink()
    with pytest.raises(MeasurementError, match=r"config\.json|configuration"):
        use(name, folder)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_without_tokenizer_is_refused(name: str, spoiled: Spoiled) -> None:
    folder = spoiled(name)
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(MeasurementError, match="tokenizer"):
        use(name, folder)


@pytest.mark.parametrize("name", ["hf", "classifier"])
def test_a_checkpoint_that_lacks_a_tensor_is_refused(name: str, spoiled: Spoiled) -> None:
    from safetensors.torch import load_file, save_file

    file = weights(spoiled(name))
    tensors = load_file(file)
    lost = next(key for key in tensors if ".layers.1." in key or ".layer.1." in key)
    del tensors[lost]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(MeasurementError, match=f"lacks 1 tensors, such as {lost}"):
        use(name, file.parent)


def test_a_checkpoint_that_is_not_packed_is_refused_as_one(tiny_phi3: Path) -> None:
    with pytest.raises(MeasurementError, match="quant_method gptq"):
        open_language_model(Artifact("quantized", tiny_phi3))


def spoil_number(name: str, file: Path) -> None:
    """Make one weight of the last norm, or of the head's bias, no number."""
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file, save_file

        tensors = load_file(file)
        chosen = "model.norm.weight" if name == "hf" else "classifier.bias"
        tensors[chosen][0] = float("nan")
        save_file(tensors, file, metadata={"format": "pt"})
        return
    import onnx
    from onnx import numpy_helper

    model = onnx.load(file.parent / "model.onnx")
    chosen = "model.layers.2.final_norm_layernorm.weight" if name == "genai" else "classifier.bias"
    tensor = next(i for i in model.graph.initializer if i.name.endswith(chosen))
    values = numpy_helper.to_array(tensor).copy()
    values[0] = np.nan
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, file.parent / "model.onnx")


@pytest.mark.parametrize("name", FOLDERS)
def test_a_weight_that_is_no_number_makes_the_model_dead(name: str, spoiled: Spoiled) -> None:
    folder = spoiled(name)
    spoil_number(name, weights(folder))
    if name not in ("hf", "genai"):
        with pytest.raises(DeadModel, match="not finite"):
            use(name, folder)
        return
    model = open_language_model(Artifact(name, folder))
    ids = np.array([[9, 10, 11]], np.int64)
    asked: list[Callable[[], object]] = [
        lambda: model.step(ids, None, keep=False),
        lambda: model.logits(ids),
        lambda: model.generate([9, 10, 11], 4),
    ]
    for ask in asked:
        with pytest.raises(DeadModel, match="not finite"):
            ask()


@pytest.mark.parametrize("provider", ["cuda", "dml", "OpenVINO"])
def test_a_genai_folder_for_a_provider_that_is_not_there_is_refused(
    provider: str, spoiled: Spoiled
) -> None:
    name = str(providers.named_in_genai(provider))
    if unavailable(name) is None:
        pytest.skip(f"this machine has {name}")
    folder = spoiled("genai")
    path = folder / "genai_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["model"]["decoder"]["session_options"]["provider_options"] = [{provider: {}}]
    path.write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(MeasurementError, match=f"asks for {name}, which cannot be used: "):
        Generation(folder)


def test_a_provider_that_takes_no_part_of_the_graph_is_refused(
    spoiled: Spoiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime as ort

    if "AzureExecutionProvider" not in ort.get_available_providers():
        pytest.skip("this onnxruntime has no provider that runs no graph of ours")
    azure = Provider("AzureExecutionProvider", "AZURE")
    monkeypatch.setattr(providers, "PROVIDERS", {**PROVIDERS, "azure": azure})
    folder = spoiled("onnx")
    session = {"execution_provider": "azure"}
    (folder / "session.json").write_text(json.dumps(session), encoding="utf-8")
    message = "asks for azure, which took no part of its graph; it ran on CPUExecutionProvider"
    with pytest.raises(MeasurementError, match=message):
        Encoder(folder)
