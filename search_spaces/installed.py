"""Whether a distribution is installed, without importing it."""

from __future__ import annotations


def is_installed(distribution: str) -> bool:
    """Whether there is a distribution of that name on the import path."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True
