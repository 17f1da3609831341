"""What a pass tells of its result comes back from its process, to be kept with the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tiny_models
from pass_support import filled_in

from evaluators.base import Artifact
from search_spaces.candidates import plain
from search_spaces.data import DataSpec
from tuner.execution.stage_job import run_stage
from tuner.passes import all_passes


def trained(model: Path, data: DataSpec, output: Path, **changes: Any) -> dict[str, Any]:
    """What the job of a short training gives."""
    output.mkdir()
    parameters = filled_in(all_passes()["lora"], {"max_steps": 1, "r": 2} | changes)
    return run_stage(
        {
            "pass": "lora",
            "parameters": plain(parameters),
            "model": Artifact("hf", model).to_json(),
            "output": str(output),
            "task": "text-classification",
            "data": data.to_json(),
        }
    )


def test_texts_that_were_cut_are_told_of(tiny_llama: Path, tone_file: Path, tmp_path: Path) -> None:
    data = DataSpec((("train", tone_file),), tiny_models.TEMPLATE, "tone", split=())
    assert trained(tiny_llama, data, tmp_path / "whole") == {}
    [told] = trained(tiny_llama, data, tmp_path / "cut", max_length=16)["notices"]
    assert told.startswith("64 of 64 texts were cut to 16 tokens (")
    packing = {"loss": "full", "packing": True, "max_length": 16}
    assert trained(tiny_llama, data, tmp_path / "packed", **packing) == {}
