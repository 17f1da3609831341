"""Stopping a training after a share of its steps, and going on as if it had never stopped.

What is needed to go on lies in a folder beside the model, as safetensors and JSON: the trained
weights as they are in training, the optimizer's moments, the random generators. The place in the
data follows from the number of steps. Knows nothing of losses, and nothing of what is trained.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from evaluators.base import TRAINING_STATE
from tuner.passes.base import StageContext

_TENSORS = "state.safetensors"
_FACTS = "state.json"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Part:
    """How much of a training is to be done: up to `share` of its steps, going on from `earlier`.

    `output`: the folder of the model, for what a later part needs; None for a whole training.
    """

    share: float = 1.0
    earlier: Path | None = None
    output: Path | None = None

    @classmethod
    def of(cls, context: StageContext) -> Self:
        """The part that a stage asks for."""
        return cls(context.share, context.earlier, context.output)

    def last(self, steps: int) -> int:
        """After how many of all steps it ends; 1 at least."""
        return steps if self.share >= 1 else max(1, round(self.share * steps))


WHOLE = Part()


class Span:
    """The steps of a training that are done now.

    To be made when the model is as it begins: what went on from another beginning would not be
    what a whole training gives. `optimizer`: of torch, holding all that is trained. `steps`: of
    the whole training.
    """

    def __init__(self, part: Part, optimizer: Any, steps: int) -> None:
        self._part, self._optimizer, self._steps = part, optimizer, steps
        self._weights = [p for group in optimizer.param_groups for p in group["params"]]
        partial = part.share < 1 or part.earlier is not None
        self._facts = self._about() if partial else {}
        self.last = part.last(steps)

    def resume(self) -> int:
        """Take over what the earlier part came to: how many steps are done; 0 from the start.

        Where that is not of the same training on the same kind of device, or cannot be read, it
        is left aside, and the log says why.
        """
        if self._part.earlier is None:
            return 0
        folder = self._part.earlier / TRAINING_STATE
        try:
            done = self._done(json.loads((folder / _FACTS).read_text(encoding="utf-8")))
            tensors = _load(folder / _TENSORS)
        except (OSError, ValueError) as error:
            print(f"starts over, the earlier part cannot be gone on from: {error}", flush=True)
            return 0
        self._restore(tensors)
        print(f"goes on after step {done} of {self._steps}", flush=True)
        return done

    def keep(self) -> None:
        """Write what is needed to go on; nothing after a whole training."""
        if self._part.share >= 1 or self._part.output is None:
            return
        from safetensors.torch import save_file

        folder = self._part.output / TRAINING_STATE
        folder.mkdir()
        save_file(self._tensors(), folder / _TENSORS)
        facts = json.dumps(self._facts | {"done": self.last}, indent=2, sort_keys=True)
        (folder / _FACTS).write_text(facts + "\n", encoding="utf-8")

    def _about(self) -> dict[str, Any]:
        """What is the same in all parts of a training."""
        return {
            "version": _VERSION,
            "steps": self._steps,
            "device": self._weights[0].device.type,
            "beginning": _digest(self._weights),
        }

    def _done(self, facts: Mapping[str, Any]) -> int:
        """The steps that the earlier part did. ValueError where it is of another training."""
        for name, expected in self._facts.items():
            if facts.get(name) != expected:
                raise ValueError(f"its {name} is {facts.get(name)}, not {expected}")
        done = int(facts["done"])
        if done > self.last:
            raise ValueError(f"it did {done} steps, more than the {self.last} that are asked for")
        return done

    def _tensors(self) -> dict[str, Any]:
        import torch

        tensors = {f"weight.{i}": w.detach().contiguous() for i, w in enumerate(self._weights)}
        for i, moments in self._optimizer.state_dict()["state"].items():
            tensors |= {f"moment.{i}.{name}": t.contiguous() for name, t in moments.items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if self._weights[0].is_cuda:
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        return tensors

    def _restore(self, tensors: Mapping[str, Any]) -> None:
        import torch

        moments: dict[int, dict[str, Any]] = {}
        for key, tensor in tensors.items():
            kind, number, *name = key.split(".")
            if kind == "moment":
                moments.setdefault(int(number), {})[name[0]] = tensor
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})
        with torch.no_grad():
            for i, weight in enumerate(self._weights):
                weight.copy_(tensors[f"weight.{i}"])
        torch.set_rng_state(tensors["random.cpu"])
        if self._weights[0].is_cuda:
            torch.cuda.set_rng_state(tensors["random.cuda"])


def _load(path: Path) -> dict[str, Any]:
    """The tensors of a file. ValueError where it is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except SafetensorError as error:
        raise ValueError(f"{path.name} is damaged ({error})") from error


def _digest(weights: Sequence[Any]) -> str:
    """Of the bytes of tensors."""
    import torch

    found = hashlib.sha256()
    for weight in weights:
        plain = weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        found.update(plain.numpy().data)
    return found.hexdigest()
