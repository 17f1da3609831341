"""Evaluators become metrics, objectives by rank, and constraints with the goals' exact values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from olive_configs import of_2024, of_today, rows_config, told, with_data, written

from search_spaces.expressions import parse_constraint, parse_objective
from tuner.olive import metrics
from tuner.olive.draft import Draft, Kind
from tuner.registry import vocabulary


def metric(type_: str, *subs: Any, **more: Any) -> dict[str, Any]:
    return {"name": type_, "type": type_, "sub_types": list(subs), **more}


def sub(name: str, priority: int = -1, goal: tuple[str, float] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "priority": priority}
    return found if goal is None else {**found, "goal": {"type": goal[0], "value": goal[1]}}


def measured(folder: Path, *found: Any, rows: bool = True, **evaluator: Any) -> Draft:
    """The draft of a classifier's config with this evaluator."""
    load = {"data_name": "glue", "subset": "sst2", "split": "train"}
    passes = {"q": {"type": "OnnxStaticQuantization", "data_config": "rows"}}
    config = of_today(
        passes,
        model="org/bert-base",
        task="text-classification",
        data_configs=[rows_config(load, {"input_cols": ["sentence"]})] if rows else [],
        evaluators={"e": {"metrics": list(found), **evaluator}},
        evaluator="e",
    )
    if not rows:
        config["passes"] = {"c": {"type": "ModelBuilder"}}
        config["input_model"] = {"type": "HfModel", "model_path": "org/Qwen2.5-0.5B"}
    draft = with_data(written(folder, config))
    metrics.describe(draft)
    return draft


def test_ranked_metrics_are_objectives_in_the_order_of_their_ranks(tmp_path: Path) -> None:
    draft = measured(
        tmp_path,
        metric("latency", sub("avg", 2), sub("max"), sub("min")),
        metric("accuracy", sub("accuracy_score", 1)),
        metric("size_on_disk", sub("bytes", 3)),
    )
    assert draft.objectives == ["maximize accuracy", "minimize latency.mean", "minimize size"]
    assert draft.metrics == {"latency": {}, "accuracy": {}, "size": {}}


@pytest.mark.parametrize(
    ("type_", "name", "goal", "constraint"),
    [
        ("latency", "avg", ("threshold", 50), "latency.mean<=50ms"),
        ("latency", "p50", ("percent-min-improvement", 20), "latency<=0.8*baseline"),
        ("latency", "p90", ("percent-max-degradation", 5), "latency.p90<=1.05*baseline"),
        ("latency", "avg", ("max-degradation", 2.5), "latency.mean<=baseline+2.5ms"),
        ("latency", "avg", ("min-improvement", 5), "latency.mean<=baseline-5ms"),
        ("accuracy", "accuracy_score", ("threshold", 0.9), "accuracy>=0.9"),
        ("accuracy", "accuracy_score", ("max-degradation", 0.01), "accuracy>=baseline-1%"),
        ("accuracy", "f1_score", ("max-degradation", 0), "f1>=baseline"),
        ("accuracy", "accuracy_score", ("min-improvement", 0.02), "accuracy>=baseline+2%"),
        ("accuracy", "accuracy_score", ("percent-max-degradation", 2), "accuracy>=0.98*baseline"),
        ("throughput", "avg", ("threshold", 8), "items_throughput.mean>=8items/s"),
        ("size_on_disk", "bytes", ("threshold", 1000), "size<=1000B"),
    ],
)
def test_goals_are_constraints_with_their_values(
    tmp_path: Path, type_: str, name: str, goal: tuple[str, float], constraint: str
) -> None:
    draft = measured(tmp_path, metric(type_, sub(name, 1, goal)))
    assert draft.constraints == [constraint]
    parse_constraint(constraint, vocabulary())


@pytest.mark.parametrize("goal", [("percent-min-improvement", 100), ("threshold", 0)])
def test_a_goal_that_nothing_can_meet_is_named(tmp_path: Path, goal: tuple[str, float]) -> None:
    draft = measured(tmp_path, metric("latency", sub("avg", 1, goal)))
    assert draft.constraints == []
    assert any("goal" in reason for reason in told(draft, Kind.OMITTED).values())


def test_a_goal_without_a_rank_is_none_as_in_olive(tmp_path: Path) -> None:
    draft = measured(tmp_path, metric("latency", sub("avg", -1, ("threshold", 5))))
    assert draft.constraints == []
    assert any("ranked" in reason for reason in told(draft, Kind.ASIDE).values())


