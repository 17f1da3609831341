from __future__ import annotations

import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sample_space import GENAI, LORA, MERGE, SESSION, SPACE, VOCABULARY, read, write_data

from search_spaces.candidates import build, default_candidate, enumerate_candidates
from search_spaces.conditions import parse_condition
from search_spaces.constraints import Constraint, Limit, Objective, Operator
from search_spaces.data import DataSpec
from search_spaces.overrides import Overrides
from search_spaces.problems import SpaceError
from search_spaces.reader import read_space
from search_spaces.references import Reference
from search_spaces.space import (
    Choices,
    Fixed,
    Limits,
    OneOf,
    Range,
    SearchSettings,
    Space,
    Step,
)

INT4 = parse_condition("precision == 'int4'")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_data(tmp_path)


def changed(old: str, new: str, path: Path) -> Space:
    assert old in SPACE
    return read(SPACE.replace(old, new, 1), path).space


def step(space: Space, name: str) -> Step:
    found = [item for item in space.pipeline if isinstance(item, Step) and item.id == name]
    return found[0]


def test_a_whole_space_is_read_into_plain_data(path: Path) -> None:
    assert read(SPACE, path).space == Space(
        name="space",
        path=path,
        model=Reference("hub", "org/tiny", repo="org/tiny"),
        task="text-classification",
        data=DataSpec(
            files=(("all", path.parent / "tones.jsonl"),),
            template="Text: {phrase}\nTone: {tone}",
            label="tone",
        ),
        pipeline=(
            Step(
                "lora",
                LORA,
                {
                    "r": Choices((4, 16, 64)),
                    "learning_rate": Range(1e-4, 2e-3, integer=False, log=True),
                    "max_steps": Fixed(100),
                },
                optional=True,
            ),
            Step("merge_adapter", MERGE, {}),
            Step(
                "genai_builder",
                GENAI,
                {
                    "precision": Choices(("fp32", "int8", "int4")),
                    "block_size": Choices((32, 128), INT4),
                },
            ),
            Step("session", SESSION, {"threads": Choices((1, 2))}),
        ),
        evaluators={"latency": {"prompt_tokens": 32, "new_tokens": 16}, "accuracy": {}},
        objectives=(
            Objective("minimize latency", "latency", None, True),
            Objective("maximize accuracy", "accuracy", None, False),
        ),
        constraints=(
            Constraint("latency<50ms", "latency", None, Operator.LT, Limit(0.05)),
            Constraint("accuracy>=baseline-2%", "accuracy", None, Operator.GE, Limit(-0.02, 1.0)),
        ),
        search=SearchSettings("tpe", 30, None, 7),
        limits=Limits(600.0, 4 * 10**9),
    )


def test_what_a_space_leaves_out_has_its_default(path: Path) -> None:
    text = SPACE[: SPACE.index("constraints:")].replace("metrics:\n  latency: {prompt_", "x: {")
    text = "\n".join(line for line in text.splitlines() if not line.startswith("x:"))
    space = read(text, path).space
    assert space.constraints == ()
    assert space.search == SearchSettings()
    assert space.limits == Limits()
    assert space.evaluators["latency"] == {"prompt_tokens": 64, "new_tokens": 16}


def test_a_name_in_the_file_wins_over_the_files_own(path: Path) -> None:
    assert changed("model:", "name: My space 1.0\nmodel:", path).name == "My space 1.0"


