"""Gives a file a second name where the file system can, a copy where it cannot."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` have the content of `source`, without using space where possible.

    `target` must not exist; its folder is made. A symbolic link is followed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)
