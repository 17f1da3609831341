"""The page's sections of how well things were measured, and of where the time went.

Knows nothing of where the document's numbers come from.
"""

from __future__ import annotations

from collections.abc import Iterator

from tuner.report.page.document import (
    Figure,
    Measured,
    Quality,
    SelfCheck,
    Session,
    StageNode,
    Stages,
    StageTotal,
)
from tuner.report.page.render_html import (
    Html,
    escaped,
    figure,
    joined,
    listing,
    paragraphs,
    plot,
    table,
    tag,
)
from tuner.report.words import plural

_ROLES = {"chosen": "the chosen model", "baseline": "the baseline", "front": "on the front"}
_OPEN = 3  # block plots that are open at first; the rest is folded
_LONG = 24  # rows of a stages' tree that are shown without a box of its own
_KINDS = {
    "pipeline": "",
    "twin": "Un-tuned twins, by which candidates were screened",
    "share": "With a share of the training",
}


def quality(found: Quality) -> Html:
    """Blocks of timed measurements, and the baseline compared with itself."""
    parts = [paragraphs([found.sentence]), _check(found.check)]
    plots = [_measured(index, one) for index, one in enumerate(found.measured) if one.sessions]
    parts += plots[:_OPEN]
    if plots[_OPEN:]:
        more = tag("summary", f"{plural(len(plots) - _OPEN, 'further measurement')}")
        parts.append(tag("details", more, *plots[_OPEN:]))
    return joined(*parts)


def _check(check: SelfCheck) -> Html:
    parts = [tag("h3", "The baseline compared with itself (A/A check)")]
    parts += [tag("p", text) for text in (check.sentence, check.note) if text]
    if not check.comparisons:
        return joined(*parts) if len(parts) > 1 else Html()
    if check.share is not None:
        parts.append(
            tag(
                "p",
                "Intervals that hold 1: ",
                figure(check.share),
                f", expected {check.expected:.0%} or more.",
            )
        )
    if check.half_width is not None:
        parts.append(
            tag("p", "Half of an interval's width, in the middle: ", figure(check.half_width))
        )
    rows = [
        (
            "baseline" if one.number < 0 else f"trial {one.number}",
            one.split,
            one.session + 1,
            figure(one.ratio),
            "yes" if one.holds_one else "no",
        )
        for one in check.comparisons
    ]
    data = table(("measured for", "split", "process", "ratio", "holds 1"), rows, numbers=(2,))
    holds = sum(one.holds_one for one in check.comparisons)
    says = (
        f"Half of the baseline's blocks over the other half, in each of {_processes(len(rows))}: "
        f"{holds} of {len(rows)} intervals hold 1."
    )
    return joined(*parts, plot("check", says, data, low=True))


def _processes(count: int) -> str:
    return f"{count} process" + ("" if count == 1 else "es")


def _measured(index: int, found: Measured) -> Html:
    name = (
        "Baseline"
        if found.number < 0
        else f"Trial {found.number}, {_ROLES.get(found.role, found.role)}"
    )
    blocks = sum(len(session.blocks) for session in found.sessions)
    facts = [joined("estimate ", figure(found.estimate))] if found.estimate else []
    facts += [joined("from ", figure(found.samples), " values")] if found.samples else []
    took = joined("measured in ", figure(found.took))
    facts += [escaped("answered from the store") if found.reused else took]
    says = (
        f"{found.metric} of {name[0].lower()}{name[1:]} on {found.split}: "
        f"{plural(blocks, 'block')} in {_processes(len(found.sessions))}, each dot a request, each "
        f"bar a block's median. {_disturbed(found.sessions)}"
    )
    return joined(
        tag("h3", f"{name}: {found.metric} ({found.split})"),
        tag("p", Html(", ".join(facts)), "."),
        plot(f"blocks:{index}", says.strip(), _blocks(found), low=True),
    )


def _disturbed(sessions: tuple[Session, ...]) -> str:
    repeated = sum(session.repeated for session in sessions)
    kept = sum(session.disturbed for session in sessions)
    if not repeated and not kept:
        return "No block was disturbed."
    text = f"{plural(repeated, 'pair')} of blocks measured again because something disturbed them"
    return f"{text}; {kept} of those kept were disturbed nevertheless." if kept else f"{text}."


