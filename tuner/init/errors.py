"""Why no space can be written."""

from __future__ import annotations


class CannotWrite(Exception):
    """No sensible space can be written for what was asked; one sentence, with what would work."""
