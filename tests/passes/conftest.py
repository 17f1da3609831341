"""Fixtures for tests of passes: running one, and a model of every kind and format to run it on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_models
from pass_support import QUICK, Exporter, Runner, Zoo, filled_in

from evaluators.base import Artifact
from search_spaces.data import DataSpec
from search_spaces.vocabulary import Value
from tuner.passes import StageContext, all_passes


@pytest.fixture(scope="session")
def tones(tone_file: Path) -> DataSpec:
    """The tone rows as a space's data, all of them for training."""
    return DataSpec((("train", tone_file),), tiny_models.TEMPLATE, "tone", split=())


@pytest.fixture(scope="session")
def run_pass(tones: DataSpec, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """A function that runs a pass on tones, with defaults that are quick."""

    def run(name: str, model: Artifact, /, **changes: Value) -> Artifact:
        pass_ = all_passes()[name]
        parameters = filled_in(pass_, QUICK.get(name, {}) | changes, model.format)
        output = tmp_path_factory.mktemp(name)
        pass_.run(StageContext(model, parameters, output, "text-classification", tones))
        gives = pass_.spec.gives or model.format
        return Artifact(gives, output, model if gives == "adapter" else None)

    return run


@pytest.fixture(scope="session")
def zoo(tiny_phi3: Path, tiny_llama: Path, tiny_bert: Path, run_pass: Runner) -> Zoo:
    """Tiny models of every architecture and format, and what each pass makes of them."""
    return Zoo({"phi3": tiny_phi3, "llama": tiny_llama, "bert": tiny_bert}, run_pass)


@pytest.fixture(scope="session", params=["phi3", "llama"])
def models(request: pytest.FixtureRequest, zoo: Zoo) -> Callable[[str], Artifact]:
    """A function that gives a causal model of a format; once for each architecture."""
    architecture = str(request.param)
    return lambda format_: zoo.model(architecture, format_)


@pytest.fixture(scope="session")
def llama(tiny_llama: Path) -> Artifact:
    """The tiny Llama, whose embedding is tied to its head."""
    return Artifact("hf", tiny_llama)


@pytest.fixture(scope="session")
def phi3(tiny_phi3: Path) -> Artifact:
    """The tiny Phi-3."""
    return Artifact("hf", tiny_phi3)


@pytest.fixture(scope="session")
def bert(tiny_bert: Path) -> Artifact:
    """The tiny BERT, which has no head."""
    return Artifact("hf", tiny_bert)


@pytest.fixture(scope="session")
def exported(bert: Artifact, run_pass: Runner) -> Exporter:
    """A function that exports the tiny BERT to ONNX, once for each set of parameters. Read only."""
    made: dict[str, Artifact] = {}

    def export(**changes: Value) -> Artifact:
        key = repr(sorted(changes.items()))
        if key not in made:
            made[key] = run_pass("onnx_export", bert, **changes)
        return made[key]

    return export
