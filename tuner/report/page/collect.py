"""Collects a study's report from its database alone.

Knows nothing of how the report is shown, and of no store, space file or plug-in.
"""

from __future__ import annotations

import time

from tuner.report.page.collect_answer import collect_answer
from tuner.report.page.collect_context import Context
from tuner.report.page.collect_effects import collect_effects
from tuner.report.page.collect_environment import collect_data, collect_environment
from tuner.report.page.collect_failures import collect_failures
from tuner.report.page.collect_head import collect_head
from tuner.report.page.collect_progress import collect_progress
from tuner.report.page.collect_quality import collect_quality
from tuner.report.page.collect_recipe import collect_recipe
from tuner.report.page.collect_stages import collect_stages
from tuner.report.page.collect_trials import collect_front, collect_trials, shown_trials
from tuner.report.page.document import Document
from tuner.report.why import reasons
from tuner.study.api import Study
from tuner.study.reader import StudyReader


def collect(study: Study, reader: StudyReader) -> Document:
    """All that the report of a study says.

    `reader`: of the database that `study` is in. StudyNotFoundError and DatabaseError as the
    reader's.
    """
    context = Context(study, reader)
    found = reasons(study)
    shown = shown_trials(context)
    return Document(
        head=collect_head(context),
        answer=collect_answer(context, found),
        front=collect_front(context, shown),
        effects=collect_effects(context, found),
        trials=collect_trials(context, shown),
        progress=collect_progress(context),
        quality=collect_quality(context),
        stages=collect_stages(context),
        failures=collect_failures(context),
        environment=collect_environment(context),
        recipe=collect_recipe(context),
        data=collect_data(context),
        collected_at=time.time(),
    )
