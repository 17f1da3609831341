"""Takes the paths of the machine that made a model out of its files.

What is cleaned is said. Knows nothing of archives.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import yaml

CONFIGS = frozenset(
    {
        "adapter_config.json",
        "config.json",
        "genai_config.json",
        "generation_config.json",
        "session.json",
        "tokenizer_config.json",
        "trained_on.json",
    }
)
"""Files of a model in which libraries note where something lay."""

_ABSOLUTE = re.compile(r"(?:~?/[^/\s]|[A-Za-z]:[\\/]).*", re.DOTALL)
_IN_TEXT = re.compile(r"(?<![\w.:/~<-])~?/(?:[\w.+-]+/)+[\w.+-]+")
_MODEL_KEYS = ("model", "adapter", "base")


def is_elsewhere(text: str) -> bool:
    """Whether a text is an absolute path, or a relative one that leads out of its folder."""
    return bool(_ABSOLUTE.fullmatch(text)) or text.startswith(("../", "..\\"))


def last_name(text: str) -> str:
    """The last part of a path."""
    flavour = PureWindowsPath if re.match(r"[A-Za-z]:|\.\.\\", text) else PurePosixPath
    return flavour(text).name or "model"


def clean_config(text: str, names: Mapping[str, str]) -> tuple[str, list[str]]:
    """A JSON file without paths of the machine, and the keys whose values were cleaned.

    `names`: key -> what it is to say in place of any path. A file that is fine stays as it is.
    """
    cleaned: list[str] = []
    found = _clean(json.loads(text), "", names, cleaned)
    return (
        (json.dumps(found, indent=2, ensure_ascii=False) + "\n", cleaned)
        if cleaned
        else (
            text,
            cleaned,
        )
    )


def _clean(value: Any, key: str, names: Mapping[str, str], cleaned: list[str]) -> Any:
    if isinstance(value, dict):
        return {k: _clean(v, k, names, cleaned) for k, v in value.items()}
    if isinstance(value, list):
        return [_clean(item, key, names, cleaned) for item in value]
    if not isinstance(value, str) or "\n" in value or key == "chat_template":
        return value
    if key in names and value != names[key]:
        cleaned.append(key)
        return names[key]
    deep = len(PurePosixPath(value).parts) > 2  # "/x" may be a token
    if _ABSOLUTE.fullmatch(value) and (deep or value[0] not in "/~"):
        cleaned.append(key)
        return last_name(value)
    return value


def clean_recipe(text: str) -> tuple[str, list[str]]:
    """A recipe whose files are to lie beside it, and the names that they are to have there."""
    recipe = yaml.safe_load(text)
    needed: list[str] = []
    found = _beside(recipe, needed)
    if not needed:
        return text, []
    comment = "".join(f"{line}\n" for line in text.splitlines() if line.startswith("#"))
    listed = ", ".join(dict.fromkeys(needed))
    comment += f"# not packed, to be laid beside this file: {listed}\n"
    body = yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=96)
    return comment + body, list(dict.fromkeys(needed))


def _beside(value: Any, needed: list[str]) -> Any:
    if isinstance(value, dict):
        return {key: _beside(item, needed) for key, item in value.items()}
    if isinstance(value, list):
        return [_beside(item, needed) for item in value]
    if not isinstance(value, str) or "\n" in value:
        return value
    path, colon, function = value.partition(".py:")  # FILE.py:FUNCTION of a metric
    whole = path + ".py" if colon else value
    if not is_elsewhere(whole) and not whole.startswith("./"):
        return value
    name = last_name(whole)
    needed.append(name)
    return f"./{name}" + (f":{function}" if colon else "")


def without_paths(text: str) -> str:
    """A text in which every absolute path is its last name."""
    return _IN_TEXT.sub(lambda match: last_name(match[0]), text)
