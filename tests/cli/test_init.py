"""`tune init`: a space for a model that is valid as it is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli.conftest import Desk

from search_spaces import Space, read_space
from search_spaces.space import Choices, OneOf, Step, steps_of
from tuner.init.text import slack
from tuner.registry import vocabulary


@pytest.fixture
def models(desk: Desk, tiny_llama: Path, tiny_phi3: Path, tiny_bert: Path, tone_file: Path) -> Desk:
    """A desk with the tiny models and the data in its folder."""
    for path, name in (
        (tiny_llama, "llama"),
        (tiny_phi3, "phi3"),
        (tiny_bert, "bert"),
        (tone_file, "tones.jsonl"),
    ):
        (desk.folder / name).symlink_to(path)
    return desk


def steps(space: Space) -> dict[str, Step]:
    return {step.id: step for item in space.pipeline for step in steps_of(item)}


def written(desk: Desk, name: str = "new.yaml") -> Space:
    return read_space(desk.folder / name, vocabulary()).space


@pytest.mark.parametrize(
    ("model", "arguments", "passes"),
    [
        ("llama", ["--data", "tones.jsonl"], ["lora", "merge_adapter", "genai_builder", "session"]),
        ("phi3", ["--data", "tones.jsonl"], ["lora", "merge_adapter", "genai_builder", "session"]),
        ("llama", [], ["genai_builder", "session"]),
        (
            "bert",
            ["--data", "tones.jsonl", "--label", "tone"],
            [
                *("drop_layers", "full_finetune", "onnx_export", "dynamic_int8", "static_int8"),
                *("weight_only", "session"),
            ],
        ),
    ],
)
def test_the_space_passes_the_check(
    model: str, arguments: list[str], passes: list[str], models: Desk
) -> None:
    task = "text-classification" if arguments else "text-generation"
    done = models.tune("init", "--model", model, "--task", task, *arguments, "-o", "new.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    assert "tune check new.yaml" in done.stdout
    assert "does not run" not in done.stdout
    checked = models.tune("check", "new.yaml")
    assert checked.returncode == 0, checked.stderr
    assert list(steps(written(models))) == passes
    text = (models.folder / "new.yaml").read_text()
    assert max(map(len, text.splitlines())) <= 80
    assert len(text.splitlines()) < 50


def test_choices_fit_the_widths_of_the_model(models: Desk) -> None:
    models.tune("init", "--model", "llama", "-o", "new.yaml")
    builder = steps(written(models))["genai_builder"].parameters
    assert builder["block_size"] == Choices((32, 64), builder["block_size"].when)
    wide = {"model_type": "phi3", "architectures": ["Phi3ForCausalLM"]} | {
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
    }
    (models.folder / "wide").mkdir()
    (models.folder / "wide" / "config.json").write_text(json.dumps(wide))
    models.tune("init", "--model", "wide", "-o", "wide.yaml")
    builder = steps(written(models, "wide.yaml"))["genai_builder"].parameters
    assert builder["block_size"] == Choices((32, 64, 128), builder["block_size"].when)
    algorithm = builder["algorithm"]
    assert isinstance(algorithm, Choices)
    assert "k_quant_mixed" in algorithm.values


def test_an_adapter_goes_onto_modules_that_the_architecture_has(models: Desk) -> None:
    data = ["--task", "text-classification", "--data", "tones.jsonl"]
    models.tune("init", "--model", "phi3", *data, "-o", "new.yaml")
    targets = steps(written(models))["lora"].parameters["target_modules"]
    assert isinstance(targets, Choices)
    assert targets.values == (("qkv_proj", "o_proj"), "all-linear")


def test_the_baseline_of_an_encoder_is_fine_tuned_and_precision_is_optional(models: Desk) -> None:
    models.tune("init", "--model", "bert", "--data", "tones.jsonl", "-o", "new.yaml")
    space = written(models)
    assert steps(space)["full_finetune"].baseline
    assert steps(space)["drop_layers"].optional
    [either] = [item for item in space.pipeline if isinstance(item, OneOf)]
    assert either.labels == ("none", "dynamic_int8", "static_int8", "weight_only")


@pytest.mark.parametrize(
    ("rows", "points"), [(5, 30), (12, 20), (60, 10), (160, 5), (1000, 2), (100_000, 2)]
)
def test_a_limit_on_accuracy_is_one_that_the_data_can_decide(rows: int, points: int) -> None:
    assert slack(rows) == points


def test_a_space_in_another_folder_finds_model_and_data(models: Desk) -> None:
    (models.folder / "spaces").mkdir()
    path = "spaces/new.yaml"
    task = ["--task", "text-classification", "--data", "tones.jsonl"]
    models.tune("init", "--model", "llama", *task, "-o", path)
    space = written(models, path)
    assert space.model.path == (models.folder / "llama").resolve()
    assert space.data is not None
    assert space.data.files == (("all", (models.folder / "tones.jsonl").resolve()),)


def test_a_file_that_is_there_is_written_over_only_by_force(models: Desk) -> None:
    before = (models.folder / "space.yaml").read_text()
    done = models.tune("init", "--model", "llama")
    assert done.returncode == 2
    assert "space.yaml is there already; --force" in done.stderr
    assert (models.folder / "space.yaml").read_text() == before
    assert models.tune("init", "--model", "llama", "--force").returncode == 0
    assert (models.folder / "space.yaml").read_text() != before


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        (["--model", "org/tiny-llama"], "causal", "taken to be a language model"),
        (["--model", "org/my-roberta", "--data", "tones.jsonl"], "encoder", "an encoder, by its"),
        (["--model", "org/x", "--kind", "encoder", "--data", "tones.jsonl"], "encoder", "wrote"),
        (["--model", "pypi:some-package==1.0/some/model.gguf"], "causal", "wrote"),
    ],
)
def test_a_kind_that_nobody_can_know_is_taken_from_the_name_and_said(
    arguments: list[str], kind: str, said: str, models: Desk
) -> None:
    models.environment["HF_HUB_CACHE"] = str(models.folder / "hub")
    done = models.tune("init", *arguments, "-o", "new.yaml")
    assert said in done.stdout, done.stderr
    assert ("onnx_export" in steps(written(models))) == (kind == "encoder")


def test_a_model_in_the_hubs_cache_is_known(models: Desk, tiny_bert: Path) -> None:
    snapshot = models.folder / "hub" / "models--org--thing" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text((tiny_bert / "config.json").read_text())
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("0" * 40)
    models.environment["HF_HUB_CACHE"] = str(models.folder / "hub")
    done = models.tune("init", "--model", "org/thing", "--data", "tones.jsonl", "-o", "new.yaml")
    assert "taken to be" not in done.stdout
    assert "layers: {choices: [2, 3]}" in (models.folder / "new.yaml").read_text()


def test_a_gpu_gets_its_provider_and_precisions_and_a_machine_without_one_is_told(
    models: Desk,
) -> None:
    done = models.tune("init", "--model", "phi3", "--device", "gpu", "-o", "new.yaml")
    assert done.returncode == 0
    text = (models.folder / "new.yaml").read_text()
    assert "execution_provider: cuda" in text
    assert "precision: {choices: [fp16, int4]}" in text
    runs = models.tune("check", "new.yaml").returncode == 0
    assert runs != ("does not run as it is" in done.stdout)


@pytest.mark.parametrize(
    ("columns", "row", "arguments", "reads", "label"),
    [
        ("text,label", "words about {i},{answer}", [], "text", "label"),
        ("id,headline,section", "{i},news of day {i},{answer}", [], "headline", "section"),
        (
            "premise,hypothesis,note,class",
            "it is {i} o'clock,it is {i},a very long remark on {i},{answer}",
            ["--label", "class"],
            "premise and hypothesis",
            "class",
        ),
    ],
)
def test_columns_are_guessed_and_the_guess_is_told(
    columns: str, row: str, arguments: list[str], reads: str, label: str, models: Desk
) -> None:
    answers = ["yes" if i % 2 else "no" for i in range(40)]
    rows = [columns, *(row.format(i=i, answer=answer) for i, answer in enumerate(answers))]
    (models.folder / "rows.csv").write_text("\n".join(rows) + "\n")
    task = ["--task", "text-classification", "--data", "rows.csv"]
    done = models.tune("init", "--model", "llama", *task, *arguments, "-o", "new.yaml")
    assert done.returncode == 0, done.stderr
    assert f"data: reads {reads}, predicts {label}" in done.stdout
    assert ("a guess" in done.stdout) != bool(arguments)
    assert "few rows: 8 to score with" in done.stdout
    assert models.tune("check", "new.yaml").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "llama", "--task", "text-classification"], "--data FILE --label COLUMN"),
        (["--model", "bert", "--task", "text-generation"], "an encoder generates no text"),
        (["--model", "llama", "--kind", "encoder"], "its config.json says causal"),
        (["--model", "unknown"], "neither a language model that generates nor an encoder"),
        (["--model", "./nowhere"], "there is no folder"),
        (["--model", "llama", "--task", "text-clasification"], "text-clasification"),
        (["--model", "bert", "--data", "tone.jsonl"], "did you mean 'tones.jsonl'"),
        (["--model", "bert", "--data", "tones.jsonl", "--label", "tones"], "did you mean 'tone'"),
        (["--model", "bert", "--data", "few.jsonl", "--label", "b"], "too few"),
        (["--model", "bert", "--data", "few.jsonl"], "say which: --label"),
        (["--task", "text-generation"], "--model"),
    ],
)
def test_what_cannot_be_written_is_refused_with_what_would_work(
    arguments: list[str], said: str, models: Desk
) -> None:
    rows = [{"a": f"some text {i}", "b": f"other {i % 2} {i}"} for i in range(8)]
    (models.folder / "few.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (models.folder / "unknown").mkdir()
    (models.folder / "unknown" / "config.json").write_text('{"is_encoder_decoder": true}')
    done = models.tune("init", *arguments, "-o", "new.yaml")
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (models.folder / "new.yaml").exists()
