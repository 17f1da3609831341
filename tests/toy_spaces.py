"""A small vocabulary and spaces over it, for tests that need candidates but no real pass."""

from __future__ import annotations

from pathlib import Path

from search_spaces import Overrides, Space, Vocabulary, parse_space
from search_spaces.vocabulary import (
    Aspect,
    EvaluatorSpec,
    MetricSpec,
    ParameterSpec,
    PassSpec,
)

NUMBERS = tuple(ParameterSpec(n, int, 2, "a number", low=0, high=100) for n in ("x", "y", "z"))
EVERYTHING = frozenset(Aspect)

TUNE = PassSpec(
    "tune_weights",
    1,
    "changes weights",
    (*NUMBERS, ParameterSpec("rate", float, 0.5, "a rate", low=0.0, high=10.0)),
    frozenset({"hf"}),
    "adapter",
    frozenset({Aspect.WEIGHTS}),
)
FOLD = PassSpec(
    "fold",
    1,
    "adapter into model",
    (),
    frozenset({"adapter"}),
    "hf",
    frozenset({Aspect.WEIGHTS}),
    passes_through=frozenset({"hf"}),
    neutral={},
)
CONVERT = PassSpec(
    "convert",
    1,
    "gives a built model",
    (
        ParameterSpec("kind", str, "full", "how", choices=("full", "half", "tiny")),
        ParameterSpec("block", int, 32, "block", low=1, high=1024),
    ),
    frozenset({"hf"}),
    "built",
    frozenset({Aspect.WEIGHTS, Aspect.STRUCTURE}),
    neutral={"kind": "full"},
)
SETTINGS = PassSpec(
    "settings",
    1,
    "how it runs",
    (ParameterSpec("threads", int, 1, "threads", low=1, high=8),),
    frozenset({"built"}),
    None,
    frozenset({Aspect.RUNTIME}),
    neutral={},
)
METRICS = EvaluatorSpec(
    "speed",
    1,
    "two numbers",
    (),
    (
        MetricSpec("time", "s", True, EVERYTHING, "seconds", ("p50", "p95")),
        MetricSpec("quality", "fraction", False, EVERYTHING, "a share"),
    ),
    frozenset({"built"}),
)
VOCABULARY = Vocabulary(
    {p.name: p for p in (TUNE, FOLD, CONVERT, SETTINGS)}, {METRICS.name: METRICS}
)

HEAD = "model: .\ntask: text-generation\nobjectives: [minimize time, maximize quality]\n"

STAGED = (
    HEAD
    + """
constraints: ["time<60ms"]
pipeline:
  - tune_weights:
      x: {choices: [1, 4, 16]}
      y: {range: [0, 2]}
    optional: true
  - fold
  - convert:
      kind: {choices: [full, half, tiny]}
      block: {choices: [32, 128], when: "kind == 'tiny'"}
  - settings:
      threads: {choices: [1, 2]}
"""
)
"""(1 + 3 x 3) x (2 + 2) x 2 = 80 candidates."""

CONTINUOUS = STAGED.replace(
    "y: {range: [0, 2]}", "y: {range: [0, 2]}\n      rate: {range: [0.1, 1.0], log: true}"
)


def space_of(text: str, **overrides: str) -> Space:
    """The space that the text describes."""
    return parse_space(text, Path("toy.yaml"), VOCABULARY, Overrides(**overrides)).space  # type: ignore[arg-type]
