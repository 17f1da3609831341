"""`tune passes` and `tune metrics`: what a space may name, for people and for programs."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path

import pytest
from cli.conftest import Desk

from evaluators import all_evaluators
from search_spaces import parse_space
from search_spaces.vocabulary import PassSpec
from tuner.passes import all_passes
from tuner.registry import vocabulary
from tuner.report.facts import (
    GROUPS,
    evaluator_facts,
    group_of,
    is_built_in,
    paragraphs,
    pass_facts,
)
from tuner.report.reference_text import evaluator_page, metric_list, pass_page

PASSES = sorted(name for name, p in all_passes().items() if is_built_in(p))
CONFIGS = {
    "causal": {"architectures": ["LlamaForCausalLM"], "model_type": "llama"},
    "encoder": {"architectures": ["BertModel"], "model_type": "bert"},
}


def leading_to(spec: PassSpec, kind: str) -> list[str]:
    """The shortest chain of passes, by their defaults, that gives what a pass takes."""
    queue: deque[tuple[str, list[str]]] = deque([("hf", [])])
    seen = {"hf"}
    while queue:
        model_format, chain = queue.popleft()
        if model_format in spec.accepts:
            return chain
        for other in vocabulary().passes.values():
            fits = model_format in other.accepts and kind in other.kinds
            if fits and other.gives is not None and other.gives not in seen:
                seen.add(other.gives)
                queue.append((other.gives, [*chain, other.name]))
    raise AssertionError(f"nothing leads to {spec.name}")


def write_space(folder: Path, name: str, kind: str) -> Path:
    """A space around the example of a pass, with a model of the kind and data beside it."""
    spec = all_passes()[name].spec
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text(json.dumps(CONFIGS[kind]))
    (folder / "tones.jsonl").write_text('{"phrase": "a", "tone": "joy"}\n')
    before = "".join(f"  - {other}\n" for other in leading_to(spec, kind))
    after = "  - merge_adapter\n" if spec.gives == "adapter" else ""
    path = folder / "space.yaml"
    path.write_text(
        "model: model\ntask: text-classification\n"
        'data: {files: tones.jsonl, template: "{phrase} {tone}", label: tone}\n'
        f"pipeline:\n{before}{pass_facts(all_passes()[name])['example']}\n{after}"
        "objectives: [minimize size]\n"
    )
    return path


KINDS = [(name, kind) for name in PASSES for kind in sorted(all_passes()[name].spec.kinds)]


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_example_of_a_pass_is_a_step_that_check_accepts(
    name: str, kind: str, tmp_path: Path
) -> None:
    path = write_space(tmp_path, name, kind)
    space = parse_space(path.read_text(), path, vocabulary()).space
    [step] = [s for s in space.pipeline if getattr(s, "id", "") == name]
    searched = {p.name for p in all_passes()[name].spec.parameters if p.search is not None}
    assert set(getattr(step, "parameters", ())) == searched


def test_passes_are_listed_in_the_order_of_a_pipeline_on_80_columns(desk: Desk) -> None:
    done = desk.tune("passes")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    positions = [lines.index(f"{group}:") for group in GROUPS if f"{group}:" in lines]
    assert positions == sorted(positions)
    assert {line.split()[0] for line in lines if line.startswith("  ")} >= {*PASSES, "toy"}
    assert any("hf, quantized" in line for line in lines)


@pytest.mark.parametrize("name", [*PASSES, "toy"])
def test_everything_about_a_pass_fits_80_columns_and_names_every_parameter(name: str) -> None:
    lines = list(pass_page(pass_facts(all_passes()[name]), 80))
    assert max(map(len, lines)) <= 80
    shown = {line.split()[0] for line in lines if line.startswith("  ")}
    assert shown >= {p.name for p in all_passes()[name].spec.parameters}
    assert "example (under pipeline:)" in lines


def test_one_pass_is_told_as_its_page_says(desk: Desk) -> None:
    done = desk.tune("passes", "lora")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == list(pass_page(pass_facts(all_passes()["lora"]), 80))


def test_a_pass_tells_where_a_parameter_applies_and_who_brings_it(desk: Desk) -> None:
    builder = " ".join(desk.tune("passes", "genai_builder").stdout.split())
    assert "only where precision is int8 or int4; the model is hf" in builder
    assert "baseline with precision: fp32" in builder
    assert "brought by toy_plugin" in " ".join(desk.tune("passes", "toy").stdout.split())


@pytest.mark.parametrize("name", PASSES)
def test_facts_of_a_pass_are_json_and_belong_to_a_group_of_formats(name: str) -> None:
    facts = pass_facts(all_passes()[name])
    assert json.loads(json.dumps(facts)) == facts
    assert facts["about"]
    assert group_of(all_passes()[name].spec) != GROUPS[-1]


def test_json_tells_the_same_of_all_and_of_one(desk: Desk) -> None:
    everything = {
        facts["name"]: facts for facts in json.loads(desk.tune("passes", "--json").stdout)
    }
    assert set(everything) == set(all_passes())
    assert json.loads(desk.tune("passes", "lora", "--json").stdout) == everything["lora"]
    rank = everything["lora"]["parameters"][0]
    assert (rank["name"], rank["type"], rank["low"], rank["search"]) == ("r", "int", 1, [4, 16, 64])


def test_metrics_are_listed_and_one_is_told_by_its_own_name(desk: Desk) -> None:
    listing = desk.tune("metrics").stdout
    assert max(map(len, listing.splitlines())) <= 80
    for evaluator in all_evaluators().values():
        assert f"\n{evaluator.spec.name}:" in f"\n{listing}"
    assert desk.tune("metrics", "ttft").stdout == desk.tune("metrics", "latency").stdout
    told = json.loads(desk.tune("metrics", "latency", "--json").stdout)
    assert [m["name"] for m in told["metrics"]] == ["latency", "ttft", "tpot"]
    assert told["metrics"][0]["better"] == "lower"


@pytest.mark.parametrize("name", sorted(all_evaluators()))
def test_everything_about_an_evaluator_fits_80_columns(name: str) -> None:
    evaluator = all_evaluators()[name]
    lines = list(evaluator_page(evaluator_facts(evaluator), 80))
    assert max(map(len, lines)) <= 80
    shown = {line.split()[0] for line in lines if line.startswith("  ")}
    assert shown >= {m.name for m in evaluator.spec.metrics}
    assert shown >= {p.name for p in evaluator.spec.parameters}
    page = " ".join(" ".join(lines).split())
    assert [text for text in paragraphs(evaluator) if text not in page] == []


def test_what_a_machine_lacks_is_told_beside_the_metric() -> None:
    facts = evaluator_facts(all_evaluators()["energy"])
    facts["metrics"][0]["lacking"] = "there is no meter"
    assert "not here: there is no meter" in " ".join(" ".join(evaluator_page(facts, 80)).split())
    assert "Not here: energy; there is no meter." in " ".join(
        " ".join(metric_list([facts], 80)).split()
    )


def test_options_of_evaluators_are_told_in_a_line_or_two() -> None:
    helps = [p.help for e in all_evaluators().values() for p in e.spec.parameters]
    assert [text for text in helps if len(text) > 120 or text.endswith(".")] == []


@pytest.mark.parametrize(
    ("arguments", "near"),
    [(("passes", "lorra"), "'lora'"), (("metrics", "latencey"), "'latency'")],
)
def test_a_misspelt_name_gets_the_nearest_and_code_2(
    arguments: tuple[str, str], near: str, desk: Desk
) -> None:
    done = desk.tune(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"did you mean {near}?" in done.stderr


def test_a_pass_that_cannot_be_loaded_is_named_without_a_traceback(desk: Desk) -> None:
    info = desk.folder / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tuner.passes]\nmine = nowhere_at_all:Mine\n")
    desk.environment["PYTHONPATH"] = str(desk.folder)
    for arguments in (["passes"], ["check", "space.yaml"]):
        done = desk.tune(*arguments)
        assert done.returncode == 2
        assert "pass 'mine' of broken (nowhere_at_all:Mine)" in done.stderr
        assert "Traceback" not in done.stderr
