"""Tasks of lm-evaluation-harness from local files, on tiny models."""

from __future__ import annotations

import json
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from evaluators import evaluator_specs
from evaluators.base import Artifact, Json, Measurement, MeasurementError
from evaluators.lm_eval import LmEval

needs_harness = pytest.mark.skipif(find_spec("lm_eval") is None, reason="lm_eval is not installed")

ROWS = [
    {"question": f"What is {a} plus {a}?", "choices": [f"{a + 1}", f"{2 * a}", "99"], "gold": 1}
    for a in range(2, 14)
]

DATA = """
dataset_path: json
dataset_kwargs: {data_files: {test: sums.jsonl, train: examples.jsonl}}
test_split: test
"""

CHOICE = f"""
task: tiny_choice
{DATA}
fewshot_split: train
output_type: multiple_choice
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_target: gold
doc_to_choice: choices
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
"""

TEXT = f"""
task: tiny_text
{DATA}
output_type: generate_until
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_target: "{{{{choices[gold]}}}}"
generation_kwargs: {{until: ["\\n"], max_gen_toks: 3, do_sample: false}}
metric_list:
  - {{metric: exact_match, aggregation: mean, higher_is_better: true}}
"""

ROLLING = f"""
task: tiny_rolling
{DATA}
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{question}}}}"
metric_list: [{{metric: word_perplexity}}, {{metric: bits_per_byte}}]
"""

GROUP = """
group: tiny_both
task: [tiny_choice, tiny_text]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with task files and their data, far from the current directory."""
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    lines = [json.dumps(row) + "\n" for row in ROWS]
    (tasks / "sums.jsonl").write_text("".join(lines[:10]), encoding="utf-8")
    (tasks / "examples.jsonl").write_text("".join(lines[10:]), encoding="utf-8")
    for name, text in {"a": CHOICE, "b": TEXT, "c": ROLLING, "d": GROUP}.items():
        (tasks / f"{name}.yaml").write_text(text, encoding="utf-8")
    return tasks


