"""Runs the model builder of onnxruntime-genai in this process, and says in words where it fails.

Asks nothing of the model hub and runs no code of a model folder. Knows nothing of adapters.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from evaluators.base import Artifact
from search_spaces.problems import hint
from search_spaces.vocabulary import Value
from tuner.genai.architectures import adapt
from tuner.genai.errors import Unbuildable
from tuner.genai.legality import refuse_model
from tuner.genai.options import builder_options

MODEL = "model.onnx"

LIBRARIES = (
    "onnxruntime-genai",
    "onnxruntime-genai-cuda",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnx-ir",
    "torch",
    "transformers",
)
"""Distributions whose version changes what is built."""


def environment(parameters: Mapping[str, Value]) -> dict[str, str]:
    """The content of files that parameters name, which the result depends on."""
    file = parameters.get("kv_cache_scales")
    return {} if file is None else {"kv_cache_scales": content_key(Path(str(file)))}


def content_key(file: Path) -> str:
    """SHA-256 (hex) of a file; "absent" where it cannot be read, which a check reports."""
    try:
        return sha256(file.read_bytes()).hexdigest()
    except OSError:
        return "absent"


def build(model: Artifact, parameters: Mapping[str, Value], output: Path) -> None:
    """Build a checkpoint ("hf" or "quantized") into a GenAI folder; Unbuildable where it cannot be.

    Parameters that are missing keep the builder's own default.
    """
    refuse_model(read_config(model.path), parameters)
    _run(model.path, parameters, output)
    names = parameters.get("unquantized_nodes")
    check_nodes(output, names if isinstance(names, tuple) else ())


def read_config(folder: Path) -> dict[str, Any]:
    """The checkpoint's config.json; Unbuildable where there is none."""
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Unbuildable(
            f"{folder} is no transformers checkpoint: config.json: {error}"
        ) from error
    return config


def _run(source: Path, parameters: Mapping[str, Value], output: Path) -> None:
    import onnxruntime_genai.models  # noqa: F401 - puts the builder's modules on the path
    from onnxruntime_genai.models.builder import create_model, parse_extra_options

    options = [f"{name}={value}" for name, value in builder_options(parameters).items()]
    where = (str(parameters["precision"]), str(parameters["execution_provider"]))
    with TemporaryDirectory() as cache_folder:
        arguments = (None, str(source), str(output), *where, cache_folder)
        try:
            told = parse_extra_options(*arguments, options)
            adapt(told["hf_details"]["hf_config"])
            create_model(*arguments, **told)
        except NotImplementedError as error:
            raise Unbuildable(
                f"the GenAI model builder does not know {architecture(source)}, or not with these "
                f"parameters ({_words(error, source)})"
            ) from error
        except (OSError, MemoryError):  # of this machine, at this moment: no fault of the model
            raise
        except Exception as error:  # the builder raises anything: KeyError for a field it expects
            raise Unbuildable(
                f"the GenAI model builder cannot build {architecture(source)}: "
                f"{_words(error, source)}"
            ) from error


def architecture(folder: Path) -> str:
    """The architecture that a checkpoint names, such as LlamaForCausalLM."""
    named = read_config(folder).get("architectures") or ["a model that names no architecture"]
    return str(named[0])


def _words(error: Exception, source: Path) -> str:
    """What an exception says, naming no folder; with its type where that says more."""
    text = " ".join(str(error).replace(str(source), architecture(source)).split())
    plain = isinstance(error, (AssertionError, NotImplementedError, ValueError)) and text
    return text if plain else f"{type(error).__name__}: {text}".removesuffix(": ")


def check_nodes(folder: Path, names: Iterable[Value]) -> None:
    """Unbuildable where a name is of no node of the graph; the builder would say nothing."""
    wanted = list(map(str, names))
    if not wanted:
        return
    import onnx

    graph = onnx.load(folder / MODEL, load_external_data=False).graph
    known = [node.name for node in graph.node if node.op_type in ("MatMul", "Gather")]
    for name in wanted:
        if name not in known:
            raise Unbuildable(
                f"unquantized_nodes: the graph has no matrix {name!r}"
                + (hint(name, [node.name for node in graph.node if "MatMul" in node.name]))
            )
