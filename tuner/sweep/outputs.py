"""Writes what is read of a night: its summary, table, plots, and the index of all nights.

All of it is made of records alone and can be made again. Knows nothing of how nights are run or
judged.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tuner.sweep.changes import Change, Comparison, Verdict
from tuner.sweep.index_page import index_page
from tuner.sweep.markdown import index, summary
from tuner.sweep.plots import NO_PLOTS, draw
from tuner.sweep.records import EntryResult, Measured, Night, Watched, read_nights
from tuner.sweep.wording import STATES, VERDICTS

SUMMARY, TABLE, COMPARISON = "summary.md", "results.csv", "comparison.json"
INDEX, INDEX_TEXT = "index.html", "index.md"

_COLUMNS = (
    "night", "reference", "entry", "model", "device", "state", "answer_of", "label", "candidate",
    "parameters", "metric", "split", "unit", "value", "low", "high", "ratio", "ratio_low",
    "ratio_high", "samples", "sessions", "change_is", "change", "change_low", "change_high",
    "confidence", "verdict", "message",
)  # fmt: skip
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def write_night(
    folder: Path, night: Night, comparison: Comparison, history: Sequence[Night]
) -> None:
    """Write summary.md, results.csv, comparison.json and the plots into a night's folder. OSError.

    `history`: every night that is known, for the plots over nights. Without matplotlib there are no
    plots, and the summary says so.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plots = draw(folder, night, history)
    note = NO_PLOTS if plots is None else None
    _write(folder / SUMMARY, summary(night, comparison, plots=plots, note=note))
    _write(folder / TABLE, table(night, comparison))
    _write(folder / COMPARISON, json.dumps(comparison.to_json(), indent=1, ensure_ascii=False))


def write_index(results: Path) -> None:
    """Write index.html and index.md over all nights of a folder. OSError, RecordError."""
    nights = read_nights(results)
    verdicts = {
        (night.name, entry): text
        for night in nights
        for entry, text in _verdicts(results / night.name, night).items()
    }
    _write(results / INDEX, index_page(nights, verdicts))
    _write(results / INDEX_TEXT, index(nights, verdicts))


def _write(path: Path, text: str) -> None:
    """Whole or not at all: somebody may be reading it."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def table(night: Night, comparison: Comparison) -> str:
    """results.csv: a row per entry, watched candidate and metric, numbers in canonical units.

    A cell of text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for entry in night.entries:
        for row in _rows(night, entry, comparison):
            writer.writerow([_cell(row.get(name)) for name in _COLUMNS])
    return text.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return f"'{value}" if value.startswith(_FORMULAS) else value


def _rows(night: Night, entry: EntryResult, comparison: Comparison) -> Iterator[dict[str, Any]]:
    about = {
        "night": night.name, "reference": comparison.reference, "entry": entry.name,
        "model": entry.model, "device": entry.device, "state": STATES[entry.state],
        "message": entry.message,
    }  # fmt: skip
    if not entry.watched:
        yield about
    changes = {
        (c.key, c.metric, c.split): c
        for c in comparison.of_entry(entry.name)[0]
        if c.subject == "answer"
    }
    for watched in entry.watched:
        own = about | _candidate(watched)
        if not watched.metrics:
            yield own
        for measured in watched.metrics:
            change = changes.get((watched.key, measured.name, measured.split))
            yield own | _measured(measured) | _change(change)


def _candidate(watched: Watched) -> dict[str, Any]:
    found = {
        "answer_of": watched.of_night, "label": watched.label, "candidate": watched.key,
        "parameters": json.dumps(watched.parameters, ensure_ascii=False, default=str),
    }  # fmt: skip
    return found if watched.message is None else found | {"message": watched.message}


def _measured(measured: Measured) -> dict[str, Any]:
    ratio = measured.ratio or (None, None, None)
    return {
        "metric": measured.name, "split": measured.split, "unit": measured.unit,
        "value": measured.value, "low": measured.low, "high": measured.high,
        "ratio": ratio[0], "ratio_low": ratio[1], "ratio_high": ratio[2],
        "samples": measured.samples, "sessions": len(measured.sessions) or None,
    }  # fmt: skip


def _change(change: Change | None) -> dict[str, Any]:
    if change is None:
        return {}
    return {
        "change_is": "factor" if change.factor else "difference", "change": change.size,
        "change_low": change.low, "change_high": change.high, "confidence": change.confidence,
        "verdict": VERDICTS[change.verdict],
    }  # fmt: skip


_WORST_FIRST = (
    Verdict.REGRESSION,
    Verdict.UNDECIDED,
    Verdict.IMPROVEMENT,
    Verdict.CHANGED,
    Verdict.UNCHANGED,
)


def _verdicts(folder: Path, night: Night) -> dict[str, str]:
    """Of each entry of a night, as it was judged then; nothing where that cannot be read."""
    try:
        known = json.loads((folder / COMPARISON).read_text(encoding="utf-8"))
        changes = [c for c in known["changes"] if c["subject"] != "anchor"]
        events = known["events"]
        return {e.name: _worst(e.name, changes, events) for e in night.entries}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _worst(
    entry: str, changes: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]]
) -> str:
    if any(e["entry"] == entry and e["regression"] for e in events):
        return VERDICTS[Verdict.REGRESSION]
    found = {c["verdict"] for c in changes if c["entry"] == entry}
    return next((VERDICTS[v] for v in _WORST_FIRST if str(v) in found), "")
