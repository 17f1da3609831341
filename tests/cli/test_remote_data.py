"""Commands on rows that lie in an object store: nothing of the store's secrets stays anywhere."""

from __future__ import annotations

import json

import pytest
import yaml
from cli.conftest import Desk
from storage_servers import Storage

SPACE = """
model: model
task: text-generation
data: {{files: {url}, template: "{{text}}"}}
pipeline:
  - toy: {{a: {{choices: [0, 1]}}}}
objectives: [minimize cost]
search: {{strategy: grid}}
"""
ROWS = "".join(json.dumps({"text": f"text number {i}"}) + "\n" for i in range(30)).encode()


@pytest.fixture
def away(desk: Desk, s3: Storage) -> Desk:
    """A desk whose space reads rows of an S3 server."""
    s3.put("rows.jsonl", ROWS)
    desk.environment |= s3.environment
    desk.write(SPACE.format(url=s3.url("rows.jsonl")))
    return desk


def test_a_search_says_where_its_rows_are_and_keeps_no_secret(away: Desk, s3: Storage) -> None:
    checked = away.tune("check", "space.yaml")
    assert checked.returncode == 0, checked.stderr
    ran = away.tune("--space", "space.yaml", "--output", "out", "--store", "stages")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    recipe = yaml.safe_load((away.folder / "out" / "recipe.yaml").read_text())
    assert recipe["data"]["files"] == s3.url("rows.jsonl")
    assert away.tune("check", "out/recipe.yaml").returncode == 0
    assert list((away.folder / "stages" / "data" / "copies").glob("*/rows.jsonl"))
    told = [path for path in away.folder.rglob("*") if path.is_file()]
    assert len(told) > 10
    assert [path for path in told if b"a-secret-of-s3" in path.read_bytes()] == []


def test_what_cannot_be_had_ends_with_a_sentence(away: Desk, s3: Storage) -> None:
    url = s3.url("row.jsonl")
    found = away.tune("--space", "space.yaml", "--set", f"data.files={url}")
    assert found.returncode == 2
    assert f"{url}: there is no such file; beside it: " in found.stderr
    assert "Traceback" not in found.stderr
    secret = away.tune("check", "space.yaml", "--set", "data.files=s3://a:hunter2@b/rows.jsonl")
    assert secret.returncode == 2
    assert "hunter2" not in secret.stdout + secret.stderr
    away.environment["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
    gone = away.tune("--space", "space.yaml")
    assert gone.returncode == 1
    assert "cannot be reached" in gone.stderr
