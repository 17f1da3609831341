"""What runs in a worker process for a stage: one pass, or the fetching of the model that comes in.

Knows nothing of the store; it is told a folder to write into.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluators.base import Artifact
from search_spaces.data import DataSpec
from search_spaces.vocabulary import Value
from tuner.passes.base import StageContext

Json = dict[str, Any]

RUN_STAGE = f"{__name__}:run_stage"
FETCH_SOURCE = f"{__name__}:fetch_source"


def run_stage(payload: Json) -> Json:
    """Run the pass that `payload` names; what it writes into `output` is the result.

    Gives "notices", a list of sentences, where the pass had something to tell.

    `payload`: "pass", "parameters", "model" (an `Artifact` as JSON), "output", "task", "data" (a
    `DataSpec` as JSON, or null); and of a training that is not done at once "share" and "earlier"
    (a folder, or null), which are those of `StageContext`.
    """
    from tuner.passes import all_passes

    data, earlier = payload["data"], payload.get("earlier")
    notices: list[str] = []
    context = StageContext(
        model=Artifact.from_json(payload["model"]),
        parameters={k: _value(v) for k, v in payload["parameters"].items()},
        output=Path(payload["output"]),
        task=payload["task"],
        data=None if data is None else DataSpec.from_json(data),
        share=float(payload.get("share", 1.0)),
        earlier=None if earlier is None else Path(earlier),
        tell=notices.append,
    )
    all_passes()[payload["pass"]].run(context)
    return {"notices": notices} if notices else {}


def fetch_source(payload: Json) -> Json:
    """Fetch the model that a reference names into `output`, as a transformers folder."""
    from search_spaces.references import parse_reference
    from tuner.models.resolver import fetch

    fetch(parse_reference(payload["reference"], Path.cwd()), Path(payload["output"]))
    return {}


def _value(data: Any) -> Value:
    """A JSON value as a parameter value: lists are tuples."""
    if isinstance(data, list):
        return tuple(_value(v) for v in data)
    result: Value = data
    return result
