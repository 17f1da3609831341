"""`tune import-olive` and `tune run`: what they write, run, say, and refuse."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from olive_configs import of_2024, of_today, written

from search_spaces import parse_space
from tuner.cli.main import _dispatch
from tuner.registry import vocabulary

SHARED = Path(__file__).parents[3] / "shared" / "data"
CUDA = {
    "target": "box",
    "systems": {
        "box": {
            "type": "LocalSystem",
            "accelerators": [{"execution_providers": ["CUDAExecutionProvider"]}],
        }
    },
}

Tune = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tune(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Tune:
    """The command in this process: its exit code, what it printed, and its messages."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TUNER_STORE", str(tmp_path / "store"))

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = _dispatch(list(arguments))
        found = capsys.readouterr()
        assert "Traceback" not in found.err
        return code, found.out, found.err

    return run


@pytest.fixture
def phi3(tmp_path: Path, tiny_phi3: Path, tone_file: Path) -> Path:
    """A folder's config of 2024 with its rows and a tiny Phi-3 beside it."""
    (tmp_path / "phi3").symlink_to(tiny_phi3)
    shutil.copy(tone_file, tmp_path / "rows.json")
    return written(tmp_path, of_2024("phi3"))


def short(text: str) -> bool:
    return all(len(line) <= 80 for line in text.splitlines())


def test_a_space_is_written_that_holds_and_what_is_left_out_is_told(
    tune: Tune, phi3: Path, tmp_path: Path
) -> None:
    code, out, err = tune("import-olive", "config.json", "-o", "spaces/new.yaml")
    assert (code, out) == (2, "")
    (tmp_path / "spaces").mkdir()
    code, out, err = tune("import-olive", "config.json", "-o", "spaces/new.yaml")
    assert code == 0
    assert "tune check spaces/new.yaml" in out
    assert "engine.cache_dir: where results lie" in err
    assert short(out + err)
    path = tmp_path / "spaces" / "new.yaml"
    space = parse_space(path.read_text(), path, vocabulary()).space
    assert space.model.path == (tmp_path / "phi3").resolve()
    assert space.data is not None


def test_without_an_output_the_space_is_on_the_terminal(tune: Tune, phi3: Path) -> None:
    code, out, _ = tune("import-olive", "config.json")
    assert code == 0
    assert "model: ./phi3" in out
    assert "r: 64" in out


def test_a_file_that_is_there_is_written_over_only_by_force(tune: Tune, phi3: Path) -> None:
    Path("new.yaml").write_text("mine")
    code, _, err = tune("import-olive", "config.json", "-o", "new.yaml")
    assert code == 2
    assert "--force" in err
    assert Path("new.yaml").read_text() == "mine"
    assert tune("import-olive", "config.json", "-o", "new.yaml", "--force")[0] == 0


def test_a_recipe_becomes_a_search(tune: Tune, phi3: Path) -> None:
    code, out, _ = tune("import-olive", "config.json", "--searchable")
    assert code == 0
    assert "choices" in out


def test_mistakes_are_told_with_file_and_line(tune: Tune, tmp_path: Path) -> None:
    config = of_today({"b": {"type": "ModelBuilder"}}) | {"evaluatr": "x"}
    written(tmp_path, config)
    for command in (("import-olive", "config.json"), ("run", "--config", "config.json")):
        code, out, err = tune(*command)
        assert (code, out) == (2, "")
        assert err.startswith("config.json:")
        assert "did you mean 'evaluator'?" in err


def test_nothing_is_written_of_what_cannot_be_done(tune: Tune, tmp_path: Path) -> None:
    written(tmp_path, of_today(model="openai/whisper-tiny"))
    code, out, err = tune("import-olive", "config.json", "-o", "new.yaml")
    assert (code, out) == (2, "")
    assert "speech" in err
    assert not Path("new.yaml").exists()
    code, _, err = tune("run", "--config", "config.json", "--dry-run")
    assert code == 2
    assert "config.json:4: input_model.model_path:" in err


