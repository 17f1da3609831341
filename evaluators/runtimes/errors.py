"""What a runtime refuses, and what it must not give back, in words.

Knows nothing of any one runtime's models.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from evaluators.base import DeadModel, MeasurementError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@contextmanager
def refusals(doing: str) -> Iterator[None]:
    """What the runtimes raise, as a MeasurementError that says what was being done."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    # onnxruntime's exceptions share no base class; GenAI's are plain RuntimeErrors.
    errors = (
        RuntimeError,
        state.EPFail,
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NoSuchFile,
        state.NotImplemented,
        state.RuntimeException,
    )
    try:
        yield
    except errors as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise MeasurementError(f"{doing}: {reason}") from error


def check_finite(logits: NDArray[Any]) -> None:
    """DeadModel where a logit is not a number, or is infinite."""
    import numpy as np

    if not np.isfinite(logits).all():
        raise DeadModel("the model's logits are not finite")
