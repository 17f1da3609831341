"""Fixtures for tests of passes: running one, and a model of each format to run it on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_models
from pass_support import Runner, filled_in

from evaluators.base import Artifact
from search_spaces.data import DataSpec
from search_spaces.vocabulary import Value
from tuner.passes import StageContext, all_passes

# Small enough that every pass runs in a second on the tiny models.
QUICK: dict[str, dict[str, Value]] = {"lora": {"r": 4, "max_steps": 4, "batch_size": 4}}


@pytest.fixture(scope="session")
def tones(tone_file: Path) -> DataSpec:
    """The tone rows as a space's data, all of them for training."""
    return DataSpec((("train", tone_file),), tiny_models.TEMPLATE, "tone", split=())


@pytest.fixture(scope="session")
def run_pass(tones: DataSpec, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """A function that runs a pass on tones, with defaults that are quick."""

    def run(name: str, model: Artifact, /, **changes: Value) -> Artifact:
        pass_ = all_passes()[name]
        parameters = filled_in(pass_, QUICK.get(name, {}) | changes)
        output = tmp_path_factory.mktemp(name)
        pass_.run(StageContext(model, parameters, output, "text-classification", tones))
        gives = pass_.spec.gives or model.format
        return Artifact(gives, output, model if gives == "adapter" else None)

    return run


@pytest.fixture(scope="session", params=["tiny_phi3", "tiny_llama"])
def models(request: pytest.FixtureRequest, run_pass: Runner) -> Callable[[str], Artifact]:
    """A function that gives a model of a format; once for each architecture."""
    made = {"hf": Artifact("hf", request.getfixturevalue(request.param))}
    makers = {"adapter": "lora", "genai": "genai_builder"}

    def model(format_: str) -> Artifact:
        if format_ not in made:
            made[format_] = run_pass(makers[format_], made["hf"])
        return made[format_]

    return model


@pytest.fixture(scope="session")
def llama(tiny_llama: Path) -> Artifact:
    """The tiny Llama, whose embedding is tied to its head."""
    return Artifact("hf", tiny_llama)


@pytest.fixture(scope="session")
def phi3(tiny_phi3: Path) -> Artifact:
    """The tiny Phi-3."""
    return Artifact("hf", tiny_phi3)
