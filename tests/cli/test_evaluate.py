"""`tune evaluate`: a model's folder measured, or two compared, without a study."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from text_models import noisy
from tiny_models import TEMPLATE

from tuner.cli.main import _dispatch

Run = Callable[..., tuple[int, str, str]]

QUICK = [
    word
    for option in (
        "prompt_tokens=4",
        "new_tokens=2",
        "processes=2",
        "blocks=2",
        "requests=1",
        "seconds=0.005",
        "warmup=1",
    )
    for word in ("--set", f"latency.{option}")
]


@pytest.fixture(scope="module", autouse=True)
def _store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is measured once for this module is known afterwards."""
    before = os.environ.get("TUNER_STORE")
    os.environ["TUNER_STORE"] = str(tmp_path_factory.mktemp("store"))
    yield
    del os.environ["TUNER_STORE"]
    if before is not None:
        os.environ["TUNER_STORE"] = before


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in this process: exit code, standard output, standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = _dispatch(["evaluate", *map(str, arguments)])
        found = capfd.readouterr()
        return code, found.out, found.err

    return call


@pytest.fixture(scope="module")
def noise(tiny_phi3: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another checkpoint of the same architecture."""
    return noisy(tiny_phi3, tmp_path_factory.mktemp("noisy"), 0.5)


def on_tones(file: Path) -> list[object]:
    return ["--data", file, "--template", TEMPLATE, "--label", "tone"]


def metric(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(m for m in found["metrics"] if m["metric"] == name)


def test_a_model_is_measured_with_intervals_and_known_the_second_time(
    run: Run, tiny_genai: Path, tone_file: Path, tmp_path: Path
) -> None:
    asked = ["--metric", "latency", "--metric", "size", "--metric", "accuracy", *QUICK]
    file = tmp_path / "found.json"
    first = run(tiny_genai, *asked, *on_tones(tone_file), "--json", "-o", file)
    assert first[0] == 0, first[2]
    found = json.loads(first[1])
    assert json.loads(file.read_text()) == found
    assert {m["metric"] for m in found["metrics"]} >= {
        "latency",
        "ttft",
        "tpot",
        "size",
        "accuracy",
    }
    assert metric(found, "accuracy")["samples"] == 64  # every row of the file
    assert metric(found, "accuracy")["low"] < metric(found, "accuracy")["high"]
    files = [p for p in tiny_genai.rglob("*") if p.is_file()]
    assert metric(found, "size")["value"] == sum(p.stat().st_size for p in files)
    assert "measuring latency" in first[2]
    second = run(tiny_genai, *asked, *on_tones(tone_file), "--json")
    assert second == (0, first[1], "")


def test_a_table_names_value_interval_and_samples(
    run: Run, tiny_genai: Path, tone_file: Path
) -> None:
    code, out, _ = run(tiny_genai, "--metric", "size", "--metric", "accuracy", *on_tones(tone_file))
    assert code == 0
    assert "95 % interval" in out
    assert max(map(len, out.splitlines()[1:])) <= 80


def test_two_models_are_compared_item_by_item_and_side_by_side(
    run: Run, tiny_phi3: Path, noise: Path, tone_file: Path
) -> None:
    asked = ["--metric", "tpot", "--metric", "accuracy", "--metric", "size", *QUICK]
    asked += ["--metric", "divergence", "--set", "divergence.max_tokens=64"]
    code, out, err = run(tiny_phi3, noise, *asked, *on_tones(tone_file), "--json")
    assert code == 0, err
    found = json.loads(out)
    pairs = {pair["a"]["metric"]: pair for pair in found["comparisons"]}
    assert pairs["accuracy"]["how"] == "item by item"
    assert pairs["tpot"]["how"] == "3 sessions of the two in turn"
    assert pairs["tpot"]["relative"]
    low, high = (pairs["tpot"]["change"][end] for end in ("low", "high"))
    assert 0 < low < high
    assert pairs["tpot"]["differ"] == (not low <= 1 <= high)
    assert metric(found, "divergence")["value"] > 0
    code, out, _ = run(tiny_phi3, noise, *asked, *on_tones(tone_file))
    assert code == 0
    assert "do they differ?" in out


def test_a_model_does_not_differ_from_its_copy(
    run: Run, tiny_phi3: Path, tone_file: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_phi3, tmp_path / "copy")
    flags = ["--metric", "accuracy", "--metric", "size", "--json", *on_tones(tone_file)]
    code, out, err = run(tiny_phi3, tmp_path / "copy", *flags)
    assert code == 0, err
    assert not any(pair["differ"] for pair in json.loads(out)["comparisons"])


def test_an_answers_recipe_says_what_and_on_which_data(
    run: Run, tiny_phi3: Path, tone_file: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_phi3, tmp_path / "answer" / "model")
    recipe = {
        "model": "./somewhere",
        "task": "text-classification",
        "data": {"files": str(tone_file), "template": TEMPLATE, "label": "tone"},
        "metrics": {"accuracy": {"max_items": 8}},
    }
    (tmp_path / "answer" / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    code, out, err = run(tmp_path / "answer", "--dry-run")
    assert code == 0, err
    assert "max_items=8" in out
    assert f"data: 12 rows of {tone_file}" in out  # those of the test split
    code, out, _ = run(tmp_path / "answer", "--dry-run", "--split", "train", "--metric", "size")
    assert code == 0
    assert "accuracy" not in out


def test_what_fails_does_not_hide_the_rest(run: Run, tiny_phi3: Path, tmp_path: Path) -> None:
    text = tmp_path / "short.txt"
    text.write_text("A short text.")
    asked = ["--metric", "perplexity", "--metric", "size", "--text", text, "--json"]
    code, out, err = run(tiny_phi3, *asked)
    assert code == 1
    assert metric(json.loads(out), "size")["value"] > 0
    assert "perplexity cannot be measured" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--metric", "latncy"], "did you mean 'latency'?"),
        (["--metric", "latency.p96"], "expected p50"),
        (["--metric", "accuracy"], "needs data: --data FILE --template TEXT --label COLUMN"),
        (["--metric", "divergence"], "compares two models; give a second folder"),
        (["--metric", "size", "--set", "sizes.x=1"], "'sizes' is not measured"),
        (["--metric", "latency", "--set", "latency.batchs=1"], "did you mean 'batch'?"),
        (["--metric", "size", "--text", "README.md"], "neither is measured"),
        (["--metric", "size", "--label", "tone"], "is about --data, which is missing"),
        (["--metric", "size", "--data", "no.json", "--template", "{a}"], "there is no file"),
        (["--metric", "items_throughput", "--dry-run"], None),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_runs(
    run: Run, tiny_genai: Path, arguments: list[str], words: str | None
) -> None:
    from search_spaces.problems import SpaceError

    code, out, err = run(tiny_genai, *arguments)
    if words is None:
        return
    assert code == 2
    assert out == ""
    assert words in err
    assert SpaceError.__name__ not in err


def test_an_encoder_beside_a_generator_is_no_comparison(
    run: Run, tiny_phi3: Path, tiny_bert: Path
) -> None:
    code, _, err = run(tiny_phi3, tiny_bert, "--metric", "size")
    assert code == 2
    assert "nothing to compare" in err


def test_a_dry_run_measures_nothing(run: Run, tiny_genai: Path, tone_file: Path) -> None:
    code, out, err = run(tiny_genai, "--metric", "accuracy", *on_tones(tone_file), "--dry-run")
    assert (code, err) == (0, "")
    assert "64 rows of" in out
    assert "accuracy: accuracy, f1, macro_f1" in out