@pytest.fixture
def silent_network(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The addresses that were asked for, by name or by number; nothing is reached."""
    asked: list[Any] = []

    def note(*arguments: Any, **_: Any) -> Any:
        asked.append(arguments)
        raise OSError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", note)
    monkeypatch.setattr(socket.socket, "connect", note)
    return asked


def options(folder: Path | None, *tasks: str, **changes: Any) -> dict[str, Any]:
    defaults = {p.name: p.default for p in evaluator_specs()["lm_eval"].parameters}
    where = None if folder is None else str(folder)
    return defaults | {"tasks": tasks, "task_folder": where} | changes


def measured(model: Path, asked: dict[str, Any], format_: str = "hf") -> Measurement:
    return LmEval().measure(Artifact(format_, model), asked, None, "dev")


@needs_harness
def test_choices_are_judged_as_by_hand(
    tiny_llama: Path, folder: Path, silent_network: list[Any]
) -> None:
    from evaluators.runtimes.lm_eval_model import Requests
    from evaluators.runtimes.models import open_language_model

    found = measured(tiny_llama, options(folder, "tiny_choice"))
    assert silent_network == []
    requests = Requests(open_language_model(Artifact("hf", tiny_llama)))
    expected = []
    for row in ROWS[:10]:
        prompt = f"Question: {row['question']}\nAnswer:"
        values = requests.continuations([(prompt, f" {choice}") for choice in row["choices"]])
        expected.append(float(values.index(max(values)) == row["gold"]))
    assert [item["value"] for item in found.items] == expected
    assert [item["item"] for item in found.items] == list(range(10))
    task = found.conditions["tasks"]["tiny_choice"]
    assert (task["metric"], task["items"], task["num_fewshot"]) == ("acc", 10, 0)
    assert task["figures"]["acc,none"] == pytest.approx(sum(expected) / 10)
    assert "acc_norm,none" in task["figures"]
    assert set(found.items[0]["figures"]) == {"acc", "acc_norm"}
    json.dumps(found.to_json())


@needs_harness
def test_runtimes_agree_and_groups_count_as_their_tasks(
    tiny_phi3: Path, tiny_genai: Path, folder: Path
) -> None:
    asked = options(folder, "tiny_both", "tiny_text", limit=4)
    torch_, genai = measured(tiny_phi3, asked), measured(tiny_genai, asked, "genai")
    values = [[(i["task"], i["item"], i["value"]) for i in m.items] for m in (torch_, genai)]
    assert values[0] == values[1]
    assert [task for task, _, _ in values[0]] == ["tiny_choice"] * 4 + ["tiny_text"] * 4
    texts = [i for i in torch_.items if i["task"] == "tiny_text"]
    assert all("\n" not in i["answers"][0] for i in texts)
    assert [i["target"] for i in texts] == [row["choices"][1] for row in ROWS[:4]]


@needs_harness
def test_a_model_that_writes_the_answer_is_right(
    tiny_llama: Path, folder: Path, tmp_path: Path
) -> None:
    """The task's answers are replaced by what the model says, for half of the rows."""
    said = [item["answers"][0] for item in measured(tiny_llama, options(folder, "tiny_text")).items]
    rows = [
        {**row, "choices": ["", said[i] if i % 2 else "no such thing", ""]}
        for i, row in enumerate(ROWS[:10])
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "sums.jsonl").write_text(lines, encoding="utf-8")
    found = measured(tiny_llama, options(folder, "tiny_text"))
    assert [item["value"] for item in found.items] == [0, 1] * 5
    estimate = LmEval().summarise([found], {}, "lm_eval", None)
    assert (estimate.value, estimate.samples) == (0.5, 10)
    assert estimate.low < 0.3 < 0.7 < estimate.high


@needs_harness
def test_examples_come_before_the_question(tiny_llama: Path, folder: Path) -> None:
    found = measured(tiny_llama, options(folder, "tiny_choice", limit=2, num_fewshot=1))
    assert found.conditions["tasks"]["tiny_choice"]["num_fewshot"] == 1
    assert found.items[0]["prompt"].count("Question:") == 2
    again = measured(tiny_llama, options(folder, "tiny_choice", limit=2, num_fewshot=1))
    assert [i["prompt"] for i in again.items] == [i["prompt"] for i in found.items]


@needs_harness
def test_what_cannot_be_run_is_said_without_asking_the_network(
    tiny_llama: Path, folder: Path, silent_network: list[Any]
) -> None:
    for name, where in (
        ("hub", "dataset_path: nobody/such-a-data-set"),
        (
            "web",
            "dataset_path: json\ndataset_kwargs: {data_files: {test: 'https://example.org/x'}}",
        ),
    ):
        text = CHOICE.replace("tiny_choice", name).replace(DATA, f"\n{where}\ntest_split: test\n")
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(MeasurementError, match="on this machine"):
            measured(tiny_llama, options(folder, name))
    assert silent_network == []
    (folder / "sums.jsonl").unlink()
    with pytest.raises(MeasurementError, match=r"'tiny_choice' cannot be loaded.*sums\.jsonl"):
        measured(tiny_llama, options(folder, "tiny_choice"))


@needs_harness
def test_a_task_without_a_share_per_item_is_refused(tiny_llama: Path, folder: Path) -> None:
    with pytest.raises(MeasurementError, match="has word_perplexity and bits_per_byte, none of"):
        measured(tiny_llama, options(folder, "tiny_rolling"))


@needs_harness
def test_an_unknown_task_is_met_with_the_nearest_name(tiny_llama: Path, folder: Path) -> None:
    with pytest.raises(MeasurementError, match=r"no task 'tiny_choise'.*tiny_choice"):
        measured(tiny_llama, options(folder, "tiny_choise"))


@needs_harness
def test_a_model_that_writes_nothing_is_dead(tiny_llama: Path, folder: Path) -> None:
    said = measured(tiny_llama, options(folder, "tiny_text", limit=1)).items[0]["answers"][0]
    text = TEXT.replace('until: ["\\n"]', f"until: [{json.dumps(said[0])}]")
    (folder / "b.yaml").write_text(text, encoding="utf-8")
    found = measured(tiny_llama, options(folder, "tiny_text", limit=1))
    assert found.faults == ["generates nothing for all of 1 prompts"]


def test_tasks_have_to_be_named(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="no task is named"):
        measured(tiny_llama, options(None))
    file = tmp_path / "task.yaml"
    file.touch()
    with pytest.raises(MeasurementError, match="is a file, expected a folder"):
        measured(tiny_llama, options(file, "x"))


def items(*tasks: list[float]) -> list[Measurement]:
    found: list[Json] = [
        {"task": str(number), "value": value} for number, task in enumerate(tasks) for value in task
    ]
    return [Measurement(items=found)]


def test_tasks_count_alike_whatever_their_size() -> None:
    found = LmEval().summarise(items([1.0] * 90 + [0.0] * 10, [0.0] * 10), {}, "lm_eval", None)
    assert found.value == pytest.approx(0.45)
    assert found.samples == 110
    assert found.low < 0.45 < found.high


def test_relative_limits_are_judged_on_pairs_task_by_task() -> None:
    before = items([0.0, 1.0] * 40, [0.2] * 40)
    now = items([0.0, 1.0] * 40, [0.6] * 40)
    found = LmEval().paired(now, before, "lm_eval", 1.0)
    assert found is not None
    assert found.value == pytest.approx(0.2)
    assert found.low > 0
    assert LmEval().paired(items([0.0]), before, "lm_eval", 1.0) is None
