"""A night for GitHub Actions: annotations on its page, and the job's summary.

The syntax is that of workflow commands ("Workflow commands for GitHub Actions", GitHub's
documentation). Knows nothing of how a night is judged.
"""

from collections.abc import Mapping
from pathlib import Path

from tuner.sweep.changes import Comparison, Verdict
from tuner.sweep.markdown import summary
from tuner.sweep.records import Night
from tuner.sweep.wording import event_text, headline, message, plain

SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"
"""Names the file to which the job's summary is appended."""

_MOST = 1_000_000
"""Bytes of a summary: more than 1 MiB is refused."""


def annotations(night: Night, comparison: Comparison) -> list[str]:
    """A line per regression, failure and improvement, and one for the night."""
    title = f"sweep {night.sweep} {night.name}"
    found = [
        _command(
            "error" if event.regression or event.error else "warning",
            f"{title}: {event.entry}",
            event_text(event),
        )
        for event in comparison.events
        if event.kind != "repaired"
    ]
    for change in comparison.changes:
        level = _level(change.verdict, counts=change.subject != "anchor")
        if level is not None:
            text = message(change, comparison)
            found.append(_command(level, f"{title}: {change.entry}", text))
    level = "error" if comparison.exit_code else "notice"
    return [*found, _command(level, title, headline(night, comparison))]


def append_step_summary(
    night: Night, comparison: Comparison, environment: Mapping[str, str]
) -> None:
    """Append the night's summary to the job's, where the variable says that there is one. OSError.

    One that is too large for GitHub ends early and says so.
    """
    path = environment.get(SUMMARY_VARIABLE)
    if not path:
        return
    text = summary(night, comparison, links=False)
    data = text.encode("utf-8")
    if len(data) > _MOST:
        cut = data[:_MOST].decode("utf-8", "ignore").rpartition("\n")[0]
        text = f"{cut}\n\nThe rest is in summary.md.\n"
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(text)


def _level(verdict: Verdict, *, counts: bool) -> str | None:
    if verdict is Verdict.REGRESSION:
        return "error" if counts else "warning"
    if verdict is Verdict.UNDECIDED:
        return "warning" if counts else None
    return "notice" if verdict is Verdict.IMPROVEMENT and counts else None


def _command(level: str, title: str, text: str) -> str:
    return f"::{level} title={_property(plain(title))}::{_data(plain(text))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
