"""Counts what becomes of Olive configs, and writes the tables of docs/olive.md anew.

    python benchmarks/olive/coverage_page.py EXAMPLES ALL

EXAMPLES: the folder of the configs that this project keeps; ALL: of all that are published. Runs
nothing of them.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from tuner.olive.coverage import FileCoverage, Reach, by_group, by_reach, coverage

PAGE = Path(__file__).parents[2] / "docs" / "olive.md"

_WORDS = {
    Reach.RUNS: "built and measured, nothing left out",
    Reach.OMITS: "a result of the same use; what differs is listed, or the device is not here",
    Reach.ELSEWHERE: "NPUs, and the tools of their makers",
    Reach.CANNOT: "no counterpart",
}
_TABLES = (r"^\| \| the \d+ examples \|.*\n(?:\|.*\n)+", r"^\| class \| reason \|.*\n(?:\|.*\n)+")


def main(arguments: Sequence[str]) -> int:
    """Count, and put the two tables in place of those of the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("examples", type=Path, help="a folder of Olive configs")
    parser.add_argument("all", type=Path, help="another, of many more")
    options = parser.parse_args(arguments)
    few, many = coverage(options.examples), coverage(options.all)
    text = PAGE.read_text(encoding="utf-8")
    for pattern, table in zip(_TABLES, (classes(few, many), reasons(few, many)), strict=True):
        text, count = re.subn(pattern, table.replace("\\", r"\\"), text, flags=re.MULTILINE)
        if count != 1:
            raise SystemExit(f"{PAGE} has {count} tables like {pattern}, expected one")
    PAGE.write_text(text, encoding="utf-8")
    return 0


def classes(few: Sequence[FileCoverage], many: Sequence[FileCoverage]) -> str:
    """Markdown: how many configs there are of each class."""
    counts = (by_reach(few), by_reach(many))
    totals = [sum(found.values()) for found in counts]
    lines = [f"| | the {totals[0]} examples | all {totals[1]} |", "|---|---|---|"]
    lines += [f"| **{r.value}**: {_WORDS[r]} | {counts[0][r]} | {counts[1][r]} |" for r in Reach]
    return "\n".join(lines) + "\n"


def reasons(few: Sequence[FileCoverage], many: Sequence[FileCoverage]) -> str:
    """Markdown: how many configs of a class have reasons of a sort."""
    of_few = {(reach, group): count for reach, group, count in by_group(few)}
    totals = [sum(by_reach(found).values()) for found in (few, many)]
    lines = [f"| class | reason | {totals[0]} | {totals[1]} |", "|---|---|---|---|"]
    lines += [
        f"| {reach.value} | {group} | {of_few.get((reach, group), 0)} | {count} |"
        for reach, group, count in by_group(many)
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
