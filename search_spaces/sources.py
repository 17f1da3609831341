"""What lies in a model's folder: a checkpoint, a packed one, an adapter, or a built model.

Told from the folder's small files. Knows nothing of torch, and nothing of where folders come from.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search_spaces.paths import is_file, is_folder
from search_spaces.problems import listed
from search_spaces.vocabulary import ADAPTER, QUANTIZED

CONFIG, GENAI_CONFIG, ADAPTER_CONFIG = "config.json", "genai_config.json", "adapter_config.json"
GRAPH = "model.onnx"
MODEL_FOLDER, BASE_FOLDER = "model", "base"
"""In the folder of an answer: its model, and the base of one that is an adapter."""

BASE_KEY = "base_model_name_or_path"
"""In adapter_config.json: the model that the adapter was trained on."""

_MARKS = (CONFIG, GENAI_CONFIG, ADAPTER_CONFIG, GRAPH)
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_TOKENIZERS = ("tokenizer.json", "tokenizer_config.json")
_PACKING = "quantization_config"
_BITS = (2, 4, 8)


class SourceError(ValueError):
    """The folder holds a model that cannot be used; one sentence says why, and what can."""


def model_folder(folder: Path) -> Path:
    """The folder of the model: `model/` in it where it is the folder of an answer."""
    inside = folder / MODEL_FOLDER
    is_model = any(is_file(folder / name) for name in _MARKS)
    return inside if not is_model and is_folder(inside) else folder


def source_format(folder: Path) -> str:
    """The format of the model in a folder: "hf", "quantized", "adapter", "genai" or "onnx".

    A folder that holds nothing known is "hf": who opens it says what it lacks. SourceError for
    weights that are packed in a way that is not read, and for a graph without what belongs to it.
    """
    if is_file(folder / GENAI_CONFIG):
        return "genai"
    if is_file(folder / ADAPTER_CONFIG):
        return ADAPTER
    has_weights = any(any(folder.glob(pattern)) for pattern in _WEIGHTS)
    if is_file(folder / GRAPH) and not has_weights:
        _check_graph(folder)
        return "onnx"
    config = _object(folder / CONFIG)
    packing = config.get(_PACKING)
    if not isinstance(packing, Mapping):
        return "hf"
    _check_packing(folder, packing)
    return QUANTIZED


def named_base(adapter: Path) -> str | None:
    """The base that an adapter's configuration names, of the hub with its revision; None: none."""
    config = _object(adapter / ADAPTER_CONFIG)
    named, revision = config.get(BASE_KEY), config.get("revision")
    if not isinstance(named, str) or not named.strip():
        return None
    return f"{named}@{revision}" if revision and not is_folder(Path(named)) else named


def cached_folder(repo: str, revision: str | None) -> Path | None:
    """The folder of the hub's local cache that holds a repository's configuration; None: no such.

    The layout is the one that huggingface_hub documents: refs name commits, snapshots hold files.
    """
    kept = _hub_cache() / f"models--{repo.replace('/', '--')}"
    try:
        commit = (kept / "refs" / (revision or "main")).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        commit = revision or ""
    folder = kept / "snapshots" / commit
    return folder if commit and is_file(folder / CONFIG) else None


def _hub_cache() -> Path:
    if given := os.environ.get("HF_HUB_CACHE"):
        return Path(given).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or f"{caches}/huggingface"
    return Path(home).expanduser() / "hub"


def _check_graph(folder: Path) -> None:
    lacking = [] if is_file(folder / CONFIG) else [CONFIG]
    lacking += [] if any(is_file(folder / name) for name in _TOKENIZERS) else ["tokenizer.json"]
    if lacking:
        raise SourceError(
            f"{folder} holds a {GRAPH} without {listed(lacking, 'and')} beside it: without them an "
            "encoder cannot be fed; a language model's graph needs genai_config.json"
        )


def packing_problem(packing: Mapping[str, Any]) -> str | None:
    """Why weights packed so (a `quantization_config`) cannot be read; None where they can."""
    method, layout = packing.get("quant_method"), packing.get("checkpoint_format") or "gptq"
    found = None
    if method != "gptq":
        found = f"with {method}"
    elif layout != "gptq":
        found = f"in the layout {layout}"
    elif packing.get("desc_act"):
        found = "with desc_act (act-order)"
    elif packing.get("bits") not in _BITS:
        found = f"in {packing.get('bits')} bits"
    elif packing.get("dynamic"):
        found = "in other bits for some layers (dynamic)"
    if found is None:
        return None
    return (
        f"is quantised {found}; what can be read is the GPTQ layout (quant_method gptq, "
        f"checkpoint_format gptq, desc_act false, {listed(map(str, _BITS))} bits)"
    )


def _check_packing(folder: Path, packing: Mapping[str, Any]) -> None:
    why = packing_problem(packing)
    if why is not None:
        cure = "begin with the model before it was quantised, and quantise it here"
        raise SourceError(f"{folder} {why}; {cure}")


def _object(path: Path) -> Mapping[str, Any]:
    """A JSON object; empty where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, Mapping) else {}