def test_a_dry_run_shows_the_values_of_the_config(tune: Tune, phi3: Path) -> None:
    code, out, err = tune("run", "--config", "config.json", "--dry-run")
    assert code == 0
    for value in ("r = 64", "dropout = 0.1", "target_modules = [o_proj, qkv_proj]"):
        assert value in out
    assert "precision = int4" in out
    assert "left aside" in err
    assert short(out + err)


def test_a_key_can_be_set_and_a_goal_added(tune: Tune, phi3: Path) -> None:
    more = ("--set", "pipeline.lora.r=4", "--max", "size=1GB")
    code, out, _ = tune("run", "--config", "config.json", "--dry-run", *more)
    assert code == 0
    assert "r = 4" in out
    assert "size<=1GB" in out


def test_rows_and_model_can_be_others(tune: Tune, phi3: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.json").rename(tmp_path / "mine.jsonl")
    written(tmp_path, of_2024("models/not/here"))
    code, _, err = tune("run", "--config", "config.json", "--dry-run")
    assert code == 2
    assert "input_model.config.hf_config.model_name: there is no folder" in err
    assert err.count("config.json:") == 2
    assert "--model gives another" in err
    assert "--data gives another" in err
    code, _, err = tune("run", "--config", "config.json", "--dry-run", "--model", "./nowhere")
    assert code == 2
    assert "--model ./nowhere: there is no folder" in err
    more = ("--model", "phi3", "--data", "mine.jsonl")
    code, out, _ = tune("run", "--config", "config.json", "--dry-run", *more)
    assert code == 0
    assert str(tmp_path / "mine.jsonl") in "".join(out.split())


def test_rows_for_a_config_that_reads_none_are_refused(tune: Tune, phi3: Path) -> None:
    written(phi3.parent, of_today(model="phi3"))
    code, _, err = tune("run", "--config", "config.json", "--data", "rows.json", "--dry-run")
    assert code == 2
    assert "--data" in err


def test_a_provider_that_is_not_here_gives_way_to_the_cpu_in_words(tune: Tune, phi3: Path) -> None:
    written(phi3.parent, of_today(model="phi3") | CUDA)
    code, out, err = tune("run", "--config", "config.json", "--dry-run")
    assert code == 0
    if "CUDAExecutionProvider is not here" not in " ".join(err.split()):
        pytest.skip("this machine has CUDA")
    assert "execution_provider = cuda" not in out
    code, out, err = tune("run", "--config", "config.json", "--dry-run", "--build-only")
    assert code == 0
    assert "execution_provider = cuda" in out
    code, out, err = tune("run", "--config", "config.json", "--dry-run", "--device", "cpu")
    assert code == 0
    assert "not here" not in err


def test_what_the_cpu_cannot_run_is_built_for_the_configs_provider(tune: Tune, phi3: Path) -> None:
    written(phi3.parent, of_today(model="phi3") | CUDA)
    more = ("--set", "pipeline.genai_builder.precision=fp16", "--dry-run")
    code, out, err = tune("run", "--config", "config.json", *more)
    assert code == 0
    if "is not here" not in " ".join(err.split()):
        pytest.skip("this machine has CUDA")
    assert "what needs no run is measured" in " ".join(err.split())
    assert "execution_provider = cuda" in out


def test_a_stand_in_is_told_by_the_name_of_a_model_that_is_not_here(
    tune: Tune, tmp_path: Path
) -> None:
    written(tmp_path, of_2024("model-cache/microsoft/phi-3-mini"))
    more = ("--test-model", "--dry-run")
    code, out, err = tune("run", "--config", "config.json", *more)
    assert code == 0
    assert "phi3" in err
    assert "rows are made up" in " ".join(err.split())
    assert "test-models" in out


def test_a_config_runs_with_its_own_values(tune: Tune, phi3: Path) -> None:
    config: dict[str, Any] = json.loads(phi3.read_text())
    lora = config["passes"]["lora"]["config"]
    lora["training_args"]["max_steps"] = 2
    config["data_configs"][0]["pre_process_data_config"]["params"]["source_max_len"] = 64
    written(phi3.parent, config)
    more = ("--set", "metrics={size: {}}", "--objective", "minimize size", "--quiet")
    code, _, err = tune("run", "--config", "config.json", "-o", "out", *more)
    assert code in (0, 3), err
    chosen = json.loads(Path("out/summary.json").read_text())["chosen"]
    used = {step["pass"]: step["parameters"] for step in chosen["pipeline"]}
    assert list(used) == ["lora", "merge_adapter", "genai_builder"]
    expected = {
        "r": lora["lora_r"],
        "alpha": lora["lora_alpha"],
        "dropout": lora["lora_dropout"],
        "target_modules": lora["target_modules"],
        "max_steps": 2,
        "batch_size": 1,
        "max_length": 64,
        "packing": True,
    }
    assert expected.items() <= used["lora"].items()
    assert used["genai_builder"]["precision"] == "int4"
    assert (Path("out") / "model" / "genai_config.json").is_file()


def test_the_coverage_of_a_folder_is_printed_by_file_and_by_reason(
    tune: Tune, tmp_path: Path
) -> None:
    written(tmp_path / "many", of_today(), "builds.json")
    written(tmp_path / "many", of_today(model="openai/whisper-tiny"), "speech.json")
    written(tmp_path / "many", {"notes": []}, "notes.json")
    code, out, _ = tune("import-olive", "--coverage", "many")
    assert code == 0
    assert "speech.json: cannot" in out
    assert "builds.json: runs" in out
    assert "1 other file" in out
    code, out, _ = tune("import-olive", "--coverage", "many", "--json")
    assert code == 0
    assert json.loads(out)["classes"]["cannot"] == 1
    assert tune("import-olive", "--coverage", "mny")[0] == 2


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("lora-azureml", ["lora", "merge_adapter", "genai_builder"]),
        ("qlora-azureml", ["qlora", "merge_adapter"]),
        ("phi3-classification", ["lora", "merge_adapter", "genai_builder"]),
        ("phi3-classification-local", ["lora", "merge_adapter", "genai_builder"]),
    ],
)
def test_the_recipes_of_2024_run_from_their_own_files(
    tune: Tune, tiny_phi3: Path, tmp_path: Path, name: str, steps: list[str]
) -> None:
    path = SHARED / "olive-2024" / f"{name}.json"
    if not path.is_file():
        pytest.skip("the recipes of 2024 (../shared/data) are not here")
    columns = {"Question": "Who?", "Best Answer": "Me.", "phrase": "Ah!", "tone": "joy"}
    rows = [{key: f"{text} {i}" for key, text in columns.items()} for i in range(40)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    more = ("--model", str(tiny_phi3), "--data", "rows.jsonl", "--dry-run")
    code, out, _ = tune("run", "--config", str(path), *more)
    assert code == 0
    lines = out.splitlines()
    places = [lines.index(f"  {step}") for step in steps]
    assert places == sorted(places)
    for value in ("r = 64", "alpha = 64.0", "dropout = 0.1", "max_length = 2048", "packing = true"):
        assert f"      {value}" in lines


def test_no_heavy_library_is_imported_to_translate(phi3: Path) -> None:
    code = (
        "import sys; from tuner.cli.main import _dispatch; "
        "assert _dispatch(['import-olive', 'config.json']) == 0; "
        "assert _dispatch(['run', '--config', 'config.json', '--dry-run']) == 0; "
        "heavy = {'torch', 'transformers', 'optuna', 'pandas', 'onnxruntime', 'sqlalchemy'}; "
        "sys.exit(str(heavy & sys.modules.keys()) if heavy & sys.modules.keys() else 0)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=phi3.parent, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-500:]
