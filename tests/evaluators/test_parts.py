"""A large split that is measured in parts: what the parts are, and what they say together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
import tiny_models

from evaluators import all_evaluators
from evaluators.accuracy import Accuracy
from evaluators.base import Artifact, Interval, Json, Measurement
from evaluators.measure import measure_job
from evaluators.parts import SplitPart, parts_of
from search_spaces.data import DataSpec
from search_spaces.vocabulary import Value

METRICS = ("accuracy", "f1", "macro_f1")
ROWS = 448
LABELS = sorted(tiny_models.PHRASES)


def options(**given: Value) -> dict[str, Value]:
    """The evaluator's options, with their defaults."""
    return {p.name: p.default for p in Accuracy.spec.parameters} | {"floor": "none"} | given


@pytest.fixture(scope="module")
def data(tone_rows: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> DataSpec:
    """448 rows, sorted by label: enough for two parts."""
    rows = [row | {"phrase": f"{n}. {row['phrase']}"} for n in range(7) for row in tone_rows]
    rows.sort(key=lambda row: row["tone"])
    path = tmp_path_factory.mktemp("many") / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return DataSpec((("dev", path),), "{phrase}\n{tone}", "tone", split=())


def job(model: Path, data: DataSpec, **more: object) -> Measurement:
    """What a job measures of a classifier."""
    payload: Json = {
        "evaluator": "accuracy",
        "model": Artifact("onnx", model).to_json(),
        "options": options(),
        "data": data.to_json(),
        "split": "dev",
    }
    return Measurement.from_json(json.loads(json.dumps(measure_job(payload | more))))


@pytest.fixture(scope="module")
def whole(tiny_onnx: Path, data: DataSpec) -> Measurement:
    return job(tiny_onnx, data)


@pytest.fixture(scope="module")
def parts(tiny_onnx: Path, data: DataSpec) -> list[Measurement]:
    return [job(tiny_onnx, data, parts=2, process=process) for process in (0, 1)]


@pytest.mark.parametrize(
    ("items", "expected"), [(0, 1), (399, 1), (400, 2), (600, 3), (800, 4), (100_000, 4)]
)
def test_a_small_split_is_measured_as_a_whole(items: int, expected: int) -> None:
    assert parts_of(Accuracy(), options(), items) == expected


def test_no_more_items_count_than_are_scored() -> None:
    assert parts_of(Accuracy(), options(max_items=450), 10_000) == 2
    assert parts_of(Accuracy(), options(max_items=10_000), 450) == 2


def test_what_does_not_measure_in_parts_measures_the_whole() -> None:
    assert parts_of(all_evaluators()["perplexity"], {}, 10_000) == 1


@pytest.mark.parametrize("of", [1, 2, 3, 4])
def test_parts_have_all_items_once_and_every_label_in_the_same_share(of: int) -> None:
    labels = ["a"] * 7 + ["b"] * 401 + ["a", "c", "b"] * 30
    found = [SplitPart(number, of).choose(labels) for number in range(of)]
    assert sorted(i for part in found for i in part) == list(range(len(labels)))
    assert all(part == sorted(part) for part in found)
    for counts in ([len(part) for part in found], *_by_label(labels, found)):
        assert max(counts) - min(counts) <= 1


def _by_label(labels: Sequence[str], found: Sequence[Sequence[int]]) -> list[list[int]]:
    counts = [Counter(labels[i] for i in part) for part in found]
    return [[count[label] for count in counts] for label in "abc"]


def test_processes_in_a_row_measure_all_parts() -> None:
    found = {SplitPart.of_process(process, 3) for process in range(1000, 1003)}
    assert found == {SplitPart(number, 3) for number in range(3)}


def test_all_parts_together_have_the_items_of_the_whole(
    whole: Measurement, parts: list[Measurement]
) -> None:
    assert [len(part.items) for part in parts] == [ROWS // 2] * 2
    texts = [json.dumps(item) for part in parts for item in part.items]
    assert Counter(texts) == Counter(json.dumps(item) for item in whole.items)


def test_what_a_process_measures_of_parts_says_which(
    whole: Measurement, parts: list[Measurement]
) -> None:
    assert "part" not in whole.conditions
    assert [part.conditions["part"] for part in parts] == [
        {"number": 0, "of": 2},
        {"number": 1, "of": 2},
    ]
    assert parts[0].conditions["floors"] == whole.conditions["floors"]
    assert "floors" not in parts[1].conditions


@pytest.mark.parametrize("metric", METRICS)
def test_estimates_of_all_parts_are_those_of_the_whole(
    metric: str, whole: Measurement, parts: list[Measurement]
) -> None:
    one, all_ = (Accuracy().summarise(m, options(), metric, None) for m in ([whole], parts))
    assert (all_.value, all_.low, all_.high) == pytest.approx((one.value, one.low, one.high))
    assert all_.samples == one.samples == ROWS
    first = Accuracy().summarise(parts[:1], options(), metric, None)
    assert first.samples == ROWS // 2
    assert first.high - first.low > 1.2 * (one.high - one.low)


@pytest.fixture(scope="module")
def baseline(whole: Measurement, parts: list[Measurement]) -> list[list[Measurement]]:
    """Another model, which is wrong for joy: measured as a whole, and in parts."""
    return [[_spoiled(whole)], [_spoiled(part) for part in parts]]


def _spoiled(found: Measurement) -> Measurement:
    items = [
        item | {"predicted": "fear"} if item["label"] == "joy" else item for item in found.items
    ]
    return Measurement(items=items, conditions=found.conditions)


@pytest.mark.parametrize("metric", METRICS)
def test_pairs_of_all_parts_are_those_of_the_whole(
    metric: str,
    whole: Measurement,
    parts: list[Measurement],
    baseline: list[list[Measurement]],
) -> None:
    one = Accuracy().paired([whole], baseline[0], metric, 1.0)
    both = Accuracy().paired(parts, baseline[1], metric, 1.0)
    assert one is not None
    assert both is not None
    assert _ends(both) == pytest.approx(_ends(one))


def _ends(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high


def test_a_first_part_is_paired_with_the_same_part_of_the_baseline(
    parts: list[Measurement], baseline: list[list[Measurement]]
) -> None:
    found = [
        Accuracy().paired(parts[1:], others, "accuracy", 1.0)
        for others in (baseline[1], baseline[1][1:], list(reversed(baseline[1])))
    ]
    assert found[0] is not None
    assert found[0] == found[1] == found[2]


def test_a_part_and_a_whole_are_no_pairs(
    whole: Measurement, parts: list[Measurement], baseline: list[list[Measurement]]
) -> None:
    assert Accuracy().paired(parts, baseline[0], "accuracy", 1.0) is None
    assert Accuracy().paired([whole], baseline[1][:1], "accuracy", 1.0) is None
    assert Accuracy().paired(parts[:1], baseline[1][1:], "accuracy", 1.0) is None


def test_a_model_is_dead_by_all_parts_or_not_at_all(parts: list[Measurement]) -> None:
    same = [_answering(part, "joy") for part in parts]
    assert [list(part.faults) for part in same] == [[], []]
    assert Accuracy().faults(same[:1]) == []
    assert Accuracy().faults(same) == [f"answers 'joy' for all of {ROWS} items"]
    assert Accuracy().faults(parts) == []


@pytest.mark.parametrize("floor", ["majority", "none"])
def test_the_floor_is_that_of_all_parts(tiny_onnx: Path, data: DataSpec, floor: str) -> None:
    asked = options(floor=floor)
    found = [job(tiny_onnx, data, options=asked, parts=2, process=n) for n in (0, 1)]
    turned = dict(zip(LABELS, LABELS[1:] + LABELS[:1], strict=True))
    wrong = [
        Measurement(
            items=[item | {"predicted": turned[item["label"]]} for item in part.items],
            conditions=part.conditions,
        )
        for part in found
    ]
    words = "right for 0.0 % of 448 items, no better than always answering 'fear' (25.0 %)"
    assert Accuracy().faults(wrong) == ([words] if floor == "majority" else [])


def _answering(found: Measurement, label: str) -> Measurement:
    items = [item | {"predicted": label} for item in found.items]
    return Measurement(items=items, conditions=found.conditions)


def test_one_process_of_a_split_in_one_part_measures_the_whole(
    tiny_onnx: Path, data: DataSpec, whole: Measurement
) -> None:
    assert job(tiny_onnx, data, parts=1, process=0) == whole
