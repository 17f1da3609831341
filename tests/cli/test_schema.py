"""`tune schema` and the documents that are generated from the same declarations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from cli.conftest import Desk
from jsonschema import Draft202012Validator

from search_spaces.catalog import shipped
from tuner.report.reference_pages import documents

ROOT = Path(__file__).parent.parent.parent


def test_schema_that_is_printed_knows_installed_passes_too(desk: Desk) -> None:
    done = desk.tune("schema")
    assert done.returncode == 0, done.stderr
    schema = json.loads(done.stdout)
    Draft202012Validator.check_schema(schema)
    space = yaml.safe_load((desk.folder / "space.yaml").read_text())
    assert Draft202012Validator(schema).is_valid(space)
    space["pipeline"][0] = {"toyy": {}}
    assert not Draft202012Validator(schema).is_valid(space)


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_space_is_valid_by_the_committed_schema(name: str) -> None:
    schema = json.loads((ROOT / "docs" / "space.schema.json").read_text(encoding="utf-8"))
    space = yaml.safe_load((ROOT / "search_spaces" / f"{name}.yaml").read_text(encoding="utf-8"))
    assert [e.message for e in Draft202012Validator(schema).iter_errors(space)] == []


@pytest.mark.parametrize("name", ["passes.md", "metrics.md", "space.schema.json"])
def test_a_generated_document_is_current(name: str) -> None:
    committed = (ROOT / "docs" / name).read_text(encoding="utf-8")
    if committed != documents()[name]:
        pytest.fail(f"docs/{name} is old: python -m tuner.report.reference_pages docs")