def test_a_file_name_becomes_a_name_that_a_folder_can_have(tmp_path: Path) -> None:
    write_data(tmp_path)
    assert read(SPACE, tmp_path / "a (b)&c.yaml").space.name == "a _b__c"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("alpha: 16", 16.0),
        ("alpha: 1e1", 10.0),
        ("learning_rate: 1e-4", 0.0001),
        ("learning_rate: 0.5", 0.5),
        ("max_steps: null", None),
        ("max_steps: ~", None),
        ("rslora: yes", True),
        ("target_modules: [q_proj, v_proj]", ("q_proj", "v_proj")),
        ("target_modules: all-linear", "all-linear"),
        ("rslora: {value: true}", True),
    ],
)
def test_a_value_is_fixed_and_has_the_type_of_its_parameter(
    written: str, value: object, path: Path
) -> None:
    name = written.partition(":")[0]
    lines = [line for line in SPACE.splitlines() if not line.strip().startswith(f"{name}:")]
    at = next(i for i, line in enumerate(lines) if "- lora:" in line)
    lines.insert(at + 1, f"      {written}")
    domain = step(read("\n".join(lines), path).space, "lora").parameters[name]
    assert domain == Fixed(value)  # type: ignore[arg-type]
    assert type(domain.value) is type(value)


@pytest.mark.parametrize(
    ("written", "domain"),
    [
        ("{range: [1, 64]}", Range(1, 64, integer=True)),
        ("{range: [1, 64], log: true}", Range(1, 64, integer=True, log=True)),
        ("{range: [8, 64], step: 8}", Range(8, 64, integer=True, step=8)),
        ("{value: 8}", Fixed(8)),
        ("{choices: [8]}", Choices((8,))),
    ],
)
def test_a_parameter_is_searched_over_what_its_mapping_says(
    written: str, domain: object, path: Path
) -> None:
    space = changed("{choices: [4, 16, 64]}", written, path)
    assert step(space, "lora").parameters["r"] == domain


def test_choices_of_a_list_are_lists_or_texts(path: Path) -> None:
    space = changed("max_steps: 100", "target_modules: {choices: [[q, v], all-linear]}", path)
    domain = step(space, "lora").parameters["target_modules"]
    assert domain == Choices((("q", "v"), "all-linear"))


def test_a_choice_that_this_machine_lacks_is_dropped_with_a_notice(path: Path) -> None:
    provider = "execution_provider: {choices: [cpu, openvino]}"
    text = SPACE.replace("      precision:", f"      {provider}\n      precision:")
    reading = read(text, path)
    parameters = step(reading.space, "genai_builder").parameters
    assert parameters["execution_provider"] == Choices(("cpu",))
    assert reading.notices == (
        f"{path}:15: genai_builder.execution_provider: openvino is left out: "
        "onnxruntime-openvino is not installed",
    )


@pytest.mark.parametrize("written", ["openvino", "{choices: [openvino]}", "{value: openvino}"])
def test_a_value_that_this_machine_lacks_is_refused_where_nothing_is_left(
    written: str, path: Path
) -> None:
    new = f"      execution_provider: {written}\n      precision:"
    with pytest.raises(SpaceError, match=r":15: .*onnxruntime-openvino is not installed"):
        read(SPACE.replace("      precision:", new), path)


def test_a_pass_that_comes_again_gets_a_number(path: Path) -> None:
    again = "  - lora: {r: 8}\n  - merge_adapter\n  - genai_builder:"
    space = changed("  - genai_builder:", again, path)
    ids = [item.id for item in space.pipeline]
    assert ids == ["lora", "merge_adapter", "lora_2", "merge_adapter_2", "genai_builder", "session"]


def test_alternatives_are_steps_lists_of_steps_or_none(path: Path) -> None:
    text = SPACE.replace(
        "  - merge_adapter\n",
        "  - merge_adapter\n  - one_of:\n      - none\n      - lora: {r: 8}\n"
        "      - [{lora: {r: 4}}, merge_adapter]\n  - merge_adapter\n",
    )
    item = read(text, path).space.pipeline[2]
    assert isinstance(item, OneOf)
    assert item.id == "one_of"
    assert item.labels == ("none", "lora_2", "lora_3")
    assert [[s.id for s in steps] for steps in item.alternatives] == [
        [],
        ["lora_2"],
        ["lora_3", "merge_adapter_2"],
    ]