def test_a_ranked_statistic_that_is_not_here_is_named_with_the_nearest(tmp_path: Path) -> None:
    draft = measured(tmp_path, metric("latency", sub("p999", 1)))
    [reason] = told(draft, Kind.OMITTED).values()
    assert "p999" in reason
    assert "p99" in reason


def test_p99_is_measured_with_as_many_requests_as_it_takes(tmp_path: Path) -> None:
    draft = measured(tmp_path, metric("latency", sub("p99", 1)))
    assert draft.metrics["latency"] == {"requests": 25}


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"average": "macro"}, "macro_f1"),
        ({"task": "multiclass", "num_classes": 3}, "accuracy"),
        ({"compute_params": {"average": "micro"}}, "accuracy"),
        ({}, "f1"),
    ],
)
def test_the_f1_is_the_one_that_is_averaged_alike(tmp_path: Path, config: Any, name: str) -> None:
    told_f1 = sub("f1_score", 1) | {"metric_config": config}
    draft = measured(tmp_path, metric("accuracy", told_f1))
    assert draft.objectives == [f"maximize {name}"]


def test_a_function_of_the_users_is_named_and_something_is_measured(tmp_path: Path) -> None:
    own = metric("custom", {**sub("mine", 1), "higher_is_better": True})
    own["user_config"] = {"user_script": "user.py", "evaluate_func": "mine"}
    draft = measured(tmp_path, own)
    assert any("function of yours" in r for r in told(draft, Kind.OMITTED).values())
    assert draft.objectives == ["minimize latency"]


def test_accuracy_without_labelled_rows_is_named(tmp_path: Path) -> None:
    draft = measured(tmp_path, metric("accuracy", sub("accuracy_score", 1)), rows=False)
    assert any("rows with labels" in r for r in told(draft, Kind.OMITTED).values())
    assert "accuracy" not in draft.metrics


def test_tasks_of_the_harness_keep_their_names_and_their_limit(tmp_path: Path) -> None:
    config = of_today(
        evaluators={
            "e": {"type": "LMEvaluator", "tasks": ["arc_easy", "mmlu"], "limit": 4}
            | {"batch_size": 32, "apply_chat_template": True}
        },
        evaluator="e",
    )
    draft = with_data(written(tmp_path, config))
    metrics.describe(draft)
    assert draft.metrics["lm_eval"] == {"tasks": ["arc_easy", "mmlu"], "limit": 4}
    assert draft.objectives == ["maximize lm_eval"]
    assert any(w.endswith("apply_chat_template") for w in told(draft, Kind.OMITTED))
    assert any(w.endswith("batch_size") for w in told(draft, Kind.ASIDE))


def test_a_task_in_the_config_itself_is_named(tmp_path: Path) -> None:
    config = of_today(
        evaluators={"e": {"type": "LMEvaluator", "tasks": [{"task": "mine"}]}}, evaluator="e"
    )
    draft = with_data(written(tmp_path, config))
    metrics.describe(draft)
    assert "lm_eval" not in draft.metrics
    assert any("task_folder" in r for r in told(draft, Kind.OMITTED).values())


def test_a_config_that_measures_nothing_is_told_time_size_and_what_was_held_out(
    tmp_path: Path,
) -> None:
    draft = with_data(written(tmp_path, of_2024()))
    metrics.describe(draft)
    assert draft.metrics == {"latency": {}, "size": {}, "perplexity": {}}
    assert draft.objectives == ["minimize latency"]


def test_evaluators_that_nothing_asks_for_are_aside(tmp_path: Path) -> None:
    config = of_today(evaluators={"e": {"metrics": [metric("latency", sub("avg", 1))]}})
    draft = with_data(written(tmp_path, config))
    metrics.describe(draft)
    assert draft.constraints == []
    assert any("asked for" in r for r in told(draft, Kind.ASIDE).values())


def test_every_objective_is_one_that_a_space_may_have(tmp_path: Path) -> None:
    draft = measured(
        tmp_path,
        metric("latency", sub("p95", 1)),
        metric("throughput", sub("avg", 2)),
        metric("accuracy", sub("f1_score", 3)),
    )
    for objective in draft.objectives:
        assert parse_objective(objective, vocabulary()).text == objective
