"""The data config that a pass reads, and what it says of its texts.

Where its rows come from and how they become text is `tuner.olive.data`.
"""

from __future__ import annotations

from collections.abc import Mapping

from tuner.olive.config import OliveData, Setting
from tuner.olive.passes.work import Work

LENGTH = ("max_seq_len", "source_max_len", "max_length", "max_len")
"""Keys of a data config for the tokens of a text, of both generations."""


def data_of(work: Work, setting: Setting | None) -> OliveData | None:
    """The data config that a setting names; None where there is none, or it says what it is."""
    if setting is None or not isinstance(setting.value, str):
        return None
    return work.draft.config.data.get(setting.value)


def said(data: OliveData | None, *keys: str) -> Setting | None:
    """The first of these keys that a data config gives a value, wherever it gives it."""
    if data is None:
        return None
    for part in (data.pre_process, data.load, data.dataloader):
        found = _first(part, keys)
        if found is not None:
            return found
    return None


def _first(part: Mapping[str, Setting], keys: tuple[str, ...]) -> Setting | None:
    return next((part[key] for key in keys if key in part and part[key].value is not None), None)
