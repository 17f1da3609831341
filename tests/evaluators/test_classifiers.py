"""Encoder classifiers in every runtime: the same model through two of them says the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
from runtime_support import AGREES, agree, save_like, with_adapter

from evaluators.base import Artifact, MeasurementError
from evaluators.runtimes.models import Classifier, generates, open_classifier
from evaluators.runtimes.torch_models import TorchClassifier

TEXTS = ["Who knew?", "The last bus left with my friends, and the town went quiet.", "Sunlight"]
LABELS = sorted(tiny_models.PHRASES)


class Classifiers:
    """Encoders with a head, each in two forms that say the same."""

    def __init__(self, network: Any, bert: Path, onnx: Path, folder: Path) -> None:
        import copy

        plain = Artifact("hf", save_like(network, bert, folder / "plain"))
        adapted = with_adapter(copy.deepcopy(network), ["query", "value"], ["classifier"])
        adapted.save_pretrained(folder / "adapter")
        facts = json.dumps({"labels": LABELS})
        (folder / "adapter" / "trained_on.json").write_text(facts, encoding="utf-8")
        merged = save_like(adapted.merge_and_unload(), bert, folder / "merged")
        headless = Artifact("adapter", folder / "adapter", Artifact("hf", bert))
        self.pairs = {
            "in torch and onnx": (plain, Artifact("onnx", onnx)),
            "adapter and merged": (headless, Artifact("hf", merged)),
        }


@pytest.fixture(scope="session")
def classifiers(
    torch_classifier: Any,
    tiny_bert: Path,
    tiny_onnx: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Classifiers:
    return Classifiers(torch_classifier, tiny_bert, tiny_onnx, tmp_path_factory.mktemp("encoders"))


@pytest.fixture(scope="session", params=["in torch and onnx", "adapter and merged"])
def two(request: pytest.FixtureRequest, classifiers: Classifiers) -> tuple[Classifier, Classifier]:
    first, second = classifiers.pairs[request.param]
    assert not generates(first)
    assert not generates(second)
    return open_classifier(first), open_classifier(second)


def test_classifiers_agree(two: tuple[Classifier, Classifier]) -> None:
    rows, cut = two[0].tokenise([*TEXTS, "word " * 900])
    assert (rows, cut) == two[1].tokenise([*TEXTS, "word " * 900])
    assert cut == 1
    first, second = (classifier.logits(rows) for classifier in two)
    assert first.shape == (4, 4)
    assert first.std() > 100 * AGREES
    agree(first, second)


def test_a_text_is_classified_alike_alone_and_among_longer_ones(
    two: tuple[Classifier, Classifier],
) -> None:
    for classifier in two:
        rows, _ = classifier.tokenise(TEXTS)
        agree(classifier.logits(rows)[:1], classifier.logits(rows[:1]))


def test_classifiers_name_the_same_labels_as_probable(two: tuple[Classifier, Classifier]) -> None:
    rows, _ = two[0].tokenise(TEXTS)
    for row in rows:
        first, second = (classifier.log_probabilities(row) for classifier in two)
        assert list(first) == list(second) == LABELS
        assert sum(np.exp(list(first.values()))) == pytest.approx(1)
        agree(list(first.values()), list(second.values()))


def test_classifiers_say_what_they_ran_on(two: tuple[Classifier, Classifier]) -> None:
    for classifier in two:
        found = classifier.conditions()
        assert json.loads(json.dumps(found)) == found
        assert "cpu" in (found.get("device") or found["provider"]).lower()
        assert found["threads"] >= 1
        assert classifier.context_length == 256


def test_an_encoder_without_a_head_is_no_classifier(tiny_bert: Path) -> None:
    with pytest.raises(MeasurementError, match=r"no classification head.*fine-tune it"):
        open_classifier(Artifact("hf", tiny_bert))


def test_a_run_is_timed_of_what_was_fed(classifiers: Classifiers) -> None:
    for artifact in classifiers.pairs["adapter and merged"]:
        classifier = TorchClassifier(artifact)
        rows, _ = classifier.tokenise(TEXTS)
        feed = classifier.feed(rows)
        assert {values.shape for values in feed.values()} == {(3, max(map(len, rows)))}
        assert classifier.request(feed) > 0
