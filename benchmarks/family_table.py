"""The page docs/families.md out of what `families.py` found. Knows nothing of how it was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

from search_spaces.kinds import CAUSAL, ENCODER


class Found(Protocol):
    """One cell: "yes", "torch" or "no", and why."""

    @property
    def answer(self) -> str:
        """What came of it."""

    @property
    def reason(self) -> str:
        """Why not, in one line; empty where it works."""


Tables = Mapping[str, tuple[Sequence[str], Mapping[str, Sequence[Found]]]]

LIBRARIES = (
    "torch",
    "transformers",
    "peft",
    "bitsandbytes",
    "neural-compressor-pt",
    "auto-round",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "onnxruntime-genai",
    "onnxruntime-ep-openvino",
)
HEADINGS = {CAUSAL: "Language models that generate", ENCODER: "Encoders that classify"}
INTRODUCTION = """# Model families

<!-- Written by benchmarks/families.py. Do not edit. -->

Which pass works on which family of models. Every cell was run, on a tiny model of the family's
architecture with random weights: the pass, with what must come before and after it to make
something that a runtime can run, then the model in that runtime, its outputs compared with those
of PyTorch. It says that an architecture is supported, and nothing of quality.

- **yes**: the result runs in ONNX Runtime GenAI (three tokens after a prompt) or, of an encoder,
  in ONNX Runtime, and computes what PyTorch does, as nearly as the precision lets it. A number
  behind it: not with every text.
- **torch**: the pass works and its result runs in PyTorch, but what comes after cannot take it.
- **no**: it fails, or is refused.
- **-**: the machine that made this page cannot run it.

The numbers are reasons, below each table. "raised in" names the library that a failure comes from.
"""


def page(tables: Tables) -> str:
    """The page in Markdown."""
    parts = [INTRODUCTION]
    for kind, (titles, results) in tables.items():
        parts.append(f"## {HEADINGS[kind]}\n\n{_table(titles, results)}")
    return "\n".join([*parts, _origin()])


def _table(titles: Sequence[str], results: Mapping[str, Sequence[Found]]) -> str:
    """One table and the reasons under it; equal reasons have one number."""
    reasons: dict[str, int] = {}
    lines = [_row(["", *titles]), _row(["---"] * (len(titles) + 1))]
    for family, cells in results.items():
        lines.append(_row([family, *(_cell(cell, reasons) for cell in cells)]))
    notes = [f"{number}. {_plain(reason)}" for reason, number in reasons.items()]
    return "\n".join([*lines, "", *notes, ""])


def _cell(cell: Found, reasons: dict[str, int]) -> str:
    if not cell.reason:
        return cell.answer
    number = reasons.setdefault(cell.reason, len(reasons) + 1)
    return f"{cell.answer} ({number})"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """A message as Markdown that shows it as it is."""
    return text.replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


def _origin() -> str:
    found = (f"{name} {installed}" for name in LIBRARIES if (installed := _version(name)))
    return (
        "## How this page was made\n\n"
        f"On {datetime.now(UTC):%Y-%m-%d}, with {', '.join(found)}.\n\n"
        "    python benchmarks/families.py\n\n"
        "makes it again; `--family NAME` and `--pass NAME` show a part without writing it. The\n"
        "families are those of `benchmarks/family_models.py`, the passes those of `tune passes`.\n"
    )


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
