"""Metrics of a space's own: what is read of them, and every mistake with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from sample_space import SPACE, VOCABULARY, read, write_data

from search_spaces.functions import FunctionMetric
from search_spaces.identity import describe
from search_spaces.overrides import Overrides
from search_spaces.problems import SpaceError
from search_spaces.schema import space_schema
from search_spaces.space import Space
from search_spaces.vocabulary import Aspect

METRICS = """
import math
from os.path import join as joined
from functools import partial

half = partial(math.pow, 0.5)

def tone_cost(model, rows, weight, *, unit=1):
    raise RuntimeError("nobody runs this")

def one_argument(model):
    return 1

def anything(*args, **kwargs):
    return 1

async def later(model, rows):
    return 1

try:
    import numpy
except ImportError:
    def fallback(model, rows):
        return 1
"""

ENTRY = """\
metrics:
  tone_cost:
    function: costing.py:tone_cost
    goal: minimize
    options: {weight: 2}
"""
GOALS = "objectives: [minimize latency, maximize accuracy]"
ASKED = "objectives: [minimize tone_cost, maximize accuracy]"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "costing.py").write_text(METRICS)
    return write_data(tmp_path)


def text_of(entry: str = ENTRY, objectives: str = ASKED) -> str:
    assert GOALS in SPACE
    text = SPACE.replace("metrics:\n", entry, 1).replace(GOALS, objectives)
    return text.replace("- latency<50ms", "- latency<50ms\n  - tone_cost<=baseline+0.5")


def space_of(path: Path, entry: str = ENTRY) -> Space:
    return read(text_of(entry), path).space


def test_function_makes_a_metric(path: Path) -> None:
    space = space_of(path)
    assert space.functions == {
        "tone_cost": FunctionMetric(
            "tone_cost", path.parent / "costing.py", None, "tone_cost", "", True
        )
    }
    assert space.evaluators["tone_cost"] == {"weight": 2}
    assert [o.metric for o in space.objectives] == ["tone_cost", "accuracy"]
    assert "tone_cost<=baseline+0.5" in [c.text for c in space.constraints]


def test_declaration_crosses_processes(path: Path) -> None:
    metric = space_of(path).functions["tone_cost"]
    assert FunctionMetric.from_json(metric.to_json()) == metric


def test_function_that_nobody_asks_for_is_measured_too(path: Path) -> None:
    text = SPACE.replace("metrics:\n", ENTRY, 1)
    assert "tone_cost" in read(text, path).space.evaluators


def test_options_are_plain_values_and_lists(path: Path) -> None:
    given = "{weight: [1, [a, true]], unit: null}"
    space = space_of(path, ENTRY.replace("{weight: 2}", given))
    assert space.evaluators["tone_cost"] == {"weight": (1, ("a", True)), "unit": None}


def test_option_can_be_set_from_the_command_line(path: Path) -> None:
    changed = Overrides(settings=("metrics.tone_cost.options.weight=7",))
    assert read(text_of(), path, changed).space.evaluators["tone_cost"] == {"weight": 7}


@pytest.mark.parametrize("function", ["half", "joined", "anything", "fallback"])
def test_what_only_running_the_file_can_tell_is_left_to_it(path: Path, function: str) -> None:
    space = space_of(path, ENTRY.replace("py:tone_cost", f"py:{function}").replace("weight: 2", ""))
    assert space.functions["tone_cost"].function == function


def test_module_s_function_is_found_without_importing_it(path: Path) -> None:
    entry = ENTRY.replace("costing.py:tone_cost", "email.mime.text:MIMEText")
    metric = space_of(path, entry).functions["tone_cost"]
    assert (metric.module, metric.file.name) == ("email.mime.text", "text.py")


@pytest.mark.parametrize(
    ("unit", "depends"),
    [
        ("", {Aspect.WEIGHTS, Aspect.STRUCTURE}),
        ("fraction", {Aspect.WEIGHTS, Aspect.STRUCTURE}),
        ("s", set(Aspect)),
    ],
)
def test_times_depend_on_how_a_model_runs(path: Path, unit: str, depends: set[Aspect]) -> None:
    from evaluators.function import function_evaluators

    entry = ENTRY.replace("goal:", f'unit: "{unit}"\n    goal:')
    text = SPACE.replace("metrics:\n", entry, 1).replace(GOALS, ASKED)
    spec = function_evaluators(read(text, path).space)["tone_cost"].spec
    assert spec.metrics[0].depends_on == depends
    assert spec.needs_data


def test_the_function_s_content_makes_the_question_and_its_place_does_not(path: Path) -> None:
    first = describe(space_of(path))
    assert str(path.parent) not in str(first)
    (path.parent / "other.py").write_text(METRICS)
    entry = ENTRY.replace("costing.py", "other.py")
    assert describe(space_of(path, entry)) == first
    (path.parent / "other.py").write_text(METRICS + "# edited\n")
    assert describe(space_of(path, entry)) != first
    assert "functions" not in describe(read(SPACE, path).space)


MISTAKES = {
    "file": ("costing.py:", "costin.py:", r"there is no file .*costin.py.*mean 'costing.py'"),
    "function": ("py:tone_cost", "py:tone_costs", "no function 'tone_costs'; did you mean 'tone_"),
    "far": ("py:tone_cost", "py:zzz", "no function 'zzz'; it has tone_cost, one_argument, any"),
    "module": ("costing.py:", "costing:", "no module 'costing' .*; did you mean costing.py"),
    "unparted": ("costing.py:tone_cost", "costing.py", "found .*expected FILE:FUNCTION such as"),
    "arguments": ("py:tone_cost", "py:one_argument", r"one_argument\(model\) is called as one_arg"),
    "async": ("py:tone_cost", "py:later", "later is async; write it as a plain function"),
    "option": ("weight: 2", "weight: 2, units: 3", "no option 'units', it takes weight and unit; "),
    "needed": ("options: {weight: 2}", "unit: ''", "the function needs 'weight', which is not am"),
    "goal": ("goal: minimize", "goal: minimise", "expected minimize or maximize; did you mean"),
    "no goal": ("goal: minimize", "unit: s", "the key 'goal' is missing, expected minimize or"),
    "unit": ("goal: minimize", "goal: minimize\n    unit: token/s", "mean 'tokens/s'"),
    "key": ("function:", "funtion:", "unknown key 'funtion' in .*mean 'function'"),
    "name": ("  tone_cost:", "  accuracy:", "a metric of that name already, by accuracy"),
    "metric": ("  tone_cost:", "  ttft:", "a metric of that name already, by latency; choose"),
    "letters": ("  tone_cost:", "  tone-cost:", "found 'tone-cost', expected a name of letters"),
    "mapping": ("{weight: 2}", "{weight: {a: 1}}", "weight: found a mapping, expected text, a num"),
    "folder": ("costing.py:tone_cost", "./:tone_cost", "is a folder, expected a file of Python"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistake_is_told_with_its_line(path: Path, case: str) -> None:
    old, new, message = MISTAKES[case]
    assert old in ENTRY
    with pytest.raises(SpaceError, match=rf"space.yaml:\d+: metrics.*: .*{message}|{message}"):
        space_of(path, ENTRY.replace(old, new, 1))


def test_mistake_in_the_function_is_not_also_one_of_who_asks_for_it(path: Path) -> None:
    with pytest.raises(SpaceError) as caught:
        space_of(path, ENTRY.replace("py:tone_cost", "py:tone_costs"))
    assert len(caught.value.problems) == 1


def test_file_that_is_no_python_is_told_with_its_own_line(path: Path) -> None:
    (path.parent / "costing.py").write_text("x = 1\ndef tone_cost(model, rows\n")
    with pytest.raises(SpaceError, match=r"metrics.tone_cost.function: .*costing.py:2: not Python"):
        space_of(path)


def test_nothing_of_the_file_is_run(path: Path) -> None:
    (path.parent / "costing.py").write_text(f"raise SystemExit(3)\n{METRICS}")
    assert space_of(path).functions


VALIDATOR = Draft202012Validator(space_schema(VOCABULARY))
SEEN_BY_THE_SCHEMA = {"unparted", "goal", "no goal", "unit", "key", "name", "metric", "mapping"}


def _plain(text: str) -> object:
    found: object = yaml.safe_load(text.replace("1e-4", "0.0001"))  # which PyYAML takes for text
    return found


def schema_errors(text: str) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(_plain(text))]


def test_schema_takes_a_function_and_what_asks_for_it() -> None:
    assert schema_errors(text_of()) == []
    unknown = SPACE.replace(GOALS, ASKED)
    assert schema_errors(unknown), "no metric of that name without the function"


@pytest.mark.parametrize("case", sorted(SEEN_BY_THE_SCHEMA - {"metric"}))
def test_schema_sees_what_the_entry_itself_shows(case: str) -> None:
    old, new, _ = MISTAKES[case]
    assert schema_errors(text_of(ENTRY.replace(old, new, 1)))
