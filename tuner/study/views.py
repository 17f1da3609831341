"""The public views: what dashboards and people read with SQL. Documented in docs/database.md.

One spelling for SQLite and PostgreSQL. Values that few queries read come from subqueries rather
than joins, so that other queries do not pay for them. Knows nothing of events or engines.
"""

from __future__ import annotations

_OBJECTIVE = """(SELECT v.value FROM tune_values v WHERE v.study_id = t.study_id
     AND v.number = t.number AND v.position = {0}) AS objective_{0}"""
_OBJECTIVES = ",\n    ".join(_OBJECTIVE.format(position) for position in (1, 2, 3))

_COUNT = "(SELECT COUNT(*) FROM tune_trials t WHERE t.study_id = s.id AND t.role = 'trial'{0})"
_ENDED = " AND t.state IN ('complete', 'built')"

VIEWS = {
    "tuner_studies": f"""
SELECT s.name AS study, s.space_name AS space, s.model, s.fingerprint, s.chosen,
    {_COUNT.format("")} AS trials,
    {_COUNT.format(_ENDED)} AS complete,
    {_COUNT.format(f"{_ENDED} AND t.verdict = 'feasible'")} AS feasible,
    {_COUNT.format(" AND t.reason IS NOT NULL")} AS failures,
    (SELECT COUNT(*) FROM tune_trials t WHERE t.study_id = s.id AND t.on_front) AS front,
    (SELECT SUM(r.last_event_at - r.started_at) FROM tune_runs r WHERE r.study_id = s.id)
        AS seconds,
    s.created_at,
    (SELECT MAX(r.last_event_at) FROM tune_runs r WHERE r.study_id = s.id) AS last_event_at,
    s.objectives, s.constraints, s.settings, s.environment
FROM tune_studies s""",
    "tuner_trials": f"""
SELECT s.name AS study, t.number, t.role, t.state, t.verdict,
    {_OBJECTIVES},
    t.seconds, t.on_front, t.front_since, t.front_until, t.started_at, t.finished_at,
    t.reason, t.message, t.failed_where, t.deterministic, t.log, t.origin, t.run_id AS run,
    (SELECT c.candidate FROM tune_candidates c
     WHERE c.study_id = t.study_id AND c.number = t.number) AS candidate,
    (SELECT c.parameters FROM tune_candidates c
     WHERE c.study_id = t.study_id AND c.number = t.number) AS parameters
FROM tune_studies s JOIN tune_trials t ON t.study_id = s.id""",
    "tuner_params": """
SELECT s.name AS study, p.number, p.name, p.value, p.value_number
FROM tune_studies s JOIN tune_parameters p ON p.study_id = s.id""",
    "tuner_objectives": """
SELECT s.name AS study, v.number, v.position, o.objective, o.metric, o.statistic, o.minimize,
    v.value, t.role, t.state, t.verdict, t.on_front, t.finished_at
FROM tune_studies s
JOIN tune_objectives o ON o.study_id = s.id
JOIN tune_trials t ON t.study_id = s.id
JOIN tune_values v
    ON v.study_id = s.id AND v.number = t.number AND v.position = o.position""",
    "tuner_metrics": """
SELECT s.name AS study, m.number, m.metric, NULLIF(m.statistic, '') AS statistic, m.split,
    m.value, m.low, m.high, m.unit, m.samples, m.evaluator, m.ratio, m.ratio_low, m.ratio_high
FROM tune_studies s JOIN tune_metrics m ON m.study_id = s.id""",
    "tuner_measurements": """
SELECT s.name AS study, m.number, m.evaluator, m.split, m.key, m.cached, m.seconds,
    m.measured_at, (SELECT d.detail FROM tune_details d WHERE d.hash = m.detail_hash) AS detail
FROM tune_studies s JOIN tune_measurements m ON m.study_id = s.id""",
    "tuner_constraints": """
SELECT s.name AS study, c.number, c.position, c.text, c.metric, c.statistic, c.limit_value,
    c.value, c.verdict, c.violation
FROM tune_studies s JOIN tune_constraints c ON c.study_id = s.id""",
    "tuner_front": f"""
SELECT s.name AS study, t.number,
    {_OBJECTIVES},
    t.front_since AS since,
    (SELECT c.candidate FROM tune_candidates c
     WHERE c.study_id = t.study_id AND c.number = t.number) AS candidate,
    (SELECT c.parameters FROM tune_candidates c
     WHERE c.study_id = t.study_id AND c.number = t.number) AS parameters
FROM tune_studies s JOIN tune_trials t ON t.study_id = s.id
WHERE t.on_front""",
    "tuner_stages": """
SELECT s.name AS study, g.number, g.position, g.step, g.pass, g.key, g.outcome, g.cached,
    g.seconds, g.bytes, g.peak_memory, g.log, g.started_at, g.finished_at,
    COALESCE(g.share, 1.0) AS share
FROM tune_studies s JOIN tune_stages g ON g.study_id = s.id""",
    "tuner_runs": """
SELECT s.name AS study, r.id AS run, r.started_at, r.last_event_at, r.stopped_at, r.reason,
    r.owner, r.last_event_at - r.started_at AS seconds
FROM tune_studies s JOIN tune_runs r ON r.study_id = s.id""",
    "tuner_confirmations": """
SELECT s.name AS study, c.number, c.confirmed_at, c.estimates, c.baseline, c.verdict, c.constraints
FROM tune_studies s JOIN tune_confirmations c ON c.study_id = s.id""",
    "tuner_events": """
SELECT e.id, s.name AS study, e.at, e.kind, e.number, e.body
FROM tune_studies s JOIN tune_events e ON e.study_id = s.id""",
}
"""View name -> its SELECT, in the order in which they are made."""
