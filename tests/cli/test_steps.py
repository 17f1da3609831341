"""`tune finetune`, `tune quantize`, `tune optimize`: what they write, refuse and make."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from search_spaces import read_space
from tuner.cli.main import _dispatch
from tuner.registry import vocabulary

DATA = ("--data", "tones.jsonl", "--template", r"### Text: {phrase}\n### The tone is:\n{tone}")
LABELS = (*DATA, "--label", "tone")


@dataclass
class Ran:
    code: int
    out: str
    err: str


class Bench:
    """A user's folder with the tiny models and data, and the command."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys

    def tune(self, *arguments: str) -> Ran:
        self._capsys.readouterr()
        try:
            code = _dispatch(list(arguments))
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        told = self._capsys.readouterr()
        return Ran(code, told.out, told.err)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all: what one test made, another finds."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def bench(
    tiny_phi3: Path,
    tiny_bert: Path,
    tone_file: Path,
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Bench:
    for path, name in ((tiny_phi3, "phi3"), (tiny_bert, "bert"), (tone_file, "tones.jsonl")):
        (tmp_path / name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNER_STORE", str(store))
    monkeypatch.setenv("COLUMNS", "80")
    return Bench(tmp_path, capsys)


# What is refused: by the name of the option that was given


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("quantize --model ./no --algorithm rtn", "--model: there is no folder"),
        ("quantize --model tones.jsonl --algorithm rtn", "is a file, expected the folder"),
        ("quantize --model phi3 --algorithm rtm", "did you mean 'rtn'?"),
        ("quantize --model phi3 --algorithm awq", "--data FILE is missing; rtn, hqq and kquant"),
        ("quantize --model phi3 --algorithm static", "not for language models that generate"),
        ("quantize --model bert --algorithm awq", "not for encoders; these are: dynamic"),
        ("quantize --model bert --algorithm dynamic", "--label COLUMN say what"),
        ("quantize --model phi3 --algorithm rtn --bits 3", "--bits 3: rtn.bits: found"),
        ("quantize --model phi3 --algorithm rtn --group-size 100", "--group-size 100: "),
        ("quantize --model phi3 --algorithm rtn --set bitz=4", "did you mean 'bits'?"),
        ("quantize --model phi3 --algorithm rtn --set bits", "expected NAME=VALUE"),
        ("quantize --model phi3 --algorithm kquant --symmetric", "kquant has no choice of it"),
        ("quantize --model phi3 --algorithm rtn --label tone", "--label: is about data"),
        ("finetune --model phi3 --data no.jsonl --template {a}", "--data no.jsonl: "),
        ("finetune --model phi3 --data tones.jsonl", "has the columns phrase and tone"),
        ("finetune --model phi3 {data} --r 0", "--r 0: lora.r: found the number 0"),
        ("finetune --model phi3 {data} --learning-rate x", "--learning-rate x: "),
        ("finetune --model phi3 {data} --method full --r 4", "--method full takes no r"),
        ("finetune --model phi3 {data} --method full --merge", "--merge: full training makes no"),
        ("finetune --model phi3 {data} --label tones", "did you mean 'tone'?"),
        ("finetune --model phi3 {data} --eval-split 2", "--eval-split 2: "),
        ("finetune --model phi3 {data} --epochs 1 --max-steps 1", "leave one of them out"),
        ("finetune --model phi3 {data} --method dora", "invalid choice: 'dora'"),
        ("finetune --model phi3 {data} --chat-user {phrase}", "--template says how rows are read"),
        ("optimize --model phi3 --provider cudaa", "did you mean 'cuda'?"),
        ("optimize --model phi3 --provider QNNExecutionProvider", "nothing here builds for it"),
        ("optimize --model phi3 --device gpu --provider cpu", "--device says gpu"),
        ("optimize --model phi3 --provider webgpu --precision fp16", "with int4 only"),
        ("optimize --model phi3 --max latency", "expected METRIC=LIMIT"),
        ("optimize --model phi3 --max latencyy=1s", "--max latencyy=1s: unknown metric"),
        ("optimize --model phi3 --min accuracy=1", "--min accuracy=1: accuracy needs labels"),
        ("optimize --model phi3 --trials 3", "--trials 3: bounds a search"),
        ("optimize --model phi3 --adapter bert", "bert is no adapter"),
        ("optimize --model bert {data} --label tone --adapter x", "this is an encoder"),
        ("optimize --model bert {data} --label tone --precision bf16", "not for encoders"),
        ("optimize --model phi3 --dry-run -o tones.jsonl", "--output tones.jsonl: is a file"),
    ],
)
def test_a_mistake_is_told_by_the_option_that_has_it(bench: Bench, command: str, told: str) -> None:
    words = command.split()
    at = words.index("{data}") if "{data}" in words else None
    if at is not None:
        words[at : at + 1] = DATA
    found = bench.tune(*words)
    assert found.code == 2
    assert told in found.err
    assert "space.yaml" not in found.err
    assert "Traceback" not in found.err


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_column_that_is_not_there_is_told_with_the_nearest(
    bench: Bench, dry: tuple[str, ...]
) -> None:
    found = bench.tune(
        *("quantize", "--model", "phi3", "--algorithm", "gptq"),
        *("--data", "tones.jsonl", "--template", "{phrases}", *dry),
    )
    assert (found.code, "did you mean 'phrase'?" in found.err) == (2, True)


