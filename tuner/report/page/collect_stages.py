"""Where a study's time went: the tree of its stages, by the pipelines' prefixes, and the totals.

What a stage that the store had would have cost is the mean of what it cost where it was run, else
the mean of its pass's runs; without any, it is not known. Knows nothing of the store itself.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tuner.report.page.collect_context import Context
from tuner.report.page.document import Figure, StageNode, Stages, StageTotal
from tuner.report.page.figures import figure, literal
from tuner.report.words import value_text
from tuner.study.events import RUNG, TWIN
from tuner.study.rows import StageRow

_MOST_NODES = 200  # of the page's tree: those that took or saved most, with what is below them
_LONGEST = 160  # characters of a node's parameters

_RAN = "NOT cached AND outcome IN ('done', 'failed')"
_KINDS = ("pipeline", "twin", "share")
_PLACES = {
    "pipeline": f"g.position < {TWIN}",
    "twin": f"g.position >= {TWIN} AND g.position < {RUNG}",
    "share": f"g.position >= {RUNG}",
}


@dataclass
class _Node:
    """A stage after others: `path` is its key behind theirs."""

    kind: str
    path: tuple[str, ...]
    source: bool
    rows: list[StageRow] = field(default_factory=list)
    children: dict[str, _Node] = field(default_factory=dict)
    saved: float | None = 0.0
    weight: float = 0.0

    @property
    def spent(self) -> float:
        return math.fsum(r.seconds or 0.0 for r in self.rows if not r.cached)

    def all(self) -> Iterable[_Node]:
        yield self
        for child in self.children.values():
            yield from child.all()


def collect_stages(context: Context) -> Stages:
    """The trees and the totals."""
    rows = context.study.stages()
    costs = _Costs([(r.pass_name, r.key, r.cached, r.outcome, r.seconds) for r in rows])
    measured = _measured(context)
    roots = _trees(rows)
    nodes = [node for root in roots for node in root.all()]
    for node in nodes:
        hits = sum(r.cached for r in node.rows)
        each = costs.of(node.rows[0].pass_name, node.path[-1])
        node.saved = 0.0 if not hits else None if each is None else hits * each
    for root in roots:
        _weigh(root)
    ranked = sorted(nodes, key=lambda n: (-n.weight, -len(n.rows), len(n.path)))
    kept = {id(n) for n in ranked[:_MOST_NODES]}
    shown = [r for r in sorted(roots, key=_rank) if id(r) in kept]
    maker = _Maker(context, kept, Counter((n.kind, n.path[-1]) for n in nodes))
    return Stages(
        roots=tuple(maker.node(root) for root in shown),
        passes=_totals(context, "tuner_stages", "pass", costs),
        evaluators=_totals(context, "tuner_measurements", "evaluator", measured),
        spent=_sum(context, "tuner_stages", costs.spent()),
        saved=_saved(context, "tuner_stages", "pass", costs.saved()),
        measuring=_sum(context, "tuner_measurements", measured.spent()),
        hit_rate=_hit_rate(context, rows),
        more=len(roots) - len(shown),
    )


def _trees(rows: Sequence[StageRow]) -> list[_Node]:
    """The roots of the trees: a trial's stages of one kind are a path."""
    by_trial: dict[tuple[int, int], list[StageRow]] = defaultdict(list)
    for row in rows:
        by_trial[row.number, row.position // 100].append(row)
    roots: dict[tuple[str, str], _Node] = {}
    for (_, hundred), stages in by_trial.items():
        kind = _KINDS[min(2, max(0, hundred))]
        above: _Node | None = None
        for row in sorted(stages, key=lambda r: r.position):
            if above is None:
                node = roots.setdefault((kind, row.key), _Node(kind, (row.key,), hundred < 0))
            else:
                path = (*above.path, row.key)
                node = above.children.setdefault(row.key, _Node(kind, path, source=False))
            node.rows.append(row)
            above = node
    return list(roots.values())


def _weigh(node: _Node) -> float:
    """What a node and all below it took and saved: never less than what is below it."""
    node.weight = node.spent + (node.saved or 0.0) + sum(_weigh(c) for c in node.children.values())
    return node.weight


def _rank(node: _Node) -> tuple[int, float, int]:
    return _KINDS.index(node.kind), -node.weight, -len(node.rows)


@dataclass
class _Maker:
    """Makes the page's nodes. `kept`: ids of those shown; `places`: in how many a key occurs."""

    context: Context
    kept: set[int]
    places: Mapping[tuple[str, str], int]

    def node(self, node: _Node) -> StageNode:
        """The node and those below it that are shown."""
        first = node.rows[0]
        below = sorted(node.children.values(), key=_rank)
        shown = tuple(self.node(child) for child in below if id(child) in self.kept)
        return StageNode(
            step=first.step,
            pass_name=first.pass_name,
            parameters=self._parameters(first),
            kind=node.kind,
            runs=self._count(node, _RAN, sum(_ran(r) for r in node.rows)),
            hits=self._count(node, "cached", sum(r.cached for r in node.rows)),
            failed=self._count(
                node, "outcome = 'failed'", sum(r.outcome == "failed" for r in node.rows)
            ),
            spent=self._spent(node),
            saved=self._saved(node),
            bytes=self._bytes(node),
            share=first.share,
            trials=figure(
                len({r.number for r in node.rows}),
                "count",
                self._select(node, "COUNT(DISTINCT number)"),
            ),
            children=shown,
            more=len(below) - len(shown),
        )

    def _parameters(self, row: StageRow) -> str:
        """What the search chose of the stage's step."""
        trial = self.context.by_number.get(row.number)
        chosen = {} if trial is None else trial.parameters
        mine = {n.partition(".")[2]: v for n, v in chosen.items() if n.startswith(f"{row.step}.")}
        text = ", ".join(f"{name}={value_text(value)}" for name, value in mine.items())
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."

    def _select(self, node: _Node, columns: str, *more: str) -> str:
        return self.context.sql.select(columns, "tuner_stages g", *self._where(node), *more)

    def _where(self, node: _Node) -> list[str]:
        """Which rows are the node's; with all that comes before, where the key is not enough."""
        where = [f"g.key = {literal(node.path[-1])}", _PLACES[node.kind]]
        where.append("g.position < 0" if node.source else "g.position >= 0")
        if self.places[node.kind, node.path[-1]] > 1:
            before = (
                "(SELECT COUNT(*) FROM tuner_stages p WHERE p.study = g.study AND "
                "p.number = g.number AND p.position >= 0 AND p.position < g.position AND "
                "p.position / 100 = g.position / 100"
            )
            where.append(f"{before}) = {len(node.path) - 1}")
            where += [f"{before} AND p.key = {literal(key)}) = 1" for key in node.path[:-1]]
        return where

    def _count(self, node: _Node, condition: str, value: int) -> Figure:
        return figure(value, "count", self._select(node, "COUNT(*)", condition))

    def _spent(self, node: _Node) -> Figure:
        source = self._select(node, "COALESCE(SUM(seconds), 0.0)", "NOT cached")
        return figure(node.spent, "duration", source, unit="s")

    def _saved(self, node: _Node) -> Figure:
        key, name = literal(node.path[-1]), literal(node.rows[0].pass_name)
        costs = [
            self.context.sql.select("AVG(seconds)", "tuner_stages", _RAN_WHOLE, f"{c} = {v}")
            for c, v in (("key", key), ("pass", name))
        ]
        each = f"COUNT(*) * COALESCE(({costs[0]}), ({costs[1]}))"
        source = self._select(node, f"CASE WHEN COUNT(*) = 0 THEN 0.0 ELSE {each} END", "cached")
        return figure(node.saved, "duration", source, unit="s")

    def _bytes(self, node: _Node) -> Figure | None:
        known = [r.bytes for r in node.rows if r.bytes is not None]
        if not known:
            return None
        return figure(max(known), "quantity", self._select(node, "MAX(bytes)"), unit="B")


_RAN_WHOLE = "NOT cached AND outcome = 'done'"


def _ran(row: StageRow) -> bool:
    return not row.cached and row.outcome in ("done", "failed")


class _Costs:
    """What things cost where they were run: (name, key, cached, outcome, seconds) of each."""

    def __init__(self, rows: Sequence[tuple[str, str, bool, str, float | None]]) -> None:
        self.rows = rows
        by_key: dict[str, list[float]] = defaultdict(list)
        by_name: dict[str, list[float]] = defaultdict(list)
        for name, key, cached, outcome, seconds in rows:
            if not cached and outcome == "done" and seconds is not None:
                by_key[key].append(seconds)
                by_name[name].append(seconds)
        self._keys = {key: statistics.fmean(values) for key, values in by_key.items()}
        self._names = {name: statistics.fmean(values) for name, values in by_name.items()}

    def of(self, name: str, key: str) -> float | None:
        """What it costs to run this once; None where nothing like it was run."""
        return self._keys.get(key, self._names.get(name))

    def spent(self, only: str | None = None) -> float:
        """Seconds of all that was run, or of one name."""
        return math.fsum(s or 0.0 for n, _, c, _, s in self.rows if not c and only in (None, n))

    def saved(self, only: str | None = None) -> float | None:
        """Seconds that the store saved; None where nothing like what it had was run."""
        costs = [self.of(n, k) for n, k, c, _, _ in self.rows if c and only in (None, n)]
        known = [cost for cost in costs if cost is not None]
        return math.fsum(known) if known or not costs else None


def _measured(context: Context) -> _Costs:
    keys = context.reader.measurement_keys(context.study.name)
    return _Costs([(m.evaluator, m.key, m.cached, "done", m.seconds) for m in keys])


def _totals(context: Context, view: str, column: str, costs: _Costs) -> tuple[StageTotal, ...]:
    names = list(dict.fromkeys(row[0] for row in costs.rows))
    ran = _RAN if column == "pass" else "NOT cached"
    found = []
    for name in sorted(names, key=costs.spent, reverse=True):
        mine = [row for row in costs.rows if row[0] == name]
        this = f"{column} = {literal(name)}"
        runs = sum(not c and outcome in ("done", "failed") for _, _, c, outcome, _ in mine)
        found.append(
            StageTotal(
                name,
                context.count(view, this, ran, value=runs),
                context.count(view, this, "cached", value=sum(c for _, _, c, _, _ in mine)),
                _sum(context, view, costs.spent(name), this),
                _saved(context, view, column, costs.saved(name), f"h.name = {literal(name)}"),
            )
        )
    return tuple(found)


def _sum(context: Context, view: str, value: float, *conditions: str) -> Figure:
    total = "COALESCE(SUM(seconds), 0.0)"
    source = context.sql.select(total, view, "NOT cached", *conditions)
    return figure(value, "duration", source, unit="s")


def _saved(context: Context, view: str, column: str, value: float | None, only: str = "") -> Figure:
    """Seconds that the store saved: hits, each as dear as where the same was run."""
    whole = _RAN_WHOLE if column == "pass" else "NOT cached"
    hits = context.sql.select(f"{column} AS name, key", view, "cached")
    keys = context.sql.select("key, AVG(seconds) AS cost", view, whole)
    names = context.sql.select(f"{column} AS name, AVG(seconds) AS cost", view, whole)
    source = (
        f"SELECT CASE WHEN COUNT(*) = 0 THEN 0.0 ELSE SUM(COALESCE(k.cost, n.cost)) END "
        f"FROM ({hits}) AS h "
        f"LEFT JOIN ({keys} GROUP BY key) AS k ON k.key = h.key "
        f"LEFT JOIN ({names} GROUP BY {column}) AS n ON n.name = h.name"
    )
    source += f" WHERE {only}" if only else ""
    return figure(value, "duration", source, unit="s")


def _hit_rate(context: Context, rows: Sequence[StageRow]) -> Figure | None:
    done = [r.cached for r in rows if r.outcome == "done"]
    if not done:
        return None
    share = "CAST(AVG(CASE WHEN cached THEN 1.0 ELSE 0.0 END) AS DOUBLE PRECISION)"
    source = context.sql.select(share, "tuner_stages", outcome="done")
    return figure(sum(done) / len(done), "share", source)
