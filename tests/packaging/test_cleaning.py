"""No path of the machine that made a model goes into its package, and nothing else is lost."""

from __future__ import annotations

import json

import pytest
import yaml

from tuner.packaging.cleaning import clean_config, clean_recipe, last_name, without_paths


def test_a_file_without_paths_stays_as_it_is() -> None:
    text = '{"a":1,  "chat_template": "/tmp/x/y", "bos_token": "/", "type": "text/plain"}'
    assert clean_config(text, {}) == (text, [])


def test_absolute_paths_become_their_last_names_wherever_they_are() -> None:
    config = {"a": [{"where": "/home/ann/model"}], "b": "C:\\models\\phi", "c": "org/name"}
    text, cleaned = clean_config(json.dumps(config), {})
    assert cleaned == ["where", "b"]
    assert json.loads(text)["a"] == [{"where": "model"}]
    assert json.loads(text)["b"] == "phi"
    assert json.loads(text)["c"] == "org/name"


def test_a_key_may_be_told_what_to_say() -> None:
    text, cleaned = clean_config('{"base": "x/y"}', {"base": "../base"})
    assert (json.loads(text), cleaned) == ({"base": "../base"}, ["base"])


def test_files_of_a_recipe_are_to_lie_beside_it() -> None:
    recipe = {"model": {"adapter": "./model", "base": "org/m"}, "data": {"files": ["../a.csv"]}}
    text, needed = clean_recipe("# made by hand\n" + yaml.safe_dump(recipe))
    assert sorted(needed) == ["a.csv", "model"]
    found = yaml.safe_load(text)
    assert found["data"]["files"] == ["./a.csv"]
    assert found["model"]["base"] == "org/m"
    assert text.startswith("# made by hand\n# not packed, to be laid beside this file: ")


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("made from /home/ann/phi-3 today", "made from phi-3 today"),
        ("see https://example.org/a/b and 5 tokens/s", None),
        ("org/name, and/or, x/y/z", None),
    ],
)
def test_text_loses_paths_and_nothing_else(text: str, cleaned: str | None) -> None:
    assert without_paths(text) == (text if cleaned is None else cleaned)


def test_the_last_name_of_a_path_of_either_kind() -> None:
    assert [last_name(p) for p in ("/a/b", "../b/", "C:\\a\\b", "..\\b")] == ["b"] * 4
