"""`tune package`: a zip file from which the model runs without this program."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from pass_support import filled_in
from runtime_support import adapted, save_like, served
from tiny_models import TEMPLATE

from evaluators.base import Artifact
from tuner.cli.main import _dispatch
from tuner.passes import StageContext, all_passes

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in this process: exit code, standard output, standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = _dispatch(["package", *map(str, arguments)])
        found = capsys.readouterr()
        return code, found.out, found.err

    return call


@pytest.fixture
def answer(tiny_genai: Path, tmp_path: Path) -> Path:
    """An answer's folder, whose recipe and configurations name places of this machine."""
    folder = tmp_path / "answer"
    shutil.copytree(tiny_genai, folder / "model")
    (folder / "model" / ".tune.json").write_text("{}")
    (folder / "model" / "LICENSE.txt").write_text("Do as you like.\n")
    recipe = {
        "name": "tones-recipe",
        "model": "../../../home/ann/models/phi-tiny",
        "task": "text-generation",
        "data": {"files": "../data/tones.jsonl", "template": TEMPLATE, "label": "tone"},
        "pipeline": [{"genai_builder": {"precision": "fp32"}}],
        "metrics": {"cost": {"function": "/home/ann/metrics.py:cost", "goal": "minimize"}},
    }
    text = yaml.safe_dump(recipe, sort_keys=False)
    (folder / "recipe.yaml").write_text(f"# trial 3 of the study tones\n{text}")
    summary = {
        "study": "tones",
        "space": {"name": "tones", "model": "/home/ann/models/phi-tiny"},
        "objectives": ["minimize latency"],
        "constraints": ["accuracy>0.9"],
        "environment": {"onnxruntime-genai": "0.18.0", "onnxruntime": "1.31.1"},
        "chosen": {
            "metrics": {"latency": {"value": 0.02, "low": 0.019, "high": 0.021, "unit": "s"}}
        },
        "baseline": None,
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def unpacked(package: Path, folder: Path) -> Path:
    with zipfile.ZipFile(package) as archive:
        assert archive.testzip() is None
        archive.extractall(folder)
    return folder


def sample(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the sample program as its user would: elsewhere, and without this project's modules."""
    command = [sys.executable, "-I", str(folder / "sample.py"), *words]
    elsewhere = folder.parent
    return subprocess.run(
        command, cwd=elsewhere, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def sample_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs the sample program in this process, which has the libraries imported: its output."""

    def call(folder: Path, *words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["sample.py", *words])
        capsys.readouterr()
        runpy.run_path(str(folder / "sample.py"))
        return capsys.readouterr().out

    return call


def test_the_sample_program_of_a_package_answers_in_the_recipes_words(
    run: Run, answer: Path, tmp_path: Path
) -> None:
    package = tmp_path / "model.zip"
    code, out, err = run(answer, "-o", package)
    assert code == 0, err
    assert out.startswith(f"wrote {package}")
    folder = unpacked(package, tmp_path / "elsewhere" / "unpacked")
    program = (folder / "sample.py").read_text()
    assert "tuner" not in program
    assert "search_spaces" not in program
    assert "'### Text: ' + sys.argv[1]" in program
    found = sample(folder, "We danced barefoot.")
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip()
    wrong = sample(folder)
    assert wrong.returncode == 1
    assert 'usage: python sample.py "PHRASE"' in wrong.stderr


def test_a_package_holds_what_belongs_to_the_model(run: Run, answer: Path, tmp_path: Path) -> None:
    package = tmp_path / "model.zip"
    assert run(answer, "-o", package)[0] == 0
    with zipfile.ZipFile(package) as archive:
        names = archive.namelist()
        read = {name: archive.read(name) for name in names}
    assert names == sorted(names)
    assert {"README.md", "recipe.yaml", "requirements.txt", "sample.py"} <= set(names)
    assert {"LICENSE.txt", "model/model.onnx", "model/tokenizer.json"} <= set(names)
    assert not any("/." in name for name in names)
    for path in (p for p in (answer / "model").rglob("*") if p.suffix in (".onnx", ".data")):
        assert read[f"model/{path.name}"] == path.read_bytes()
    requirements = read["requirements.txt"].decode().splitlines()
    assert requirements[:2] == ["onnxruntime-genai==0.18.0", "onnxruntime==1.31.1"]
    card = read["README.md"].decode()
    assert "20.0 ms (19.0-21.0)" in card
    assert "`phi-tiny`" in card


def test_no_path_of_the_machine_is_in_a_package(run: Run, answer: Path, tmp_path: Path) -> None:
    config = answer / "model" / "genai_config.json"
    found = json.loads(config.read_text())
    found["model"]["decoder"]["session_options"]["profile"] = "/home/ann/profile/out.json"
    config.write_text(json.dumps(found))
    package = tmp_path / "model.zip"
    code, _, err = run(answer, "-o", package)
    assert code == 0
    assert "model/genai_config.json: a path of this machine was taken out of profile" in err
    assert "recipe.yaml needs files that are not packed" in err
    folder = unpacked(package, tmp_path / "unpacked")
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix != ".onnx":
            content = path.read_bytes()
            assert b"/home/ann" not in content, path
            assert str(tmp_path).encode() not in content, path
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    assert recipe["model"] == "./phi-tiny"
    assert recipe["data"]["files"] == "./tones.jsonl"
    assert recipe["data"]["template"] == TEMPLATE
    assert recipe["metrics"]["cost"]["function"] == "./metrics.py:cost"
    assert (folder / "recipe.yaml").read_text().startswith("# trial 3 of the study tones\n")


def test_the_same_folder_gives_the_same_bytes(run: Run, answer: Path, tmp_path: Path) -> None:
    assert run(answer, "-o", tmp_path / "one.zip")[0] == 0
    for path in answer.rglob("*"):
        os.utime(path, (0, 0))
    assert run(answer, "-o", tmp_path / "two.zip")[0] == 0
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_a_file_that_is_there_is_replaced_only_by_force(
    run: Run, answer: Path, tmp_path: Path
) -> None:
    package = tmp_path / "model.zip"
    package.write_text("mine")
    code, _, err = run(answer, "-o", package)
    assert code == 2
    assert "is there already; --force replaces it" in err
    assert package.read_text() == "mine"
    assert run(answer, "-o", package, "--force")[0] == 0
    assert zipfile.is_zipfile(package)


def test_nothing_half_written_is_left(
    run: Run, answer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", stop)
    before = sorted(tmp_path.iterdir())
    code, _, err = run(answer, "-o", tmp_path / "model.zip")
    assert code == 1
    assert "No space left on device" in err
    assert sorted(tmp_path.iterdir()) == before


def test_a_dry_run_lists_files_and_sizes(run: Run, answer: Path, tmp_path: Path) -> None:
    code, out, _ = run(answer, "-o", tmp_path / "model.zip", "--dry-run")
    assert code == 0
    assert "model/model.onnx" in out
    assert "in all" in out
    assert not (tmp_path / "model.zip").exists()


def test_adapters_are_packed_and_one_is_active(
    run: Run, tiny_phi3: Path, tmp_path: Path, sample_here: Callable[..., str]
) -> None:
    adapter = adapted(tiny_phi3, tmp_path / "adapted")[0]
    model = served(adapter, tmp_path / "served").path
    assert run(model, "-o", tmp_path / "model.zip")[0] == 0
    folder = unpacked(tmp_path / "model.zip", tmp_path / "unpacked")
    program = (folder / "sample.py").read_text()
    assert 'name = "tuned"  # or: base' in program
    tuned = sample_here(folder, "We danced")
    (folder / "sample.py").write_text(program.replace('name = "tuned"', 'name = "base"'))
    assert tuned.strip()
    assert sample_here(folder, "We danced") != tuned


def test_a_peft_adapter_takes_its_base_along_where_the_answer_has_it(
    run: Run, tiny_phi3: Path, tmp_path: Path, sample_here: Callable[..., str]
) -> None:
    adapter = adapted(tiny_phi3, tmp_path / "adapted")[0]
    answer = tmp_path / "answer"
    shutil.copytree(adapter.path, answer / "model")
    code, _, err = run(answer, "-o", tmp_path / "alone.zip")
    assert code == 0, err
    assert "is not packed" in err
    shutil.copytree(tiny_phi3, answer / "base")
    config = answer / "model" / "adapter_config.json"
    named = json.loads(config.read_text()) | {"base_model_name_or_path": str(answer / "base")}
    config.write_text(json.dumps(named))
    assert run(answer, "-o", tmp_path / "model.zip")[0] == 0
    folder = unpacked(tmp_path / "model.zip", tmp_path / "unpacked")
    assert str(tmp_path) not in (folder / "model" / "adapter_config.json").read_text()
    assert sample_here(folder, "We danced").strip()


def test_an_encoder_for_onnx_runtime_prints_its_labels(
    run: Run, tiny_bert: Path, tmp_path: Path, sample_here: Callable[..., str]
) -> None:
    from transformers import BertForSequenceClassification

    labels = {0: "joy", 1: "fear"}
    network = BertForSequenceClassification.from_pretrained(
        tiny_bert, id2label=labels, label2id={name: i for i, name in labels.items()}
    )
    source = save_like(network, tiny_bert, tmp_path / "source")
    export, model = all_passes()["onnx_export"], tmp_path / "model"
    model.mkdir()
    came_in, task = Artifact("hf", source), "text-classification"
    export.run(StageContext(came_in, filled_in(export, {}), model, task, None))
    for packed, folder in ((model, "onnx"), (source, "torch")):
        assert run(packed, "-o", tmp_path / f"{folder}.zip")[0] == 0
        found = sample_here(unpacked(tmp_path / f"{folder}.zip", tmp_path / folder), "We danced")
        assert {line.split()[1] for line in found.splitlines()} == {"joy", "fear"}


def test_what_cannot_be_packed_is_said_in_words(run: Run, answer: Path, tmp_path: Path) -> None:
    for arguments, words in (
        ([tmp_path / "nothing", "-o", tmp_path / "x.zip"], "there is no folder"),
        ([answer, "-o", tmp_path], "is a folder; name a file such as"),
        ([answer, "-o", answer / "model" / "x.zip"], "lies in the model's own folder"),
        ([answer, "-o", tmp_path / "x.zip", "--db", tmp_path / "no.db"], "no.db"),
    ):
        code, _, err = run(*arguments)
        assert code == 2, arguments
        assert words in err
    (answer / "recipe.yaml").write_text("a: [")
    code, _, err = run(answer, "-o", tmp_path / "x.zip")
    assert code == 2
    assert "is no YAML" in err