def test_what_is_not_ours_is_never_written_over(bench: Bench) -> None:
    (bench.folder / "mine" / "model").mkdir(parents=True)
    found = bench.tune("quantize", "--model", "phi3", "--algorithm", "rtn", "-o", "mine")
    assert (found.code, "did not write there" in found.err) == (2, True)


def test_the_model_that_comes_in_is_not_replaced(bench: Bench) -> None:
    (bench.folder / "in").mkdir()
    (bench.folder / "in" / "model").symlink_to(bench.folder / "phi3")
    (bench.folder / "in" / "summary.json").write_text('{"study": "s"}')
    found = bench.tune("quantize", "--model", "in", "--algorithm", "rtn", "-o", "in")
    assert (found.code, "the model that comes in" in found.err) == (2, True)


# What would be done


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (
            ("quantize", "--model", "phi3", "--algorithm", "gptq", "--bits", "8", *DATA),
            ("  gptq", "      bits = 8", "measured     size; perplexity"),
        ),
        (
            ("finetune", "--model", "phi3", "--r", "4", "--target-modules", "o_proj", *LABELS),
            ("  lora", "      r = 4", "      target_modules = [o_proj]", "label        tone"),
        ),
        (
            ("finetune", "--model", "phi3", "--packing", *DATA),
            ("      loss = full", "      packing = true"),
        ),
        (
            ("optimize", "--model", "phi3", "--provider", "CPUExecutionProvider"),
            ("  genai_builder", "      precision = int4", "candidates   1: everything is fixed"),
        ),
        (
            ("optimize", "--model", "phi3", "--max", "latency=50ms"),
            (
                "      precision = fp32 | int8 | int4",
                "required     latency<=50ms",
            ),
        ),
        (
            ("optimize", "--model", "bert", "--precision", "int4", *LABELS),
            ("  onnx_export", "  optimize_graph", "  weight_only"),
        ),
    ],
)
def test_a_dry_run_prints_the_pipeline_and_does_nothing(
    bench: Bench, arguments: tuple[str, ...], lines: tuple[str, ...]
) -> None:
    found = bench.tune(*arguments, "--dry-run")
    assert found.code == 0, found.err
    told = found.out.splitlines()
    assert set(lines) <= set(told)
    assert max(map(len, told)) <= 80
    assert not (bench.folder / "tuned").exists()


