"""Which passes there are, and how others bring theirs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tuner.passes import BrokenPass, all_passes, pass_specs

MODULE = """
from tuner.passes import Pass
from tuner.passes.session import Session

class Good(Session):
    from dataclasses import replace
    spec = replace(Session.spec, name="good")

class Taken(Session):
    pass

class NoPass:
    pass

class Angry(Session):
    def __init__(self):
        raise RuntimeError("not today")
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A function that installs a distribution whose entry point is the given value."""

    def add(value: str) -> None:
        info = tmp_path / "other_passes-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-passes\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[tuner.passes]\nmine = {value}\n")
        (tmp_path / "other_passes.py").write_text(MODULE)
        monkeypatch.syspath_prepend(str(tmp_path))
        all_passes.cache_clear()

    yield add
    sys.modules.pop("other_passes", None)
    all_passes.cache_clear()


def test_built_in_passes_are_known_by_name() -> None:
    assert {"lora", "merge_adapter", "genai_builder", "session"} <= set(all_passes())
    assert {name: p.spec for name, p in all_passes().items()} == pass_specs()


def test_installed_distribution_adds_a_pass(install: object) -> None:
    assert callable(install)
    install("other_passes:Good")
    assert all_passes()["good"].spec.help == all_passes()["session"].spec.help


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("other_passes:Missing", "AttributeError"),
        ("not_there_at_all:Good", "ModuleNotFoundError"),
        ("other_passes:NoPass", "not a subclass of tuner.passes.Pass"),
        ("other_passes:Angry", "RuntimeError: not today"),
        ("other_passes:Taken", "there is a pass 'session' already"),
    ],
)
def test_broken_pass_is_an_error_that_names_it(value: str, said: str, install: object) -> None:
    assert callable(install)
    install(value)
    with pytest.raises(BrokenPass, match=f"pass 'mine' of other-passes .*{said}"):
        all_passes()


def test_reading_declarations_loads_no_heavy_library() -> None:
    code = (
        "import sys; from tuner.passes import pass_specs; pass_specs(); "
        "heavy = {'torch', 'transformers', 'peft', 'onnx', 'onnxruntime', 'numpy', 'optuna'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
