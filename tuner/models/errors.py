"""The error of a model that cannot be had. Knows nothing of why."""

from __future__ import annotations

from tuner.passes.base import PassError


class ModelError(PassError):
    """The model cannot be had, for a reason that a person understands (one sentence)."""
