"""Where data may be: what a space says of it, what is refused, and the copies on this disk."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import jsonschema
import pytest
import yaml

from search_spaces import Overrides, parse_space
from search_spaces.data import DataError, DataSpec
from search_spaces.data_copies import Copies
from search_spaces.data_locations import Fetched, HubDataset, RemoteFile, origin_key, parse_url
from search_spaces.problems import SpaceError
from search_spaces.schema import space_schema
from search_spaces.secrets import redacted
from tuner.registry import vocabulary

SPACE = """
model: model
task: text-classification
data:
  files: {files}
  template: "{{phrase}}\\n{{tone}}"
  label: tone
pipeline: [lora, merge_adapter]
objectives: [minimize latency]
"""
SECRETS = [
    "https://reader:hunter2@example.org/rows.jsonl",
    "https://account.blob.core.windows.net/c/rows.jsonl?sv=2024&sig=hunter2",
    "https://b.s3.amazonaws.com/rows.jsonl?X-Amz-Signature=hunter2&X-Amz-Expires=9",
    "s3://key:hunter2@bucket/rows.jsonl",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (tmp_path / "model" / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "repository").mkdir()
    (tmp_path / "rows.jsonl").write_text('{"phrase": "a", "tone": "b"}\n')
    return tmp_path


def data_of(files: str, folder: Path, *settings: str) -> DataSpec:
    place = folder / "space.yaml"
    text = SPACE.format(files=files)
    found = parse_space(text, place, vocabulary(), Overrides(settings=settings)).space.data
    assert found is not None
    return found


def test_a_space_names_a_url_where_a_path_may_stand(folder: Path) -> None:
    files = "{train: [rows.jsonl, s3://b/more.jsonl], dev: gs://b/dev.csv}"
    assert data_of(files, folder).files == (
        ("train", folder / "rows.jsonl"),
        ("train", RemoteFile("s3://b/more.jsonl")),
        ("dev", RemoteFile("gs://b/dev.csv")),
    )


def test_a_space_names_a_data_set_of_the_hub(folder: Path) -> None:
    one = data_of("{hub: glue, subset: mrpc, split: 'train[:10%]', revision: v1}", folder)
    assert one.files == (("all", HubDataset("glue", "mrpc", "train[:10%]", "v1")),)
    two = data_of("{train: {hub: a/b}, dev: {hub: a/b, split: validation}}", folder)
    assert two.files == (
        ("train", HubDataset("a/b")),
        ("dev", HubDataset("a/b", None, "validation")),
    )
    mine = data_of("{hub: ./repository}", folder)
    assert mine.files == (("all", HubDataset(str(folder / "repository"))),)


@pytest.mark.parametrize(
    ("files", "part"),
    [
        ("ss3://b/rows.jsonl", "unknown kind of URL 'ss3'; expected s3, "),
        ("gcss://b/rows.jsonl", "did you mean 'gcs'?"),
        ("s3://b/folder/", "expected the URL of a file, such as s3://place/rows.jsonl"),
        ("simplecache::s3://b/x.csv", "several in a chain"),
        ("file:///nowhere/rows.jsonl", "there is no file /nowhere/rows.jsonl"),
        ("s3:/b/rows.jsonl", "is no URL: expected s3://..."),
        ("{hub: glue, spilt: train}", "unknown key 'spilt' in data.files"),
        ("{subset: mrpc}", "the key 'hub' is missing"),
        ("{hub: glue, split: 'train[:4096'}", "expected a split such as train, train[:4096]"),
        ("{hub: [glue]}", "data.files.hub: found a list, expected text"),
        ("{hub: ./repositori}", "did you mean 'repository'?"),
    ],
)
def test_what_names_no_place_is_told_with_its_line(folder: Path, files: str, part: str) -> None:
    with pytest.raises(SpaceError) as caught:
        data_of(files, folder)
    assert part in str(caught.value)
    assert "space.yaml:5: " in str(caught.value)


def test_an_extra_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search_spaces.data_remote.is_installed", lambda _: False)
    for url, extra in (("s3://b/x.csv", "s3"), ("abfs://b/x.csv", "azure"), ("gs://b/x", "gcs")):
        with pytest.raises(DataError, match=rf"pip install 'tuner\[{extra}\]'"):
            RemoteFile(url).copy(tmp_path)


@pytest.mark.parametrize("url", SECRETS)
def test_a_url_with_a_secret_is_refused_and_the_secret_not_shown(folder: Path, url: str) -> None:
    for files, settings in ((f"'{url}'", ()), ("rows.jsonl", (f"data.files={url}",))):
        with pytest.raises(SpaceError, match="holds a secret") as caught:
            data_of(files, folder, *settings)
        assert "hunter2" not in str(caught.value)
    with pytest.raises(DataError) as refused:
        parse_url(url)
    assert "hunter2" not in str(refused.value)


def test_redaction_leaves_other_text_alone() -> None:
    for text in ("abfs://rows@account.dfs.core.windows.net/x.csv", "top_token=3; s3://b/a:b@c.csv"):
        assert redacted(text) == text
    assert redacted("a;AccountKey=abc==;b") == "a;AccountKey=***;b"


def test_the_schema_takes_what_the_reader_takes(folder: Path) -> None:
    schema = jsonschema.Draft202012Validator(space_schema(vocabulary()))
    good = ["s3://b/x.csv", "[a.csv, {hub: glue}]", "{train: {hub: a}, dev: s3://b/x}", "{hub: a}"]
    for files in good:
        assert schema.is_valid(yaml.safe_load(SPACE.format(files=files))), files
    for files in ("{hub: glue, spilt: x}", "{train: {hub: a, x: b}, dev: a.csv}"):
        assert not schema.is_valid(yaml.safe_load(SPACE.format(files=files))), files


# Copies


KEY = origin_key("somewhere")


def keep(copies: Copies, content: str, version: str | None = None) -> Path:
    def write(file: Path) -> str | None:
        file.write_text(content)
        return version

    return copies.path(copies.keep(KEY, "somewhere", "rows.csv", write))


def test_what_is_half_fetched_is_never_there(tmp_path: Path) -> None:
    copies = Copies(tmp_path)

    def breaks(file: Path) -> str | None:
        file.write_text("half")
        raise DataError("the line went dead")

    with pytest.raises(DataError, match="went dead"):
        copies.keep(KEY, "somewhere", "rows.csv", breaks)
    assert copies.known(KEY) is None
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_a_copy_that_was_cut_is_not_used(tmp_path: Path) -> None:
    copies = Copies(tmp_path)
    path = keep(copies, "rows", "v1")
    known = copies.known(KEY)
    assert known is not None
    assert known.version == "v1"
    path.write_text("row")
    assert copies.known(KEY) is None


def test_another_content_is_another_file(tmp_path: Path) -> None:
    copies = Copies(tmp_path)
    old, new = keep(copies, "rows"), keep(copies, "more rows")
    assert (old.read_text(), new.read_text()) == ("rows", "more rows")
    known = copies.known(KEY)
    assert known is not None
    assert copies.path(known) == new


def test_many_may_fetch_the_same_at_once(tmp_path: Path) -> None:
    contents = ["a" * 100_000, "b" * 200_000]
    seen: list[str] = []

    def fetch(content: str) -> None:
        for _ in range(10):
            keep(Copies(tmp_path), content)
            known = Copies(tmp_path).known(KEY)
            seen.append("" if known is None else Copies(tmp_path).path(known).read_text())

    threads = [threading.Thread(target=fetch, args=(text,)) for text in contents * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 40
    assert set(seen) <= set(contents)


def test_copies_go_by_age_or_all(tmp_path: Path) -> None:
    copies = Copies(tmp_path)
    path = keep(copies, "rows")
    os.utime(path.parent, (time.time() - 7200,) * 2)
    assert copies.prune(max_age=10_000) == 0
    assert copies.prune(max_age=3600) == len("rows")
    assert copies.known(KEY) is None
    keep(copies, "rows")
    assert copies.prune(max_age=None) == len("rows")


def test_a_pinned_location_survives_json(tmp_path: Path) -> None:
    path = tmp_path / "copy.jsonl"
    spec = DataSpec((("train", HubDataset("glue", "mrpc")), ("dev", RemoteFile("s3://b/x"))), "{a}")
    for _, where in spec.files:
        assert not isinstance(where, Path)
        where.pinned.append(Fetched(path))
    again = DataSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec
    assert [where.copy().path for _, where in again.files if not isinstance(where, Path)] == [
        path,
        path,
    ]
