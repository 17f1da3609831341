"""The page results/measurement.md out of the records of a study. Measures nothing."""

from __future__ import annotations

import math
import statistics
import textwrap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from measurement_machine import figures

from evaluators.base import Json
from evaluators.statistics import wilson

INTRODUCTION = """# Measurement

How often the program's times and verdicts are wrong, where the truth is known, beside the usual
way to measure. Written by `benchmarks/measurement.py`; every record is in the file of the same
name that ends in `.jsonl`. Brackets are 95 % intervals: Wilson's, of counts.

"Ours" is `tune compare --measure`: sessions in fresh processes, blocks of the two models in turn,
and looks after several of them that share a risk of 1 %. "Usual" is one block of each model, the
one after the other, each in a process of its own: warm-up, then requests in a row, and a bootstrap
interval (95 %) of the ratio over single requests; "median of 20" is that of the medians of 20
requests, the first of the block. Both ways measured every pair, in turn first."""


def page(records: Sequence[Json]) -> str:
    """The page in Markdown, with the parts that there are records of."""
    parts: dict[str, list[Json]] = defaultdict(list)
    for record in records:
        parts[record["part"]].append(record)
    makers = {"aa": _same, "ab": _slower, "verdicts": _verdicts}
    text = [INTRODUCTION, *(makers[p](parts[p], parts) for p in makers if parts[p])]
    return "\n\n".join([*text, _origin(parts["machine"])]) + "\n"


def _same(pairs: Sequence[Json], parts: Mapping[str, Sequence[Json]]) -> str:
    rows = []
    for name in _ways(pairs):
        row = [name]
        for found in (pairs, [p for p in pairs if not p["load"]], [p for p in pairs if p["load"]]):
            row.append(_share([_way(p, name)["differ"] for p in found]))
        rows.append([*row, *_cost([_way(p, name)["seconds"] for p in pairs])])
    titles = ["way", "all pairs", "quiet", "loaded", "s per verdict", "p90"]
    shown = [[f.name, *(_sd(x) for x in (f.quiet, f.loaded, f.assumed))] for f in figures(pairs)]
    return "\n\n".join(
        [
            "## A/A: the same model twice",
            _prose(
                "How many pairs are declared different, where none is. Loaded: a second process "
                "computes in bursts of 0.1 to 3 s, with pauses as long."
            ),
            _table(titles, rows),
            "### What the statistics assume",
            _prose(
                "Standard deviations of logarithms, which are relative ones, as measured in these "
                "sessions; and what `evaluators/timing.py` assumes until a study shows its own."
            ),
            _table(["of", "quiet", "loaded", "assumed"], shown),
        ]
    )


def _slower(pairs: Sequence[Json], parts: Mapping[str, Sequence[Json]]) -> str:
    rows = []
    for extra in sorted({p["extra"] for p in pairs}, reverse=True):
        some = [p for p in pairs if p["extra"] == extra]
        for name in _ways(some):
            found = [_way(p, name) for p in some]
            differ = [(w["differ"], w["ratio"] > 1) for w in found]
            rows.append(
                [
                    f"{extra:.0%}",
                    name,
                    _share([right for _, right in differ]),
                    _share([declared and right for declared, right in differ]),
                    _share([declared and not right for declared, right in differ]),
                    f"{statistics.median(w['ratio'] for w in found):.3f}",
                    _sessions(found),
                    *_cost([w["seconds"] for w in found]),
                ]
            )
    titles = ["slower by", "way", "right sign", "declared, right", "declared, wrong"]
    titles += ["median ratio", "sessions", "s per verdict", "p90"]
    text = f"Extra layers make one model slower. {_truths(parts.get('truth', []))} No load."
    return "\n\n".join(["## A/B: a true slowdown", _prose(text), _table(titles, rows)])


def _truths(truths: Sequence[Json]) -> str:
    """What the slowdowns really are."""
    found = (
        f"{t['extra']:.0%} more layers take {t['processor'] - 1:.1%} more processor time on one "
        f"thread and {t['clock'] - 1:.1%} more time by the clock on all"
        for t in truths
    )
    # Two models in one process disturb each other: the idle one's threads spin beside the other.
    return (
        f"In one process, request by request in turn: {'; '.join(found)}. What the threads of two "
        "models in one process do to each other is larger than that; the layers are all alike."
    )


