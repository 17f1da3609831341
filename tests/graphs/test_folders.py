"""Folders that hold a graph: reading one, and writing one like it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from evaluators.base import Artifact
from tuner.graphs import folders
from tuner.passes import PassError


def small_graph() -> onnx.ModelProto:
    """x @ w, where w is a stored matrix of 4 kB; its node has no name."""
    weight = onnx.numpy_helper.from_array(np.ones((32, 32), np.float32), "w")
    floats = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])],
        "main",
        [onnx.helper.make_tensor_value_info("x", floats, [1, 32])],
        [onnx.helper.make_tensor_value_info("y", floats, [1, 32])],
        [weight],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])


@pytest.fixture
def model(tmp_path: Path) -> Artifact:
    folder = tmp_path / "given"
    (folder / "adapters").mkdir(parents=True)
    onnx.save(small_graph(), folder / "model.onnx")
    (folder / "config.json").write_text("{}")
    (folder / "adapters" / "one.bin").write_bytes(b"1")
    return Artifact("onnx", folder)


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_other_files_are_shared_and_the_graph_is_written_anew(
    model: Artifact, tmp_path: Path
) -> None:
    folders.save(folders.load(model), model, tmp_path / "made")
    assert files(tmp_path / "made") == ["adapters/one.bin", "config.json", "model.onnx"]
    for name in ("adapters/one.bin", "config.json"):
        ours, theirs = (folder / name for folder in (tmp_path / "made", model.path))
        assert ours.samefile(theirs)
    assert not (tmp_path / "made" / "model.onnx").samefile(model.path / "model.onnx")


def test_many_weights_get_a_file_of_their_own_and_keep_it(
    model: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "BIG", 1000)
    folders.save(folders.load(model), model, tmp_path / "big")
    assert "model.onnx.data" in files(tmp_path / "big")
    monkeypatch.undo()
    big = Artifact("onnx", tmp_path / "big")
    folders.save(folders.load(big), big, tmp_path / "again")
    assert files(tmp_path / "again") == files(tmp_path / "big")
    assert not (tmp_path / "again" / "model.onnx.data").samefile(big.path / "model.onnx.data")
    (weight,) = onnx.load(tmp_path / "again" / "model.onnx").graph.initializer
    assert onnx.numpy_helper.to_array(weight).sum() == 32 * 32


def test_a_graph_that_was_written_is_whole_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "BIG", 1000)
    graph = small_graph()
    folders.write(graph, tmp_path / "big.onnx")
    assert files(tmp_path) == ["big.onnx", "big.onnx.data"]
    for whole in (graph, folders.read(tmp_path / "big.onnx")):
        (weight,) = whole.graph.initializer
        assert onnx.numpy_helper.to_array(weight).sum() == 32 * 32


def test_every_node_has_a_name_of_its_own(model: Artifact) -> None:
    graph = folders.load(model)
    assert [node.name for node in graph.graph.node] == ["MatMul_node_0"]


def test_a_folder_without_a_graph_is_an_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(PassError, match=r"no 'onnx' model: it has no model\.onnx"):
        folders.load(Artifact("onnx", tmp_path))
    with pytest.raises(PassError, match=r"genai_config\.json cannot be read"):
        folders.load(Artifact("genai", tmp_path))
    (tmp_path / "genai_config.json").write_text('{"model": {}}')
    with pytest.raises(PassError, match=r"genai_config\.json cannot be read"):
        folders.load(Artifact("genai", tmp_path))


def test_a_genai_folder_says_which_file_is_the_decoder(tiny_genai: Path) -> None:
    model = Artifact("genai", tiny_genai)
    assert folders.graph_path(model).name == "model.onnx"
    assert folders.cache_shape(tiny_genai) == (2, 16)
