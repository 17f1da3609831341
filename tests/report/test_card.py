"""The model card: true to the study, harmless whatever names it holds, and its snippets run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from odd_studies import BUILT_ONLY, FOREIGN, HOSTILE, write_odd_studies
from sqlalchemy import Engine
from stored_studies import Maker, Model

from tuner.passes import pass_specs
from tuner.report.card import card
from tuner.report.card_markdown import code, fenced, text
from tuner.report.usage import snippet_of
from tuner.study.api import Study
from tuner.study.database import open_engine
from tuner.study.reader import StudyReader


@dataclass(frozen=True)
class Card:
    """A card in its parts."""

    whole: str

    @property
    def front(self) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load(self.whole.split("---\n")[1])
        return found

    def section(self, title: str) -> str:
        return self.whole.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    engine = open_engine(str(tmp_path_factory.mktemp("made") / "study.db"))
    models = [Model(0.05, 0.8, held_out=0.78), Model(0.04, 0.7), Model(0.4, 0.9)]
    yield Maker(engine, ["latency<200ms"]).study(Model(0.2, 0.75), *models)
    engine.dispose()


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    path = tmp_path_factory.mktemp("odd") / "study.db"
    write_odd_studies(path)
    engine = open_engine(str(path))
    yield engine
    engine.dispose()


def card_of(study: Study, number: int) -> Card:
    trial = next(t for t in study.trials if t.number == number)
    return Card(card(study, trial))


def test_the_front_matter_is_what_model_hubs_read(made: Study) -> None:
    front = card_of(made, 0).front
    assert front["license"] == "unknown"
    assert front["library_name"] == "onnxruntime-genai"
    assert front["pipeline_tag"] == "text-classification"
    assert "base_model" not in front, "a package is no id of a hub"
    [result] = front["model-index"][0]["results"]
    values = {m["name"]: m["value"] for m in result["metrics"]}
    estimate = next(e for e in made.confirmations[0].estimates if e["metric"] == "accuracy")
    assert values["accuracy (fraction)"] == estimate["value"]
    assert result["dataset"]["split"] == "test"


def test_the_results_are_the_confirmed_numbers_beside_the_baselines(made: Study) -> None:
    rows = card_of(made, 0).section("Results").splitlines()
    [line] = [row for row in rows if row.startswith("| latency |")]
    assert "`latency<200ms` feasible" in line
    ratio = next(e["ratio"] for e in made.confirmations[0].estimates if e["metric"] == "latency")
    assert f"x{ratio[0]:.3g} ({ratio[1]:.3g}-{ratio[2]:.3g})" in line
    assert "held-out data" in card_of(made, 0).section("Results")


def test_a_trial_that_was_not_confirmed_says_so(made: Study) -> None:
    found = card_of(made, 1)
    assert "never measured on held-out data" in found.section("Limits and known weaknesses")
    assert found.front["model-index"][0]["results"][0]["dataset"]["split"] == "dev"
    assert "The study chose trial 0." in found.whole


def test_a_limit_that_is_missed_is_a_weakness(made: Study) -> None:
    found = card_of(made, 2).section("Limits and known weaknesses")
    assert "It does not meet `latency<200ms`." in found


def test_every_step_has_every_value(made: Study) -> None:
    done = card_of(made, 0).section("What was done")
    trial = made.trials[0]
    for step in trial.row.steps:
        assert f"**{text(step['pass'])}**" in done
        for name in step["parameters"]:
            assert f"`{name}=" in done


def test_the_recipe_has_every_value_fixed(made: Study) -> None:
    recipe = card_of(made, 0).section("Recipe")
    found = yaml.safe_load(re.search(r"```yaml\n(.*?)\n```", recipe, re.S)[1])  # type: ignore[index]
    steps = made.trials[0].row.steps
    assert [next(iter(s)) if isinstance(s, dict) else s for s in found["pipeline"]] == [
        s["pass"] for s in steps
    ]
    assert found["constraints"] == [c["text"] for c in made.info.constraints]
    assert "size" in found["metrics"]


def test_the_licence_is_not_made_up(made: Study) -> None:
    assert "Unknown, to be filled in" in card_of(made, 0).section("Licence")


def test_hostile_names_do_nothing(odd: Engine) -> None:
    found = card_of(Study(StudyReader(odd), HOSTILE), 1)
    assert "\u202e" not in found.whole
    assert found.front["model-index"][0]["name"].startswith("</script>"), "as YAML quotes it"
    body = found.whole.split("---\n", 2)[2]
    outside = re.sub(r"(`+).+?\1", "", re.sub(r"```.*?```", "", body, flags=re.S))
    assert "<" not in outside
    lines = [line for line in body.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


@pytest.mark.parametrize("study", [BUILT_ONLY, FOREIGN])
def test_what_is_not_known_is_said(odd: Engine, study: str) -> None:
    found = card_of(Study(StudyReader(odd), study), 0)
    assert found.front["base_model"] == "org/tiny"
    if study == FOREIGN:
        assert "is not known here" in found.section("How to run")


def test_markdown_cannot_be_broken_out_of() -> None:
    assert text("a\n# b <b>*c*</b>") == r"a # b &lt;b&gt;\*c\*&lt;/b&gt;"
    assert code("a`b``c") == "``` a`b``c ```"
    assert code("a|b") == r"`a\|b`"
    assert fenced("x\n````\ny", "text").startswith("`````text\n")


def test_every_built_in_format_has_a_snippet() -> None:
    formats = {spec.gives for spec in pass_specs().values() if spec.gives} - {"toy"}
    for found in formats:
        for task in ("text-classification", "text-generation"):
            compile(snippet_of(found, task, "Say: ", ["yes", "no"]), found, "exec")


@pytest.mark.parametrize(
    ("found", "model", "task"),
    [
        ("genai", "tiny_genai", "text-classification"),
        ("genai", "tiny_genai", "text-generation"),
        ("hf", "tiny_llama", "text-classification"),
    ],
)
def test_the_snippet_runs_on_a_real_model(
    request: pytest.FixtureRequest, tmp_path: Path, found: str, model: str, task: str
) -> None:
    folder: Path = request.getfixturevalue(model)
    (tmp_path / "model").symlink_to(folder)
    code = snippet_of(found, task, "Phrase: {phrase}\nTone: ", ["joy", "fear"])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if task == "text-classification":
        assert done.stdout.split()[0] in ("joy", "fear")
    else:
        assert done.stdout.startswith("Phrase: put the text here")
