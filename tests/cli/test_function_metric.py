"""A metric of the user's own, from the space of docs/space.md to the answer."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli.conftest import Desk

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "space.md"


def example(language: str, word: str) -> str:
    text = DOCUMENT.read_text(encoding="utf-8")
    found = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return next(block for block in found if word in block)


@dataclass(frozen=True)
class Ran:
    desk: Desk
    done: subprocess.CompletedProcess[str]

    @property
    def summary(self) -> dict[str, Any]:
        text = (self.desk.folder / "out" / "summary.json").read_text(encoding="utf-8")
        found: dict[str, Any] = json.loads(text)
        return found

    def measurements(self) -> list[Path]:
        """What is stored of calls of the function."""
        entries = (self.desk.folder / "store").rglob("log.txt")
        return [path for path in entries if "asked for" in path.read_text(encoding="utf-8")]


@pytest.fixture(scope="module")
def ran(tiny_bert: Path, tone_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    desk = Desk(tmp_path_factory.mktemp("function"))
    shutil.copytree(tiny_bert, desk.folder / "my-model")
    shutil.copy(tone_file, desk.folder / "tones.jsonl")
    told = '    print("asked for", len(rows), "rows")\n    return {'
    function = example("python", "tone_cost").replace("    return {", told)
    (desk.folder / "metrics.py").write_text(function)
    desk.write(example("yaml", "tone_cost"))
    return Ran(desk, desk.tune("--space", "space.yaml", "--output", "out", timeout=400))


def test_function_of_the_documents_is_searched_and_confirmed(ran: Ran) -> None:
    assert ran.done.returncode == 0, ran.done.stdout + ran.done.stderr
    summary = ran.summary
    assert (summary["trials"], summary["failed"]) == (2, 0)
    chosen = json.dumps(summary["chosen"])
    assert '"tone_cost"' in chosen
    assert "tone_cost" in ran.done.stdout


def test_what_the_function_prints_is_in_the_log_and_not_on_the_screen(ran: Ran) -> None:
    assert "asked for" not in ran.done.stdout + ran.done.stderr
    assert ran.measurements()


def test_recipe_names_the_function_from_where_it_lies(ran: Ran) -> None:
    text = (ran.desk.folder / "out" / "recipe.yaml").read_text(encoding="utf-8")
    assert str(ran.desk.folder) not in text
    metric = yaml.safe_load(text)["metrics"]["tone_cost"]
    assert metric["function"] == "../metrics.py:tone_cost"
    assert metric["options"] == {"weight": 5}
    done = ran.desk.tune("check", "--space", "out/recipe.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_same_function_elsewhere_is_not_called_again(ran: Ran) -> None:
    desk, before = ran.desk, len(ran.measurements())
    shutil.copy(desk.folder / "metrics.py", desk.folder / "costs.py")
    text = example("yaml", "tone_cost").replace("metrics.py", "costs.py")
    desk.write(text, "other.yaml")
    again = desk.tune("--space", "other.yaml", "--study", "again", timeout=300)
    assert again.returncode == 0, again.stdout + again.stderr
    assert len(ran.measurements()) == before


def test_function_that_raises_is_a_failure_in_words(ran: Ran) -> None:
    desk = ran.desk
    (desk.folder / "broken.py").write_text(
        "def tone_cost(model, rows, weight):\n    return rows[0]['tune']\n"
    )
    desk.write(example("yaml", "tone_cost").replace("metrics.py", "broken.py"), "broken.yaml")
    done = desk.tune("--space", "broken.yaml", "--study", "broken", timeout=300)
    assert done.returncode != 0
    shown = " ".join((done.stdout + done.stderr).split())
    assert "broken.py:tone_cost raised KeyError: 'tune' (broken.py:2)" in shown