def test_optional_alternatives_end_with_none(path: Path) -> None:
    one_of = (
        "  - merge_adapter\n  - {one_of: [{lora: {r: 8}}], optional: true}\n  - merge_adapter\n"
    )
    item = changed("  - merge_adapter\n", one_of, path).pipeline[2]
    assert isinstance(item, OneOf)
    assert item.labels == ("lora_2", "none")


def test_a_step_may_ask_about_earlier_steps_and_alternatives(path: Path) -> None:
    new = (
        "  - merge_adapter\n  - one_of: [none, [{lora: {r: 8}}, merge_adapter]]\n"
        "  - {lora: {r: 4}, when: \"lora and lora.r > 4 and one_of != 'none'\"}\n"
        "  - merge_adapter\n"
    )
    space = changed("  - merge_adapter\n", new, path)
    candidate = build(space, lambda d: "lora_2" if d.name == "one_of" else d.default)
    assert [s.id for s in candidate.steps][-4:] == [
        "lora_3",
        "merge_adapter_3",
        "genai_builder",
        "session",
    ]


def test_a_condition_keeps_steps_together_that_belong_together(path: Path) -> None:
    space = changed("- merge_adapter", "- {merge_adapter: null, when: lora}", path)
    assert step(space, "merge_adapter").when == parse_condition("lora")


def test_candidates_are_built_out_of_a_space_that_was_read(path: Path) -> None:
    space = changed("{range: [1e-4, 2.0e-3], log: true}", "1e-3", path)
    assert len(list(enumerate_candidates(space))) == (3 + 1) * (1 + 1 + 2) * 2
    assert default_candidate(space).decisions["lora.r"] == 16


def test_anchors_and_merges_repeat_what_they_name(path: Path) -> None:
    text = SPACE.replace("max_steps: 100", "<<: {max_steps: 100, rslora: true}").replace(
        "[minimize latency, maximize accuracy]", "[&l minimize latency]\nname: x"
    )
    lora = step(read(text, path).space, "lora")
    assert lora.parameters["rslora"] == Fixed(True)
    both = "  - lora: &lora {r: 8}\n  - merge_adapter\n  - lora: *lora\n  - merge_adapter\n"
    space = read(SPACE.replace("  - merge_adapter\n", "  - merge_adapter\n" + both), path).space
    assert step(space, "lora_3").parameters == {"r": Fixed(8)}


def test_one_objective_and_one_constraint_need_no_list(path: Path) -> None:
    text = SPACE.replace("[minimize latency, maximize accuracy]", "minimize tpot.p95")
    text = text[: text.index("constraints:")] + "constraints: size<1GB\n"
    space = read(text, path).space
    assert space.objectives == (Objective("minimize tpot.p95", "tpot", "p95", True),)
    assert set(space.evaluators) == {"latency", "size"}


def test_a_tolerance_is_in_the_metrics_unit(path: Path) -> None:
    space = changed("- latency<50ms", "- {constraint: latency < 50 ms, tolerance: 5 ms}", path)
    assert space.constraints[0].tolerance == 0.005
    assert space.constraints[0].text == "latency<50ms"


def test_data_files_of_their_own_leave_nothing_to_split(path: Path) -> None:
    for name in ("train.csv", "dev.csv"):
        (path.parent / name).touch()
    data = changed("files: tones.jsonl", "files: {train: train.csv, dev: dev.csv}", path).data
    assert data is not None
    assert data.files == (
        ("train", path.parent / "train.csv"),
        ("dev", path.parent / "dev.csv"),
    )
    assert data.split == ()


def test_a_share_keeps_the_default_of_the_other(path: Path) -> None:
    data = changed("label: tone", "label: tone\n  split: {dev: 0.1}\n  seed: 3", path).data
    assert data is not None
    assert data.split == (("dev", 0.1), ("test", 0.2))
    assert data.seed == 3


