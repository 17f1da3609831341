"""A language model behind the harness' three questions, against what the harness' own model says.

What needs no harness is tested without it.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from evaluators.base import Artifact, MeasurementError
from evaluators.runtimes.lm_eval_model import Requests, as_lm
from evaluators.runtimes.models import open_language_model

PAIRS = [
    ("### Text: We danced.\n### The tone is:", " joy"),
    ("### Text: We danced.\n### The tone is:", " sadness and fear"),
    ("### Text: We danced.\n### The tone is: ", "joy"),
    ("### Text: We danced.\n### The tone is:\n", "joy"),
    ("", "The whole street clapped."),
    ("The", " old tram"),
]
TEXT = "My sister rang to say the baby has her grandmother's laugh. " * 12


@pytest.fixture(scope="module")
def requests(tiny_llama: Path) -> Requests:
    return Requests(open_language_model(Artifact("hf", tiny_llama)))


def direct(folder: Path, ids: list[int], count: int) -> float:
    """The log-probability of the last so many tokens, straight from transformers."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        logits = model(torch.tensor([ids[:-1]])).logits[0].double().log_softmax(-1)
    taken = logits[-count:].gather(1, torch.tensor(ids[-count:])[:, None])
    return float(taken.sum())


def test_a_continuation_has_the_probability_of_its_tokens(
    requests: Requests, tiny_llama: Path
) -> None:
    from transformers import AutoTokenizer

    words = AutoTokenizer.from_pretrained(tiny_llama)
    context, continuation = PAIRS[1]
    before, ids = words(context).input_ids, words(context + continuation).input_ids
    ((value, _),) = requests.continuations([PAIRS[1]])
    assert value == pytest.approx(direct(tiny_llama, ids, len(ids) - len(before)), rel=1e-4)


def test_it_is_told_what_the_model_would_write(requests: Requests) -> None:
    prompt = PAIRS[0][0]
    (text,) = requests.texts([(prompt, {"max_gen_toks": 3})])
    ((_, greedy), (_, other)) = requests.continuations([(prompt, text), (prompt, " joy")])
    assert greedy
    assert not other


def test_requests_in_one_go_are_answered_as_one_by_one(requests: Requests) -> None:
    together = requests.continuations(PAIRS)
    alone = [requests.continuations([pair])[0] for pair in PAIRS]
    assert [v for v, _ in together] == pytest.approx([v for v, _ in alone], rel=1e-4)
    assert [g for _, g in together] == [g for _, g in alone]
    # White space at the context's end belongs to the continuation.
    assert together[0][0] == pytest.approx(together[2][0], rel=1e-4)


class Short:
    """The model with a context of a few tokens."""

    def __init__(self, folder: Path, context: int | None) -> None:
        self._model = open_language_model(Artifact("hf", folder))
        self.context_length = context
        self.longest = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def logits(self, ids: Any) -> Any:
        self.longest = max(self.longest, ids.shape[1])
        return self._model.logits(ids)


def test_a_text_counts_every_token_once_whatever_the_windows(tiny_llama: Path) -> None:
    from transformers import AutoTokenizer

    ids = AutoTokenizer.from_pretrained(tiny_llama)(TEXT).input_ids
    whole = Requests(Short(tiny_llama, None)).whole_texts([TEXT, ""])
    assert whole == pytest.approx([direct(tiny_llama, [1, *ids], len(ids)), 0.0], rel=1e-4)

    model = Short(tiny_llama, 10)
    short = Requests(model).whole_texts([TEXT])[0]
    joined, expected = [1, *ids], 0.0
    for start in range(0, len(ids), 10):
        end = min(start + 10, len(ids))
        expected += direct(tiny_llama, joined[max(0, end - 10) : end + 1], end - start)
    assert short == pytest.approx(expected, rel=1e-4)
    assert model.longest == 10


def test_a_long_context_loses_its_beginning(tiny_llama: Path) -> None:
    requests = Requests(Short(tiny_llama, 16))
    ((value, _),) = requests.continuations([(TEXT, " We danced")])
    ((last, _),) = Requests(Short(tiny_llama, None)).continuations([(TEXT, " We danced")])
    assert value != last
    assert math.isfinite(value)
    assert requests.cut == 1
    requests.texts([(TEXT, {"max_gen_toks": 4})])
    assert requests.cut == 2
    with pytest.raises(MeasurementError, match="over the model's context of 16"):
        requests.continuations([("", TEXT)])
    with pytest.raises(MeasurementError, match="asks for 16 new tokens"):
        requests.texts([("a", {"max_gen_toks": 16})])


def test_texts_end_before_what_a_task_names(requests: Requests) -> None:
    (free,) = requests.texts([("The", {"max_new_tokens": 10})])
    stop = free[3]
    settings = ({"until": stop, "max_tokens": 10}, {"until": ["", stop], "max_tokens": 10})
    texts = requests.texts([("The", wanted) for wanted in settings])
    assert texts == [free.partition(stop)[0]] * 2
    assert requests.written[-2:] == texts


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        ({}, False),
        ({"do_sample": False, "temperature": 0.7}, False),
        ({"do_sample": True, "temperature": 0.0}, False),
        ({"temperature": 0}, False),
        ({"do_sample": True}, True),
        ({"temperature": 0.7}, True),
        ({"num_beams": 4}, True),
    ],
)
def test_only_greedy_texts_are_made(
    requests: Requests, settings: dict[str, Any], refused: bool
) -> None:
    asked = [("The", {"max_gen_toks": 1, **settings})]
    if not refused:
        assert len(requests.texts(asked)) == 1
        return
    with pytest.raises(MeasurementError, match="greedy"):
        requests.texts(asked)


def test_the_harness_own_model_says_the_same(requests: Requests, tiny_llama: Path) -> None:
    pytest.importorskip("lm_eval", reason="lm_eval is not installed")
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    def asked(kind: str, arguments: list[tuple[Any, ...]]) -> list[Any]:
        return [Instance(kind, {}, args, i) for i, args in enumerate(arguments)]

    ours = as_lm(requests)
    theirs = HFLM(pretrained=str(tiny_llama), device="cpu", dtype="float32", batch_size=1)
    scored = asked("loglikelihood", PAIRS)
    found, expected = ours.loglikelihood(scored), theirs.loglikelihood(scored)
    assert [v for v, _ in found] == pytest.approx([v for v, _ in expected], rel=1e-4)
    assert [g for _, g in found] == [g for _, g in expected]

    rolling = asked("loglikelihood_rolling", [(TEXT,), ("We danced.",), (TEXT * 4,)])
    assert ours.loglikelihood_rolling(rolling) == pytest.approx(
        theirs.loglikelihood_rolling(rolling), rel=1e-4
    )
    stop = requests.texts([("We", {"max_gen_toks": 12})])[0][4]
    settings = {"until": [stop], "max_gen_toks": 12, "do_sample": False}
    texts = asked("generate_until", [("We", settings), ("The old tram", settings)])
    assert ours.generate_until(texts) == theirs.generate_until(texts)
