"""A plug-in as an outsider would write it: passes that cost nothing, with every way to fail."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from evaluators.base import Artifact, Estimate, Evaluator, Measurement
from search_spaces.data import DataSpec
from search_spaces.vocabulary import (
    Aspect,
    EvaluatorSpec,
    MetricSpec,
    ParameterSpec,
    PassSpec,
    Value,
)
from tuner.passes.base import Pass, PassError, StageContext

_INTS = tuple(
    ParameterSpec(name, int, 2, f"a number, {name}", low=0, high=100) for name in ("a", "b")
)
_FAULTS = ("none", "error", "refuse", "segfault", "memory", "hang", "exit")


class Toy(Pass):
    """Writes its parameters into a file; slow or faulty on request."""

    spec: ClassVar[PassSpec] = PassSpec(
        name="toy",
        version=1,
        help="writes its parameters into a file",
        parameters=(
            *_INTS,
            ParameterSpec("fault", str, "none", "how to fail", choices=_FAULTS),
            ParameterSpec("seconds", float, 0.0, "how long to take", low=0.0, high=60.0),
        ),
        accepts=frozenset({"hf"}),
        gives="toy",
        changes=frozenset({Aspect.WEIGHTS, Aspect.STRUCTURE}),
        neutral={},
    )

    def run(self, context: StageContext) -> None:
        """Write `parameters.json`, after `seconds`, unless it is to fail."""
        parameters = dict(context.parameters)
        seconds = parameters["seconds"]
        assert isinstance(seconds, float)
        time.sleep(seconds)
        print(f"toy runs with {parameters}")
        _fail(str(parameters["fault"]))
        trained = context.model.path / "trained.json"
        if trained.exists():
            parameters |= json.loads(trained.read_text())
        (context.output / "parameters.json").write_text(json.dumps(parameters))
        _count(f"toy {parameters}")


class ToyTail(Pass):
    """A late, cheap stage."""

    spec: ClassVar[PassSpec] = PassSpec(
        name="toy_tail",
        version=1,
        help="adds its parameters to the file",
        parameters=tuple(
            ParameterSpec(name, int, 2, f"a number, {name}", low=0, high=100) for name in ("c", "d")
        ),
        accepts=frozenset({"toy"}),
        gives=None,
        changes=frozenset({Aspect.RUNTIME}),
        neutral={},
    )

    def run(self, context: StageContext) -> None:
        """Write the file anew with the values added."""
        before = json.loads((context.model.path / "parameters.json").read_text())
        whole = before | dict(context.parameters)
        (context.output / "parameters.json").write_text(json.dumps(whole))
        _count(f"tail {whole}")


class ToyTrain(Pass):
    """Changes weights only, slowly, and can do a share of it first."""

    spec: ClassVar[PassSpec] = PassSpec(
        name="toy_train",
        version=1,
        help="notes that it trained",
        parameters=(
            ParameterSpec("rank", int, 2, "how well it can become", low=0, high=100),
            ParameterSpec("steps", int, 9, "how long it trains", low=1, high=1000),
            ParameterSpec("seconds", float, 0.0, "for all steps", low=0.0, high=60.0),
        ),
        accepts=frozenset({"hf"}),
        gives=None,
        changes=frozenset({Aspect.WEIGHTS}),
        budget="steps",
    )

    def run(self, context: StageContext) -> None:
        """Write `trained.json`; the steps that `earlier` has are not done again."""
        parameters = dict(context.parameters)
        steps = round(int(str(parameters["steps"])) * context.share)
        done = 0
        if context.earlier is not None:
            done = json.loads((context.earlier / "trained.json").read_text())["trained"]
        seconds = float(str(parameters["seconds"]))
        time.sleep(seconds * (steps - done) / int(str(parameters["steps"])))
        shutil.copytree(context.model.path, context.output, dirs_exist_ok=True)
        found = {"rank": parameters["rank"], "trained": steps}
        (context.output / "trained.json").write_text(json.dumps(found))
        _count(f"train rank {parameters['rank']} steps {done} to {steps}")


class ToyConvert(Pass):
    """Says that it only copies a checkpoint, and does another thing on request."""

    spec: ClassVar[PassSpec] = PassSpec(
        name="toy_convert",
        version=1,
        help="copies a checkpoint",
        parameters=(
            ParameterSpec(
                "secretly", str, "none", "what else it does", choices=("none", "scramble", "nan")
            ),
        ),
        accepts=frozenset({"hf"}),
        gives="hf",
        changes=frozenset({Aspect.STRUCTURE}),
        neutral={},
        libraries=("torch", "transformers"),
    )

    def tolerance(self, parameters: Mapping[str, Value], model_format: str) -> float | None:
        """A copy computes the same."""
        return 1e-3

    def run(self, context: StageContext) -> None:
        """Copy, then turn every matrix upside down, or lose a number."""
        from safetensors.torch import load_file, save_file

        shutil.copytree(context.model.path, context.output, dirs_exist_ok=True)
        file = context.output / "model.safetensors"
        tensors = load_file(file)
        for name, tensor in tensors.items():
            if context.parameters["secretly"] == "scramble" and tensor.ndim == 2:
                tensors[name] = tensor.flip(0).contiguous()
            elif context.parameters["secretly"] == "nan":
                tensor.view(-1)[0] = float("nan")
        save_file(tensors, file, metadata={"format": "pt"})


class ToyMetrics(Evaluator):
    """Two numbers that pull apart: more of everything costs more and is worth more."""

    spec: ClassVar[EvaluatorSpec] = EvaluatorSpec(
        name="toy_metrics",
        version=1,
        help="a cost and a worth, from the parameters",
        parameters=(),
        metrics=(
            MetricSpec("cost", "s", True, frozenset(Aspect), "seconds"),
            MetricSpec("worth", "fraction", False, frozenset(Aspect), "a share"),
        ),
        formats=frozenset({"toy"}),
    )

    def measure(
        self,
        model: Artifact,
        options: Mapping[str, Value],
        data: DataSpec | None,
        split: str,
        reference: Artifact | None = None,
    ) -> Measurement:
        """Both numbers; always the same for the same parameters.

        On held-out data the cost of models with some `a` may be another: TOY_HELD_OUT has factors.
        """
        p = json.loads((model.path / "parameters.json").read_text())
        a, b, c, d = (p.get(name, 2) for name in "abcd")
        cost = 0.01 + 0.002 * a + 0.001 * c + 0.0005 * b * d
        worth = 1 - 1 / (2 + a + 0.5 * b + 0.3 * d)
        if split == "test":
            cost *= json.loads(os.environ.get("TOY_HELD_OUT", "{}")).get(str(a), 1)
        return Measurement({"cost": [[cost]], "worth": [[worth]]})

    def summarise(
        self,
        measurements: Sequence[Measurement],
        options: Mapping[str, Value],
        metric: str,
        statistic: str | None,
    ) -> Estimate:
        """The number itself, without an interval."""
        value = measurements[0].samples[metric][0][0]
        unit = "s" if metric == "cost" else "fraction"
        return Estimate(metric, statistic, value, value, value, unit, 1)


class ToySpeed(Evaluator):
    """What depends on structure and runtime alone: so it says, and TOY_LIES makes it untrue."""

    spec: ClassVar[EvaluatorSpec] = EvaluatorSpec(
        name="toy_speed",
        version=1,
        help="how long a made-up request takes",
        parameters=(),
        metrics=(
            MetricSpec(
                "delay", "s", True, frozenset({Aspect.STRUCTURE, Aspect.RUNTIME}), "seconds"
            ),
        ),
        formats=frozenset({"toy"}),
    )

    def measure(
        self,
        model: Artifact,
        options: Mapping[str, Value],
        data: DataSpec | None,
        split: str,
        reference: Artifact | None = None,
    ) -> Measurement:
        """10 ms for each `a`."""
        p = json.loads((model.path / "parameters.json").read_text())
        slower = 2 if "TOY_LIES" in os.environ and "rank" in p else 1
        return Measurement({"delay": [[0.01 * p.get("a", 2) * slower]]})

    def summarise(
        self,
        measurements: Sequence[Measurement],
        options: Mapping[str, Value],
        metric: str,
        statistic: str | None,
    ) -> Estimate:
        """The number itself."""
        value = measurements[0].samples[metric][0][0]
        return Estimate(metric, statistic, value, value, value, "s", 1)


class ToySkill(Evaluator):
    """What training is for."""

    spec: ClassVar[EvaluatorSpec] = EvaluatorSpec(
        name="toy_skill",
        version=1,
        help="how well the model does",
        parameters=(),
        metrics=(MetricSpec("skill", "fraction", False, frozenset(Aspect), "a share"),),
        formats=frozenset({"toy"}),
    )

    def measure(
        self,
        model: Artifact,
        options: Mapping[str, Value],
        data: DataSpec | None,
        split: str,
        reference: Artifact | None = None,
    ) -> Measurement:
        """More rank, more steps and more `a` are better."""
        p = json.loads((model.path / "parameters.json").read_text())
        learned = p.get("rank", 0) * p.get("trained", 0)
        return Measurement({"skill": [[1 - 1 / (1 + 0.01 * learned + 0.1 * p.get("a", 2))]]})

    def summarise(
        self,
        measurements: Sequence[Measurement],
        options: Mapping[str, Value],
        metric: str,
        statistic: str | None,
    ) -> Estimate:
        """The number itself."""
        value = measurements[0].samples[metric][0][0]
        return Estimate(metric, statistic, value, value, value, "fraction", 1)


def _fail(fault: str) -> None:
    if fault == "error":
        raise ValueError("a fault was asked for")
    if fault == "refuse":
        raise PassError("the toy pass cannot do this, as it was told")
    if fault == "segfault":
        ctypes.string_at(0)
    if fault == "memory":
        hog = bytearray(2_000_000_000)
        hog[::4096] = b"x" * len(hog[::4096])
        time.sleep(60)
    if fault == "hang":
        time.sleep(600)
    if fault == "exit":
        os._exit(7)


def _count(what: str) -> None:
    """Append a line to $TOY_COUNTER, so that a test can tell what ran to completion."""
    counter = os.environ.get("TOY_COUNTER")
    if counter:
        with Path(counter).open("a") as file:
            file.write(f"{what}\n")