def test_a_data_file_may_lie_in_the_current_directory(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = path.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(path.parent)
    data = read(SPACE, elsewhere / "space.yaml").space.data
    assert data is not None
    assert data.files == (("all", path.parent / "tones.jsonl"),)


def test_generation_needs_no_data(path: Path) -> None:
    text = (
        "model: a/b\ntask: text-generation\npipeline: [genai_builder]\nobjectives: minimize tpot\n"
    )
    space = read(text, path).space
    assert space.data is None
    assert space.evaluators == {"latency": {"prompt_tokens": 64, "new_tokens": 16}}


def test_the_labels_of_generation_are_answers_in_words_of_their_own(path: Path) -> None:
    classes = read(SPACE, path).space.data
    answers = read(SPACE.replace("text-classification", "text-generation"), path).space.data
    assert classes is not None
    assert answers == replace(classes, answers=True)


def test_what_goes_out_must_be_measurable(path: Path) -> None:
    text = (
        "model: a/b\ntask: text-generation\npipeline: [merge_adapter]\nobjectives: minimize tpot\n"
    )
    expected = r":4: latency measures genai, not hf.*genai_builder at the end would give what fits"
    with pytest.raises(SpaceError, match=expected):
        read(text, path)


def test_grid_takes_ranges_that_are_not_continuous(path: Path) -> None:
    text = SPACE.replace(
        "{range: [1e-4, 2.0e-3], log: true}", "{range: [0.001, 0.01], step: 0.001}"
    )
    assert read(text.replace("tpe", "grid"), path).space.search.strategy == "grid"


# What the command line changes


def test_the_command_line_adds_and_replaces(path: Path) -> None:
    overrides = Overrides(
        constraints=("latency<40ms",),
        bounds=(("max", "size=1GB"), ("min", "accuracy=0.9")),
        objectives=("minimize size",),
        strategy="random",
        trials="5",
        max_time="8m",
        seed=3,
    )
    space = read(SPACE, path, overrides).space
    assert [c.text for c in space.constraints] == [
        "latency<50ms",
        "accuracy>=baseline-2%",
        "latency<40ms",
        "size<=1GB",
        "accuracy>=0.9",
    ]
    assert [o.text for o in space.objectives] == ["minimize size"]
    assert space.search == SearchSettings("random", 5, 480.0, 3)
    assert set(space.evaluators) == {"latency", "accuracy", "size"}


def test_a_model_of_the_command_line_saves_looking_for_the_files(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path.parent / "here" / "tiny").mkdir(parents=True)
    monkeypatch.chdir(path.parent / "here")
    text = SPACE.replace("org/tiny", "./nowhere")
    model = read(text, path, Overrides(model="tiny")).space.model
    assert model == Reference("path", "tiny", path=path.parent / "here" / "tiny")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("search.trials=3", lambda s: s.search.trials == 3),
        ("limits.time=30s", lambda s: s.limits.time == 30.0),
        ("metrics.latency.new_tokens=4", lambda s: s.evaluators["latency"]["new_tokens"] == 4),
        ("metrics.size={}", lambda s: "size" in s.evaluators),
        ("pipeline.lora.r=8", lambda s: step(s, "lora").parameters["r"] == Fixed(8)),
        (
            "pipeline.lora.r={choices: [2, 8]}",
            lambda s: step(s, "lora").parameters["r"] == Choices((2, 8)),
        ),
        (
            "pipeline.lora.r.choices=[2]",
            lambda s: step(s, "lora").parameters["r"] == Choices((2,)),
        ),
        ("pipeline.lora.alpha=1e1", lambda s: step(s, "lora").parameters["alpha"] == Fixed(10.0)),
        ("pipeline.lora.optional=false", lambda s: not step(s, "lora").optional),
        ("data.seed=9", lambda s: s.data.seed == 9),
        ("data.template=### {x}: {tone}", lambda s: s.data.template == "### {x}: {tone}"),
        ("name=other", lambda s: s.name == "other"),
    ],
)
def test_a_setting_changes_what_its_path_names(setting: str, expected: object, path: Path) -> None:
    space = read(SPACE, path, Overrides(settings=(setting,))).space
    assert callable(expected)
    assert expected(space), space


