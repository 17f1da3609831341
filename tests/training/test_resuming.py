"""Which steps a part of a training does, and when it starts over."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from evaluators.base import TRAINING_STATE
from tuner.training.examples import LabelledText
from tuner.training.loop import train
from tuner.training.resuming import Part

TEXTS = [LabelledText([i], i % 2) for i in range(8)]


class Noisy(torch.nn.Module):
    """One weight and one that begins at random."""

    def __init__(self, begun: float = 0.0) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((1,), begun))
        self.unused = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))

    def forward(self, texts: Sequence[LabelledText]) -> torch.Tensor:
        wanted = torch.tensor([float(text.ids[0]) for text in texts])
        return ((self.weight + torch.randn(len(texts)) - wanted) ** 2).sum()


def loss(model: Any, batch: Sequence[LabelledText]) -> Any:
    return model(batch)


def run(settings: Any, part: Part, begun: float = 0.0) -> tuple[list[float], float]:
    """The losses of a part, and the weight after it."""
    torch.manual_seed(0)
    model = Noisy(begun)
    losses = train(model, TEXTS, settings, loss, part=part)
    return losses, model.weight.item()


@pytest.fixture
def quick(settings: Any) -> Any:
    return settings(max_steps=10, learning_rate=0.1, batch_size=3, warmup_ratio=0.2)


def first_part(quick: Any, folder: Path, share: float = 0.4) -> list[float]:
    folder.mkdir(exist_ok=True)
    return run(quick, Part(share, None, folder))[0]


def test_a_part_does_the_steps_of_the_whole(quick: Any, tmp_path: Path) -> None:
    losses, weight = run(quick, Part())
    first = first_part(quick, tmp_path)
    later, end = run(quick, Part(1.0, tmp_path, tmp_path / "later"))
    assert first + later == losses
    assert len(first) == 4
    assert end == weight


@pytest.mark.parametrize(("share", "steps"), [(1 / 3, 3), (1 / 9, 1), (0.001, 1), (1.0, 10)])
def test_a_share_is_rounded_to_steps_and_is_one_at_least(share: float, steps: int) -> None:
    assert Part(share).last(10) == steps


def test_a_part_of_no_further_steps_gives_what_the_earlier_gave(quick: Any, tmp_path: Path) -> None:
    first_part(quick, tmp_path / "a")
    (tmp_path / "b").mkdir()
    losses, _ = run(quick, Part(0.41, tmp_path / "a", tmp_path / "b"))
    assert losses == []
    name = f"{TRAINING_STATE}/state.safetensors"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_whole_training_leaves_no_state(quick: Any, tmp_path: Path) -> None:
    run(quick, Part(1.0, None, tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_another_beginning_starts_over(
    quick: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first_part(quick, tmp_path)
    capsys.readouterr()
    losses, _ = run(quick, Part(1.0, tmp_path), begun=0.5)
    assert losses == run(quick, Part(), begun=0.5)[0]
    assert "starts over, the earlier part cannot be gone on from: its beginning" in _log(capsys)


def _log(capsys: pytest.CaptureFixture[str]) -> str:
    return str(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"steps": 11}, "its steps is 11, not 10"),
        ({"device": "cuda"}, "its device is cuda, not cpu"),
        ({"done": 11}, "it did 11 steps, more than the 10"),
    ],
)
def test_a_state_of_another_training_starts_over(
    quick: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    why: str,
) -> None:
    first_part(quick, tmp_path)
    file = tmp_path / TRAINING_STATE / "state.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    assert run(quick, Part(1.0, tmp_path)) == run(quick, Part())
    assert why in _log(capsys)


def test_a_folder_without_a_state_starts_over(
    quick: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(quick, Part(1.0, tmp_path)) == run(quick, Part())
    assert "starts over" in _log(capsys)
