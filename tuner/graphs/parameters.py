"""Parameters that several passes on graphs declare alike. Knows nothing of graphs."""

from __future__ import annotations

from search_spaces.vocabulary import ParameterSpec

EXCLUDE_NODES = ParameterSpec(
    "exclude_nodes",
    list,
    (),
    "Nodes that stay as they are, by name or pattern, such as [*/attention/*].",
)

EXCLUDE_OPS = ParameterSpec(
    "exclude_ops",
    list,
    (),
    "Operators of which every node stays as it is, such as [Gather].",
)

KEEP_IO = ParameterSpec(
    "keep_io",
    bool,
    True,
    "Give the logits in 32 bits, as before; false: in 16.",
)

MIN_POSITIVE = ParameterSpec(
    "min_positive",
    float,
    5.96e-8,
    "Weights nearer to zero than this are moved out to it; below it, 16 bits hold none.",
    low=5.96e-8,
    high=1e-2,
)

MAX_FINITE = ParameterSpec(
    "max_finite",
    float,
    65504.0,
    "Weights beyond this are cut to it; beyond 65504, 16 bits hold none.",
    low=1.0,
    high=65504.0,
)

EIGHT_BIT_WEIGHTS = (
    ParameterSpec(
        "per_channel",
        bool,
        True,
        "A scale for each column of a matrix; false: one for all of it.",
        search=(True, False),
    ),
    ParameterSpec(
        "reduce_range",
        bool,
        False,
        "Weights in 7 bits, against overflow on processors without VNNI.",
    ),
)
