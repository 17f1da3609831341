"""The training loop: learning rate and steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from tuner.passes import PassError
from tuner.training.examples import LabelledText
from tuner.training.loop import Faster, rate_factor, train

TEXTS = [LabelledText([i], i % 2) for i in range(8)]


class Slope(torch.nn.Module):
    """One weight, which the loss below draws to 3."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))


def distance(model: Any, batch: Sequence[LabelledText]) -> Any:
    return len(batch) * ((model.weight - 3) ** 2).sum()


def broken(model: Any, batch: Sequence[LabelledText]) -> Any:
    return model.weight.sum() * float("nan")


def test_learning_rate_rises_then_falls_as_told(settings: Any) -> None:
    linear = settings(warmup_ratio=0.2)
    factors = [round(rate_factor(s, 10, linear), 3) for s in (0, 1, 2, 6, 9)]
    assert factors == [0.333, 0.667, 1, 0.5, 0.125]
    assert rate_factor(5, 10, settings(scheduler="cosine")) == pytest.approx(0.5)
    assert rate_factor(9, 10, settings(scheduler="constant")) == 1.0


@pytest.mark.parametrize("fused", [False, True])
def test_training_goes_down_the_loss(settings: Any, fused: bool) -> None:
    model = Slope()
    losses = train(model, TEXTS, settings(max_steps=60, learning_rate=0.2), distance, fused=fused)
    assert losses[0] == pytest.approx(9)
    assert losses[-1] < 0.1


def test_what_needs_no_gradient_stays(settings: Any) -> None:
    model = Slope()
    model.register_parameter("frozen", torch.nn.Parameter(torch.ones(1), requires_grad=False))
    train(model, TEXTS, settings(max_steps=3), distance)
    assert model.frozen.item() == 1
    assert model.weight.item() > 0


def test_some_parameters_can_learn_faster(settings: Any) -> None:
    slow, quick = Slope(), Slope()
    train(slow, TEXTS, settings(max_steps=2, learning_rate=1e-3), distance)
    some = Faster(list(quick.parameters()), 10.0)
    train(quick, TEXTS, settings(max_steps=2, learning_rate=1e-3), distance, some)
    assert quick.weight.item() == pytest.approx(10 * slow.weight.item(), rel=1e-3)


def test_a_loss_that_is_no_number_is_refused(settings: Any) -> None:
    with pytest.raises(PassError, match="the loss is nan at step 1: lower learning_rate"):
        train(Slope(), TEXTS, settings(), broken)


def test_epochs_decide_how_many_steps_there_are(settings: Any) -> None:
    assert settings(max_steps=7).steps(100) == 7
    assert settings(max_steps=7, epochs=2.0, batch_size=8).steps(100) == 25
    assert settings(epochs=1.0, batch_size=8).steps(100) == 13
    assert settings(epochs=1.0, batch_size=8, gradient_accumulation=2).steps(100) == 7
    assert settings(epochs=3.0, batch_size=8).steps(4) == 3
    assert settings(epochs=0.01, batch_size=8).steps(4) == 1


def test_an_epoch_sees_every_text_once(settings: Any) -> None:
    seen: list[int] = []

    def record(model: Any, batch: Sequence[LabelledText]) -> Any:
        seen.extend(text.ids[0] for text in batch)
        return distance(model, batch)

    train(Slope(), TEXTS, settings(epochs=1.0, batch_size=4), record)
    assert sorted(seen) == list(range(8))


def test_log_says_how_training_goes(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    train(Slope(), TEXTS, settings(max_steps=4), distance)
    log = capsys.readouterr().out
    assert "1 parameters are trained" in log
    assert "step 4/4  loss " in log
    assert "tokens/s" in log