def _blocks(found: Measured) -> Html:
    rows = []
    for at, session in enumerate(found.sessions):
        load = "" if session.load_before is None else f"{session.load_before:.2g}"
        for number, block in enumerate(session.blocks):
            rows.append(
                (
                    at + 1,
                    number + 1,
                    f"{block.median:.4g}",
                    "" if block.baseline_median is None else f"{block.baseline_median:.4g}",
                    len(block.values) + block.left_out,
                    "" if block.disturbance is None else f"{block.disturbance:.3g}",
                    load,
                )
            )
    unit = f" ({found.unit})" if found.unit else ""
    titles = (
        "process",
        "block",
        f"median{unit}",
        f"baseline{unit}",
        "values",
        "disturbance",
        "load",
    )
    source = tag("details", tag("summary", "Query"), tag("pre", found.source))
    return joined(table(titles, rows, numbers=range(7)), source)


def stages(found: Stages) -> Html:
    """Time spent and saved, by pass, by evaluator, and by stage in the tree of pipelines."""
    said = (
        (found.spent, " spent in stages"),
        (found.saved, " saved by results that were there already"),
        (found.measuring, " spent on measuring"),
        (found.hit_rate, " of the stages came from the store"),
    )
    totals = [
        joined(figure(total), words)
        for total, words in said
        if total is not None and total.value is not None
    ]
    parts = [listing(totals)]
    rows = [_total(total) for total in found.passes]
    rows += [_total(total, "measuring: ") for total in found.evaluators]
    if rows:
        data = table(
            ("what", "runs", "from the store", "spent", "saved"), rows, numbers=(1, 2, 3, 4)
        )
        parts.append(plot("costs", _costs_say(found), data))
    return joined(*parts, _tree(found))


def _costs_say(found: Stages) -> str:
    all_of_them = [*found.passes, *found.evaluators]
    most = max(all_of_them, key=lambda total: total.spent.value or 0)
    return f"Time by pass and evaluator; most was spent on {most.name}: {most.spent.text}."


def _total(total: StageTotal, before: str = "") -> tuple[object, ...]:
    figures = (total.runs, total.hits, total.spent, total.saved)
    return (f"{before}{total.name}", *map(figure, figures))


def _tree(found: Stages) -> Html:
    if not found.roots:
        return Html()
    nodes = [(depth, node) for root in found.roots for depth, node in _walk(root, 0)]
    most = max((_seconds(node.spent) + _seconds(node.saved) for _, node in nodes), default=0.0)
    kinds = list(dict.fromkeys(node.kind for _, node in nodes))
    parts = [tag("h3", "The stages' tree")]
    key = [
        tag("span", class_="key"),
        "spent  ",
        tag("span", class_="key saved"),
        "saved: what the results that were there already would have cost",
    ]
    parts.append(tag("p", tag("small", *key)))
    for kind in kinds:
        caption = _KINDS.get(kind, kind)
        rows = [_node(depth, node, most) for depth, node in nodes if node.kind == kind]
        titles = ("stage", "values", "", "spent", "saved", "runs", "reused", "trials", "size")
        parts.append(
            table(
                titles,
                rows,
                caption=caption,
                numbers=range(3, 9),
                wide=(1,),
                kind="tree",
                tall=len(rows) > _LONG,
            )
        )
    if found.more:
        parts.append(
            tag("p", f"{plural(found.more, 'further stage')} left out here, not in the sums.")
        )
    return joined(*parts)


def _walk(node: StageNode, depth: int) -> Iterator[tuple[int, StageNode]]:
    yield depth, node
    for child in node.children:
        yield from _walk(child, depth + 1)


def _seconds(found: Figure) -> float:
    return float(found.value or 0)


def _node(depth: int, node: StageNode, most: float) -> tuple[object, ...]:
    share = f" ({node.share:.0%} of its training)" if node.share < 1 else ""
    more = f", and {node.more:,} more below" if node.more else ""
    step = tag(
        "span",
        f"{node.step}{share}",
        tag("small", more),
        style=f"padding-left: {1.1 * depth:.1f}rem",
    )
    spent, saved, *others = map(
        figure, (node.spent, node.saved, node.hits, node.trials, node.bytes)
    )
    failed = tag("small", " (", figure(node.failed), " failed)") if node.failed.value else ""
    runs = joined(figure(node.runs), failed)
    return (step, node.parameters, _track(node, most), spent, saved, runs, *others)


def _track(node: StageNode, most: float) -> Html:
    spent, saved = (100 * _seconds(f) / (most or 1) for f in (node.spent, node.saved))
    bars = [
        tag("i", style=f"width: {spent:.1f}%"),
        tag("i", class_="saved", style=f"left: {spent:.1f}%; width: {saved:.1f}%"),
    ]
    return tag("span", *bars, class_="track", aria_hidden="true")