def test_the_space_that_is_saved_asks_the_same_question_from_elsewhere(bench: Bench) -> None:
    (bench.folder / "spaces").mkdir()
    command = ("finetune", "--model", "phi3", "--max-steps", "2", *LABELS)
    found = bench.tune(*command, "--dry-run", "--save-space", "spaces/saved.yaml")
    assert found.code == 0, found.err
    saved = bench.folder / "spaces" / "saved.yaml"
    space = read_space(saved, vocabulary()).space
    assert space.data is not None
    assert space.data.template.count("\n") == 2
    again = bench.tune("--space", str(saved), "--dry-run")
    shown = [line for line in found.out.splitlines() if not line.startswith("model")]
    assert [x for x in again.out.splitlines() if not x.startswith("model")] == shown


def test_a_provider_that_is_not_here_is_built_for_and_said_so(bench: Bench) -> None:
    found = bench.tune("optimize", "--model", "phi3", "--provider", "dml", "--dry-run")
    assert "dml is not here" in found.err
    assert "measured     size" in found.out


def test_a_dry_run_imports_no_heavy_library(bench: Bench) -> None:
    code = (
        "import sys; from tuner.cli.main import _dispatch; "
        "_dispatch(['quantize', '--model', 'phi3', '--algorithm', 'rtn', '--dry-run']); "
        "print([m for m in ('torch', 'transformers', 'optuna', 'pandas') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout.splitlines()[-1] == "[]"


# What is made


def test_quantising_gives_a_checkpoint_and_the_same_command_knows_it(bench: Bench) -> None:
    command = ("quantize", "--model", "phi3", "--algorithm", "rtn", "--group-size", "16")
    found = bench.tune(*command, "-o", "out")
    assert found.code == 0, found.err
    config = json.loads((bench.folder / "out/model/config.json").read_text())
    assert config["quantization_config"]["bits"] == 4
    assert "made   out/model  (a transformers checkpoint of packed weights)" in found.out
    assert yaml.safe_load((bench.folder / "out/recipe.yaml").read_text())["pipeline"]
    stages = "SELECT COUNT(*) FROM tuner_stages"
    with sqlite3.connect("tuned/study.db") as database:
        [[before]] = database.execute(stages)
    again = bench.tune(*command, "-o", "out")
    with sqlite3.connect("tuned/study.db") as database:
        assert database.execute(stages).fetchone()[0] == before
    assert again.code == 0
    assert "(continued)" in again.out


def test_numbers_stand_beside_those_of_the_model_that_came_in(bench: Bench) -> None:
    found = bench.tune("finetune", "--model", "phi3", "--max-steps", "2", *DATA, "--json")
    assert found.code == 0, found.err
    answer = json.loads(found.out.splitlines()[-1])
    assert answer["chosen"]["metrics"]["perplexity"]["value"] > 1
    assert answer["baseline"]["metrics"]["perplexity"]["value"] > 1
    assert answer["confirmed"] is None, "there was nothing to choose, and nothing kept back"


def test_a_rehearsal_of_an_encoder_is_made_and_marked_as_one(bench: Bench) -> None:
    command = ("optimize", "--model", "bert", "--precision", "int8", "--test-model", *LABELS)
    found = bench.tune(*command, "-o", "tried")
    assert found.code == 0, found.err
    assert (bench.folder / "tried/model/model.onnx").is_file()
    assert "accuracy floors on dev" in found.out
    assert "a test with random weights: no number of quality means anything" in found.out
    assert json.loads((bench.folder / "tried/summary.json").read_text())["test_model"] is True


def test_limits_make_it_a_search_that_may_find_nothing(bench: Bench) -> None:
    command = ("optimize", "--model", "phi3", "--provider", "dml", "--precision", "int4")
    found = bench.tune(*command, "--max", "size=1KB", "--trials", "1")
    assert found.code == 3, found.err
    assert "size<=1KB" in found.out
