"""The `session` pass: with which options ONNX Runtime opens the model.

Writes the options into `genai_config.json`; every other file is the one that came in, shared by
hard links. Knows nothing of how the model was built.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluators.machine import cores
from search_spaces.vocabulary import Aspect, ParameterSpec, PassSpec, Value
from tuner.models.links import link_or_copy
from tuner.passes.base import Pass, PassError, StageContext

CONFIG = "genai_config.json"

LEVELS = {
    "disable": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}


class Session(Pass):
    """Fixes the session options of a GenAI model.

    The options are those that onnxruntime-genai reads by name (`intra_op_num_threads`,
    `graph_optimization_level`, `enable_cpu_mem_arena`, `enable_mem_pattern`) or hands on as a
    session configuration entry. It runs operators one after another, so that a number of
    inter-op threads or an execution mode would change nothing.
    """

    spec = PassSpec(
        name="session",
        version=1,
        help="Fix the options with which ONNX Runtime opens the model: threads, memory, graph.",
        accepts=frozenset({"genai"}),
        gives=None,
        changes=frozenset({Aspect.RUNTIME}),
        neutral={},
        parameters=(
            ParameterSpec(
                "intra_op_num_threads",
                int,
                0,
                "Threads that share the work of one operator; 0: one for each core.",
                low=0,
                high=256,
                search=(0, 1, 2, 4),
            ),
            ParameterSpec(
                "graph_optimization_level",
                str,
                "all",
                "How far ONNX Runtime rewrites the graph when it opens the model.",
                choices=tuple(LEVELS),
                search=("basic", "all"),
            ),
            ParameterSpec(
                "allow_spinning",
                bool,
                True,
                "Idle threads wait actively: quicker alone, slower on cores that others use too.",
                search=(True, False),
            ),
            ParameterSpec(
                "enable_cpu_mem_arena",
                bool,
                True,
                "Keep freed memory for reuse; false: give it back, for a smaller footprint.",
            ),
            ParameterSpec(
                "enable_mem_pattern",
                bool,
                True,
                "Plan the memory of all operators ahead where shapes repeat.",
            ),
        ),
    )

    def environment(self, parameters: Mapping[str, Value]) -> Mapping[str, str]:
        """The number of cores, where it decides the number of threads."""
        return {"cores": str(cores())} if parameters["intra_op_num_threads"] == 0 else {}

    def run(self, context: StageContext) -> None:
        """Link the model's files and write its configuration anew."""
        source, target = context.model.path, context.output
        config = _read(source / CONFIG)
        options = config["model"]["decoder"].setdefault("session_options", {})
        options.update(_session_options(context.parameters))
        _link_files(source, target)
        text = json.dumps(config, indent=4, ensure_ascii=False)
        (target / CONFIG).write_text(text + "\n", encoding="utf-8")


def _session_options(parameters: Mapping[str, Value]) -> dict[str, Any]:
    """The parameters under the names that genai_config.json knows."""
    return {
        "intra_op_num_threads": parameters["intra_op_num_threads"] or cores(),
        "graph_optimization_level": LEVELS[str(parameters["graph_optimization_level"])],
        "enable_cpu_mem_arena": parameters["enable_cpu_mem_arena"],
        "enable_mem_pattern": parameters["enable_mem_pattern"],
        "session.intra_op.allow_spinning": "1" if parameters["allow_spinning"] else "0",
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        config["model"]["decoder"]
    except FileNotFoundError:
        raise PassError(
            f"{path.parent} is no ONNX Runtime GenAI model: it has no {CONFIG}"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise PassError(f"{path} cannot be read as a GenAI configuration: {error}") from error
    return config


def _link_files(source: Path, target: Path) -> None:
    """Give `target` all files of `source` but its configuration, as links where possible."""
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        if path.is_file() and relative != Path(CONFIG):
            link_or_copy(path, target / relative)
