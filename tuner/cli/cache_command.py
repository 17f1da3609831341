"""`tune cache ls|gc|why`: the store of stage results."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from search_spaces.units import UnitError, format_quantity, parse_duration, parse_size
from tuner.pipeline.store import Entry, Store, StoreError, default_root
from tuner.report.words import duration, plural


def cache_command(arguments: argparse.Namespace) -> int:
    """Run the action; the exit code."""
    root = default_root() if arguments.store is None else Path(arguments.store)
    try:
        return _ACTIONS[arguments.action](arguments, Store(root))
    except (StoreError, UnitError) as error:
        print(f"tune cache: {error}", file=sys.stderr)
        return 2 if isinstance(error, UnitError) else 1


def _ls(arguments: argparse.Namespace, store: Store) -> int:
    entries = sorted(store.entries(), key=lambda e: -e.used)
    total = format_quantity(store.size(), "B")
    print(f"{store.root}: {plural(len(entries), 'entry').replace('entrys', 'entries')}, {total}")
    shown = entries if arguments.limit == 0 else entries[: arguments.limit]
    for entry in shown:
        print(_line(entry))
    if len(shown) < len(entries):
        print(f"... and {len(entries) - len(shown)} more (--limit 0 shows all)")
    return 0


def _line(entry: Entry) -> str:
    size = format_quantity(float(entry.meta.get("bytes", 0)), "B")
    took = duration(float(entry.meta.get("seconds", 0.0)))
    ago = duration(max(0.0, time.time() - entry.used))
    name = str(entry.meta.get("pass", "?"))
    return f"{entry.key[:12]}  {name:<18}{size:>9}  took {took:<11} used {ago} ago"


def _gc(arguments: argparse.Namespace, store: Store) -> int:
    if not (arguments.all or arguments.max_age or arguments.max_size):
        print("tune cache gc: say what may go: --max-age, --max-size or --all", file=sys.stderr)
        return 2
    age = None if arguments.max_age is None else parse_duration(arguments.max_age)
    size = None if arguments.max_size is None else parse_size(arguments.max_size)
    report = store.gc(max_age=age, max_bytes=0 if arguments.all else size, keep=())
    freed, left = (format_quantity(float(b), "B") for b in (report.freed, report.bytes))
    print(f"removed {len(report.removed)}, freed {freed}; kept {report.kept}, {left}")
    return 0


def _why(arguments: argparse.Namespace, store: Store) -> int:
    found = store.find(arguments.stage)
    if len(found) != 1:
        many = "no stage's key begins" if not found else f"{len(found)} stages' keys begin"
        print(
            f"tune cache why: {many} with {arguments.stage!r}; see tune cache ls", file=sys.stderr
        )
        return 2
    [entry] = found
    print(f"{entry.key}\n  {_line(entry)[14:].strip()}\nits key covers:")
    description = entry.meta.get("description", {})
    print("  " + json.dumps(description, indent=2, sort_keys=True).replace("\n", "\n  "))
    for relative in store.explain(description, limit=4):
        if relative.key != entry.key:
            print(f"differs from {relative.key[:12]} in:")
            for d in relative.differences:
                print(f"  {d.path}: {json.dumps(d.this)} here, {json.dumps(d.that)} there")
    return 0


_ACTIONS = {"ls": _ls, "gc": _gc, "why": _why}