def _verdicts(studies: Sequence[Json], parts: Mapping[str, Sequence[Json]]) -> str:
    groups: dict[tuple[str, float], list[Json]] = defaultdict(list)
    for study in studies:
        groups[study["kind"], study["drift"]] += study["verdicts"]
    order = sorted(groups.items(), key=lambda group: group[0][1])
    rows = [[kind, f"{drift:.0%}", *_verdict_row(found)] for (kind, drift), found in order]
    for drift in sorted({drift for _, drift in groups}):
        together = [v for (_, d), found in order if d == drift for v in found]
        rows.append(["all", f"{drift:.0%}", *_verdict_row(together)])
    titles = ["limit on", "drift", "verdicts", "wrong", "undecided", "sessions", "usual: wrong"]
    refused = "".join(f'"{r["message"]}".' for r in parts.get("refusal", [])[-1:])
    return "\n\n".join(
        [
            "## Verdicts against truth",
            _prose(
                "Simulated latencies with known percentiles, autocorrelation, long tails, "
                "differences between processes, bursts and drift (standard deviation over "
                "minutes), judged by the program's own code; half of the candidates are within 8 % "
                "of the limit, the others within 65 %. Wrong: decided, and wrong. Usual: one block "
                "of 15 requests, its statistic against the limit, always decided."
            ),
            _table(titles, rows),
            f"Of p99 after one session of 4 blocks of 16 requests it is said: {refused}",
        ]
    )


def _verdict_row(found: Sequence[Json]) -> list[str]:
    undecided = sum(v["verdict"] == "undecided" for v in found) / len(found)
    sessions = statistics.fmean(v["sessions"] for v in found)
    wrong, usual = (_percent([v[name] for v in found]) for name in ("wrong", "usual_wrong"))
    return [str(len(found)), wrong, f"{undecided:.0%}", f"{sessions:.1f}", usual]


def _ways(pairs: Sequence[Json]) -> list[str]:
    return ["ours", *(f"usual, {name}" for name in pairs[0]["usual"])]


def _way(pair: Json, name: str) -> Json:
    found: Json = pair["ours"] if name == "ours" else pair["usual"][name.removeprefix("usual, ")]
    return found


def _sessions(found: Sequence[Json]) -> str:
    held = [len(way["sessions"]) for way in found if "sessions" in way]
    return f"{statistics.fmean(held):.1f}" if held else "-"


def _cost(seconds: Sequence[float]) -> list[str]:
    ordered = sorted(seconds)
    return [f"{statistics.fmean(ordered):.1f}", f"{ordered[math.ceil(0.9 * len(ordered)) - 1]:.1f}"]


def _share(found: Sequence[bool]) -> str:
    """So many of so many, and the interval of the share."""
    if not found:
        return "-"
    share = wilson(sum(found), len(found))
    return f"{sum(found)} of {len(found)} [{share.low:.0%}, {share.high:.0%}]"


def _percent(found: Sequence[bool]) -> str:
    share = wilson(sum(found), len(found))
    return f"{share.value:.2%} [{share.low:.2%}, {share.high:.2%}]"


def _sd(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _prose(text: str) -> str:
    return textwrap.fill(text, 100, break_on_hyphens=False)


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(r)} |" for r in (titles, ["---"] * len(titles), *rows))


def _origin(starts: Sequence[Json]) -> str:
    """When, where and with what it was measured: every start of the study has a line."""
    lines = ["## How this page was made", ""]
    for start in starts:
        at = datetime.fromtimestamp(start["at"], UTC)
        versions = ", ".join(f"{name} {v}" for name, v in start["versions"].items())
        cpu = f"{start['cpu']}, {start['cores']} cores, governor {start['governor']}"
        effort = ", ".join(f"{name} {value}" for name, value in start["effort"].items())
        lines.append(
            f"- {at:%Y-%m-%d %H:%M} UTC: `python benchmarks/measurement.py {start['arguments']}` "
            f"({effort}); {cpu}, load {start['load']:.1f} at the start; {versions}."
        )
    return "\n".join(lines)
