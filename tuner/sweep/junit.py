"""A night as JUnit XML, which CI systems show as tests: a suite per entry, a case per metric.

Regressions are failures, what failed is an error, what cannot be told is skipped. Knows nothing of
how a night is judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from tuner.sweep.changes import Change, Comparison, Event, Verdict
from tuner.sweep.records import EntryResult, Night
from tuner.sweep.wording import STATES, event_text, message, of_what, plain, size_text

_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, even escaped."""


def junit(night: Night, comparison: Comparison) -> str:
    """The document, with its declaration."""
    root = Element("testsuites", {"name": _text(f"{night.sweep} {night.name}")})
    suites = [_suite(night, entry, comparison) for entry in night.entries]
    root.extend(suites)
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in suites)))
    root.set("time", f"{sum(entry.seconds for entry in night.entries):.3f}")
    indent(root)
    return f"<?xml version='1.0' encoding='utf-8'?>\n{tostring(root, encoding='unicode')}\n"


def _suite(night: Night, entry: EntryResult, comparison: Comparison) -> Element:
    started = datetime.fromtimestamp(night.started, UTC)
    suite = Element(
        "testsuite",
        {
            "name": _text(f"{night.sweep}.{entry.name}"),
            "timestamp": started.strftime("%Y-%m-%dT%H:%M:%S"),
            "hostname": _text(night.machine.get("cpu", "unknown")),
            "time": f"{entry.seconds:.3f}",
        },
    )
    suite.append(_properties(night, comparison))
    changes, events = comparison.of_entry(entry.name)
    cases = [*_states(entry, events), *(_of_event(e) for e in events)]
    cases += [_of_change(change, comparison) for change in changes]
    for case in cases:
        case.set("classname", suite.get("name", ""))
        case.set("time", f"{entry.seconds:.3f}" if case is cases[0] else "0.000")
    suite.extend(cases)
    counted = {"tests": len(cases)} | _counts(cases)
    for name, count in counted.items():
        suite.set(name, str(count))
    return suite


def _counts(cases: Iterable[Element]) -> dict[str, int]:
    names = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    return {many: sum(c.find(one) is not None for c in cases) for many, one in names.items()}


def _properties(night: Night, comparison: Comparison) -> Element:
    found = Element("properties")
    values = {"night": night.name, "reference": comparison.reference or "none"}
    values |= {"program": night.program, "commit": night.commit or "none"}
    values |= {name: version or "none" for name, version in night.versions.items()}
    for name, value in values.items():
        SubElement(found, "property", {"name": _text(name), "value": _text(value)})
    return found


def _states(entry: EntryResult, events: Iterable[Event]) -> Iterator[Element]:
    """Whether there is an answer; its failure is the event's to tell."""
    if any(event.kind in ("failed", "nothing_fits") for event in events):
        return
    case = Element("testcase", {"name": "there is an answer"})
    if entry.state in ("skipped", "unfinished"):
        reason = f"{STATES[entry.state]}: {entry.message or 'not run'}"
        SubElement(case, "skipped", {"message": _text(reason)})
    yield case


def _of_event(event: Event) -> Element:
    names = {
        "failed": "there is an answer",
        "nothing_fits": "there is an answer",
        "unbuildable": "the reference's answer can be made",
        "limits": "the reference's answer meets the constraints",
        "unwatched": "an answer was measured on both nights",
        "repaired": "it works again",
    }
    case = Element("testcase", {"name": names[event.kind]})
    text = event_text(event)
    if event.error:
        _told(case, "error", event.kind, text)
    elif event.regression:
        _told(case, "failure", event.kind, text)
    elif event.kind in ("limits", "unwatched", "nothing_fits"):
        SubElement(case, "skipped", {"message": _text(text)})
    return case


def _of_change(change: Change, comparison: Comparison) -> Element:
    case = Element("testcase", {"name": _text(of_what(change))})
    text = message(change, comparison)
    if change.subject == "anchor":
        SubElement(case, "system-out").text = _text(text)
    elif change.verdict is Verdict.REGRESSION:
        _told(case, "failure", "regression", text)
    elif change.verdict is Verdict.UNDECIDED:
        SubElement(case, "skipped", {"message": _text(text)})
    else:
        SubElement(case, "system-out").text = _text(size_text(change))
    return case


def _told(case: Element, tag: str, kind: str, text: str) -> None:
    SubElement(case, tag, {"message": _text(text), "type": kind}).text = _text(text)


def _text(text: str) -> str:
    return _FORBIDDEN.sub(" ", plain(text))
