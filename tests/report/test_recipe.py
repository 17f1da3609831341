"""The recipe of a trial: a space that is read again as it was meant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import sample_space
import yaml

from search_spaces.identity import describe
from search_spaces.reader import parse_space
from search_spaces.vocabulary import ParameterSpec, Vocabulary
from tuner.report.recipe import recipe_text

PERPLEXITY = replace(
    sample_space.PERPLEXITY,
    parameters=(
        ParameterSpec("text", Path, None, "what to read", nullable=True),
        ParameterSpec("other", Path, None, "what else to read", nullable=True),
    ),
)
VOCABULARY = Vocabulary(
    sample_space.VOCABULARY.passes,
    {**sample_space.VOCABULARY.evaluators, "perplexity": PERPLEXITY},
)


def test_files_of_options_are_named_relative_to_the_recipe(tmp_path: Path) -> None:
    path = sample_space.write_data(tmp_path)
    (tmp_path / "prose.txt").write_text("Once upon a time.")
    metrics = "metrics:\n  perplexity: {text: prose.txt}\n"
    text = sample_space.SPACE.replace("metrics:\n", metrics)
    space = parse_space(text, path, VOCABULARY).space
    folder = tmp_path / "tuned" / "study"
    folder.mkdir(parents=True)
    builder = {"id": "genai_builder", "pass": "genai_builder", "parameters": {"precision": "int4"}}
    recipe = recipe_text(space, [builder], "", folder)
    assert str(tmp_path) not in recipe
    options = yaml.safe_load(recipe)["metrics"]["perplexity"]
    assert options == {"text": "../../prose.txt", "other": None}
    again = parse_space(recipe, folder / "recipe.yaml", VOCABULARY).space
    assert describe(again)["metrics"] == describe(space)["metrics"]


def test_a_space_that_holds_no_stage_to_its_word_makes_such_a_recipe(tmp_path: Path) -> None:
    path = sample_space.write_data(tmp_path)
    text = sample_space.SPACE.replace("limits: {", "limits: {fidelity: false, ")
    builder = {"id": "genai_builder", "pass": "genai_builder", "parameters": {"precision": "int4"}}
    for given, fidelity in ((sample_space.SPACE, True), (text, False)):
        space = parse_space(given, path, VOCABULARY).space
        recipe = recipe_text(space, [builder], "", tmp_path)
        again = parse_space(recipe, tmp_path / "recipe.yaml", VOCABULARY).space
        assert (space.limits.fidelity, again.limits.fidelity) == (fidelity, fidelity)
        assert describe(again).get("fidelity", True) is fidelity


def test_a_recipe_has_its_conversations(tmp_path: Path) -> None:
    path = sample_space.write_data(tmp_path)
    plain = '  template: "Text: {phrase}\\nTone: {tone}"\n'
    chat = '  chat: {user: "Text: {phrase}", assistant: tone, system: "Tell."}\n'
    assert plain in sample_space.SPACE
    builder = {"id": "genai_builder", "pass": "genai_builder", "parameters": {"precision": "int4"}}
    for text in (
        sample_space.SPACE.replace(plain, chat),
        sample_space.SPACE.replace(plain, "  chat: {messages: m}\n").replace("  label: tone\n", ""),
    ):
        space = parse_space(text, path, VOCABULARY).space
        recipe = recipe_text(space, [builder], "", tmp_path)
        again = parse_space(recipe, tmp_path / "recipe.yaml", VOCABULARY).space
        assert again.data == space.data
