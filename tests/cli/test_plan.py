"""`tune check` and `tune plan`: what is said of a space before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli.conftest import Desk

TIMED = """
model: model
task: text-generation
pipeline:
  - genai_builder: {precision: {choices: [int8, int4]}}
metrics:
  latency: {processes: 3, blocks: 4, requests: REQUESTS}
  generation: {max_new_tokens: 4}
data: {files: rows.jsonl, template: "{question} {answer}", label: answer}
objectives: [minimize latency.p95, maximize exact_match, minimize load_time]
constraints: ["latency.p95<50ms", "size<300MB", "memory<2GB", "divergence<0.5"]
search: {strategy: grid}
"""


@pytest.fixture
def desk(tiny_llama: Path, tmp_path: Path) -> Desk:
    (tmp_path / "model").symlink_to(tiny_llama)
    rows = (f'{{"question": "what is {n}?", "answer": "{n}"}}\n' for n in range(20))
    (tmp_path / "rows.jsonl").write_text("".join(rows))
    return Desk(tmp_path)


def plan_of(desk: Desk, requests: int, command: str = "plan") -> list[str]:
    desk.write(TIMED.replace("REQUESTS", str(requests)))
    done = desk.tune(command, "space.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_a_plan_fits_80_columns_and_parts_names_from_costs(desk: Desk) -> None:
    lines = plan_of(desk, 5)
    assert max(map(len, lines)) <= 80
    costs = [line for line in lines if line.endswith("not run yet")]
    assert [line.split("  ")[1] for line in costs] == [
        f"measure {name}"
        for name in ("latency", "generation", "load_time", "size", "memory", "divergence")
    ]
    assert len({line.index("not run yet") for line in costs}) == 1


def test_a_percentile_that_may_get_too_few_samples_is_warned_of_once(desk: Desk) -> None:
    warnings = " ".join(plan_of(desk, 4, "check")).partition("warning: ")[2]
    assert "latency.p95 needs 59 samples" in warnings
    assert "requests: 5 makes sure" in " ".join(warnings.split())
    assert warnings.count("p95") == 1


def test_a_percentile_with_samples_enough_is_not_warned_of(desk: Desk) -> None:
    assert "p95 needs" not in " ".join(plan_of(desk, 5, "check"))
