from __future__ import annotations

import pytest
import yaml

from search_spaces.problems import Problems
from search_spaces.vocabulary import Aspect, ParameterSpec, PassSpec, SearchRange, Value
from search_spaces.yaml_nodes import ScalarNode, compose
from tuner.report.step_example import example_step, yaml_value


@pytest.mark.parametrize(
    "value",
    [
        0,
        -3,
        0.5,
        1e-4,
        2e-05,
        1e300,
        100.0,
        True,
        None,
        "int4",
        "no",
        "1.5",
        "a b",
        "*/x/*",
        "",
        "é",
    ],
)
def test_a_value_is_read_alike_by_us_and_by_other_readers_of_yaml(value: Value) -> None:
    text = yaml_value(value)
    node = compose(text, "file", Problems())
    assert isinstance(node, ScalarNode)
    assert (node.value, type(node.value)) == (value, type(value))
    assert yaml.safe_load(text) == value


def test_a_step_has_what_is_worth_searching_and_fits_80_columns() -> None:
    long = tuple(f"a_rather_long_choice_{i}" for i in range(6))
    spec = PassSpec(
        name="thing",
        version=1,
        help="Do a thing.",
        parameters=(
            ParameterSpec("rate", float, 0.1, "A rate.", search=SearchRange(1e-4, 1, log=True)),
            ParameterSpec("fixed", int, 3, "Not worth it."),
            ParameterSpec("count", int, 3, "A count.", search=SearchRange(1, 8)),
            ParameterSpec("names", list, (), "Names.", search=(("a", "b"), "all-linear")),
            ParameterSpec("choice", str, long[0], "A choice.", choices=long, search=long),
        ),
        accepts=frozenset({"hf"}),
        gives=None,
        changes=frozenset({Aspect.WEIGHTS}),
    )
    text = example_step(spec)
    assert max(map(len, text.splitlines())) <= 80
    assert yaml.safe_load(text) == [
        {
            "thing": {
                "rate": {"range": [1e-4, 1.0], "log": True},
                "count": {"range": [1, 8]},
                "names": {"choices": [["a", "b"], "all-linear"]},
                "choice": {"choices": list(long)},
            }
        }
    ]