def test_a_setting_reaches_a_pass_without_parameters_and_one_among_alternatives(
    path: Path,
) -> None:
    text = SPACE.replace(
        "  - merge_adapter\n",
        "  - merge_adapter\n  - one_of: [none, [lora, merge_adapter]]\n",
    )
    space = read(text, path, Overrides(settings=("pipeline.lora_2.r=2",))).space
    item = space.pipeline[2]
    assert isinstance(item, OneOf)
    assert item.alternatives[1][0].parameters == {"r": Fixed(2)}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (Overrides(constraints=("latency<50",)), "--constraint 'latency<50': .*latency<50ms?"),
        (Overrides(constraints=("latency>60ms",)), "--constraint .*contradicts latency<50ms"),
        (Overrides(bounds=(("max", "latency"),)), "--max 'latency': .*expected METRIC=LIMIT"),
        (Overrides(bounds=(("min", "acuracy=0.9"),)), "--min .*did you mean 'accuracy'"),
        (Overrides(objectives=("minimize",)), "--objective 'minimize': .*expected minimize"),
        (Overrides(trials="0"), "--trials 0: search.trials: .*at least 1"),
        (Overrides(trials="many"), "--trials many: .*the text 'many'"),
        (Overrides(max_time="soon"), "--max-time soon: .*not a duration"),
        (Overrides(seed="x"), "--seed x: .*whole number"),
        (Overrides(strategy="gird"), "--strategy gird: .*did you mean 'grid'"),
        (Overrides(model="./no"), "--model './no': model: there is no folder"),
        (Overrides(settings=("trials",)), "--set 'trials': expected KEY.PATH=VALUE"),
        (Overrides(settings=("serch.trials=3",)), "--set .*did you mean 'search'"),
        (Overrides(settings=("search.trial=3",)), "--set .*did you mean 'trials'"),
        (Overrides(settings=("search.trials=[",)), "--set 'search.trials=.': not YAML"),
        (Overrides(settings=("task.x=3",)), "--set .*task is the text"),
        (Overrides(settings=("pipeline.lroa.r=3",)), "--set .*did you mean 'lora'"),
        (Overrides(settings=("pipeline.lora.rr=3",)), "--set .*unknown key 'rr' in lora"),
        (Overrides(settings=("pipeline.lora.r=0",)), "--set 'pipeline.lora.r=0': .*from 1"),
        (Overrides(settings=("metrics.latncy.new_tokens=3",)), "--set .*did you mean 'latency'"),
    ],
)
def test_what_is_wrong_with_an_option_is_told_under_its_name(
    overrides: Overrides, expected: str, path: Path
) -> None:
    with pytest.raises(SpaceError) as caught:
        read(SPACE, path, overrides)
    told = [str(problem) for problem in caught.value.problems]
    assert any(re.match(expected, text) for text in told), told


def test_the_same_constraint_twice_counts_once(path: Path) -> None:
    overrides = Overrides(constraints=("latency < 0.05 s",))
    assert len(read(SPACE, path, overrides).space.constraints) == 2


# Cost


def test_reading_takes_far_less_than_a_blink(path: Path) -> None:
    path.write_text(SPACE)
    read_space(path, VOCABULARY)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        read_space(path, VOCABULARY)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.06


def test_reading_imports_no_heavy_library() -> None:
    code = (
        "import sys, search_spaces; search_spaces.read_space; search_spaces.find_space; "
        "heavy = {'torch', 'optuna', 'numpy', 'pandas', 'transformers', 'sqlalchemy'}; "
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "")
