"""A stand-in for a model: the same architecture, tiny, with random weights.

With it a whole workflow is tried in a minute. Nothing that such a model says means anything. Knows
nothing of passes or spaces.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from search_spaces.references import Reference
from tuner.models.architectures import guess
from tuner.models.errors import ModelError

_VERSION = 2
"""Part of the identity of what is written: raise it when the same configuration gives another."""

_FOLDER = "test-models"

_CHAT_TEMPLATE = """\
{% for message in messages %}<|{{ message.role }}|>
{{ message.content }}{{ eos_token }}
{% endfor %}{% if add_generation_prompt %}<|assistant|>
{% endif %}"""
"""So that conversations can be tried; the real model has its own."""


@dataclass(frozen=True, slots=True)
class TestModel:
    """A tiny checkpoint. `notices`: what of it is a guess; sentences."""

    __test__ = False  # it is no test, whatever its name

    path: Path
    notices: tuple[str, ...] = ()


def test_model(reference: Reference, cache: Path) -> TestModel:
    """A tiny checkpoint of the model's architecture, in a folder under `cache`.

    The architecture is that of the model's config.json, which is looked for in its folder or at
    the hub. Where it cannot be had, the name tells the architecture, of which the defaults are
    taken; a notice says so. The same architecture gives the same folder. ModelError where no
    configuration is to be had and the name tells nothing, or transformers cannot make it.
    """
    config, notices = _configuration(reference)
    text = json.dumps([_VERSION, config], sort_keys=True)
    folder = cache / _FOLDER / hashlib.sha256(text.encode()).hexdigest()[:16]
    if not folder.is_dir():
        _write(config, folder)
    return TestModel(folder, notices)


test_model.__test__ = False  # type: ignore[attr-defined]  # nor is this


def _configuration(reference: Reference) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    if reference.kind == "path":
        assert reference.path is not None
        return _text_part(_read(reference.path / "config.json")), ()
    if reference.kind == "hub":
        try:
            return _text_part(_of_the_hub(reference)), ()
        except ModelError:
            pass  # the name has to do
    name = str(reference.repo or reference.member or reference.package)
    known = guess(name) or guess(str(reference.package or ""))
    if known is None:
        raise ModelError(
            f"{reference.text}: its configuration is not here and its name tells no architecture; "
            "give --model FOLDER with a config.json of the kind"
        )
    return {"model_type": known}, (
        f"the configuration of {reference.text} is not here: the architecture is taken from its "
        f"name, {known}, with that type's defaults",
    )


def _of_the_hub(reference: Reference) -> Mapping[str, Any]:
    from tuner.models.hub import config_of

    return _read(config_of(reference))


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: no configuration of a model can be read: {error}") from None
    if not isinstance(found, dict) or not found.get("model_type"):
        raise ModelError(f"{path} names no model_type")
    return found


def _text_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The language model's own configuration, of a model that is made of several."""
    own = config.get("text_config")
    return own if isinstance(own, dict) and own.get("model_type") else config


def _write(config: Mapping[str, Any], folder: Path) -> None:
    """Write beside it first: what is there is whole."""
    from tuner.models.tiny import POSITIONS, shrink, write_tiny

    # As the model's own, the window is longer than what is tried: GenAI refuses texts beyond it.
    window = {"sliding_window": POSITIONS} if shrink(config).get("sliding_window") else {}
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(mkdtemp(prefix=".", dir=folder.parent))
    try:
        write_tiny(config, fresh, **window)
        (fresh / "chat_template.jinja").write_text(_CHAT_TEMPLATE, encoding="utf-8")
        fresh.chmod(0o755)
        if not folder.exists():
            fresh.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another command was quicker, with the same
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
