"""A document as a study would give it, made by hand: every section has something in it."""

from __future__ import annotations

import itertools

from tuner.report.page.document import (
    Answer,
    AnswerMetric,
    Axis,
    AxisLimit,
    Block,
    Cell,
    Column,
    Command,
    Comparison,
    Count,
    DataCheck,
    Difference,
    Document,
    EffectLine,
    Environment,
    Fact,
    FailureGroup,
    Failures,
    Figure,
    Finding,
    Front,
    FrontPoint,
    Head,
    ImportanceLine,
    Limit,
    Measured,
    MetricEffects,
    Parameter,
    PipelineStep,
    Point,
    Progress,
    Quality,
    Recipe,
    SelfCheck,
    Series,
    Session,
    Split,
    StageNode,
    Stages,
    StageTotal,
    Trials,
    Use,
)
from tuner.report.page.figures import figure

_NUMBERS = itertools.count()

STATES = ("complete", "complete", "complete", "screened", "stopped", "failed", "running")
VERDICTS = ("feasible", "infeasible", "undecided", "infeasible", None, None, None)


def fig(
    value: float | None,
    form: str = "count",
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
) -> Figure:
    source = f"SELECT value FROM tuner_metrics WHERE number = {next(_NUMBERS)}"
    return figure(value, form, source, unit=unit, ends=(low, high))


def cell(value: float, unit: str, spread: float = 0.05) -> Cell:
    found = fig(value, "quantity", unit, value * (1 - spread), value * (1 + spread))
    return Cell(value, found.text, found.low, found.high)


def document(
    name: str = "sample", trials: int = 24, *, objectives: int = 2, value: str = "int8"
) -> Document:
    """A finished study called `name`; `value`: one of the values of a decision."""
    return Document(
        head=_head(name, trials),
        answer=_answer(value),
        front=_front(trials, objectives, value),
        effects=(_effects(value),),
        trials=_trials(trials, value),
        progress=_progress(trials),
        quality=_quality(),
        stages=_stages(value),
        failures=_failures(value),
        environment=_environment(value),
        recipe=Recipe(f"model: x\nvalue: {value}\n", 4, "model: x\n", "space.yaml", "", "SELECT 1"),
        data=DataCheck(
            (Split("dev", 40, ((value, 20), ("calm", 20)), "majority 50 %"),),
            (Finding("leaked", f"3 rows of test are in train: {value}", warning=True),),
            "SELECT body FROM tuner_events",
        ),
        collected_at=1_800_000_000.0,
    )


def _head(name: str, trials: int) -> Head:
    return Head(
        study=name,
        space="sample",
        model="models/tiny",
        sweep=None,
        night=None,
        entry=None,
        state="finished",
        state_text="Finished 2026-11-21 22:00 UTC: all trials were tried.",
        created=fig(1_799_999_000.0, "moment"),
        last_event_at=fig(1_800_000_000.0, "moment"),
        seconds=fig(582.0, "duration"),
        trials=fig(trials),
        states=(
            Count("complete", "with numbers", fig(trials - 2)),
            Count("failed", "failed", fig(2)),
        ),
        objectives=("minimize latency", "maximize accuracy"),
        constraints=("latency<50ms",),
        program="tuner 0.1.0",
        schema_version=1,
        last_event=fig(312),
    )


def _answer(value: str) -> Answer:
    latency = fig(0.041, "quantity", "s", 0.039, 0.043)
    again = fig(0.042, "quantity", "s", 0.040, 0.044)
    base = fig(0.090, "quantity", "s", 0.085, 0.095)
    accuracy = fig(0.91, "quantity", "fraction", 0.86, 0.94)
    return Answer(
        kind="chosen",
        title="Chosen: trial 4",
        sentence="Of 5, nearest to the best of all.",
        trial=4,
        decisions=(f"precision={value}",),
        pipeline=(
            PipelineStep("lora", "lora", (Parameter("r", "16", chosen=True),)),
            PipelineStep("genai_builder", "genai_builder", (Parameter("precision", value, True),)),
        ),
        metrics=(
            AnswerMetric(
                "latency",
                "latency",
                "s",
                "minimize",
                latency,
                again,
                base,
                base,
                fig(0.467, "ratio", "", 0.44, 0.49),
                better=True,
            ),
            AnswerMetric(
                "accuracy",
                "accuracy",
                "fraction",
                "maximize",
                accuracy,
                accuracy,
                accuracy,
                None,
                fig(-0.01, "points", "", -0.04, 0.02),
                better=None,
            ),
        ),
        limits=(
            Limit(
                "latency<50ms",
                "latency",
                fig(0.05, "quantity", "s"),
                latency,
                "feasible",
                "feasible",
                "its whole interval is below the limit",
            ),
        ),
        notes=("accuracy floors on dev: the majority class has 50 %",),
        mattered=(f"latency: precision {value} x0.47 (0.44 to 0.49)",),
        use=Use(
            "genai",
            "model/ is a folder of ONNX Runtime GenAI.",
            "python",
            "import onnxruntime_genai as og\n\nmodel = og.Model('model')",
            (("tune --space recipe.yaml", "makes it again"),),
        ),
    )


def _kind(number: int) -> tuple[str, str | None]:
    return STATES[number % len(STATES)], VERDICTS[number % len(VERDICTS)]


def _values(number: int, objectives: int) -> tuple[Cell | None, ...]:
    if _kind(number)[0] in ("failed", "running"):
        return (None,) * objectives
    latency = cell(0.03 + 0.003 * (number * 7 % 23), "s")
    accuracy = cell(0.6 + 0.015 * (number * 5 % 19), "fraction")
    size = cell(1e7 * (1 + number % 5), "B", 0.0)
    return (latency, accuracy, size)[:objectives]


def _on_front(number: int) -> bool:
    return _kind(number)[1] == "feasible" and number % 2 == 0


def _front(trials: int, objectives: int, value: str) -> Front:
    names: tuple[tuple[str, str, str], ...] = (
        ("latency", "s", "minimize"),
        ("accuracy", "fraction", "maximize"),
    )
    names = (*names, ("size", "B", "minimize"))[:objectives]
    axes = tuple(Axis(n, n, unit, "quantity", way, "SELECT 1") for n, unit, way in names)
    points = tuple(
        FrontPoint(
            n, *_kind(n), _on_front(n), n == 14, _values(n, objectives), (f"precision={value}",)
        )
        for n in range(trials)
        if _values(n, objectives)[0] is not None
    )
    base = (cell(0.09, "s"), cell(0.9, "fraction"), cell(9e7, "B", 0.0))[:objectives]
    return Front(
        axes=axes,
        points=points,
        limits=(AxisLimit(0, "latency<50ms", fig(0.05, "quantity", "s"), upper=True),),
        baseline=FrontPoint(-1, "baseline", None, False, False, base, ()),
        size=fig(3),
        sentence=f"{len(points)} trials by latency and accuracy.",
    )


def _trials(trials: int, value: str) -> Trials:
    columns = (
        Column("number", "#", "number"),
        Column("state", "state", "state"),
        Column("verdict", "verdict", "verdict"),
        Column("on_front", "front", "flag"),
        Column("chosen", "chosen", "flag"),
        Column("lora.r", "lora.r", "decision", numeric=True),
        Column("precision", "precision", "decision"),
        Column(
            "latency",
            "latency",
            "metric",
            "s",
            "quantity",
            False,
            "minimize",
            "SELECT value, low, high FROM tuner_metrics WHERE study = 's' AND number = :number",
        ),
        Column("accuracy", "accuracy", "metric", "fraction", "quantity", False, "maximize"),
        Column("failure", "failure", "text"),
    )
    rows = tuple(_row(n, value) for n in range(trials))
    return Trials(columns, rows, trials, fig(trials), "")


def _row(number: int, value: str) -> tuple[Cell | None, ...]:
    state, verdict = _kind(number)
    rank, precision = 4 ** (number % 3 + 1), ("fp32", value)[number % 2]
    return (
        Cell(number, str(number)),
        Cell(state, state),
        None if verdict is None else Cell(verdict, verdict),
        Cell(_on_front(number), "yes" if _on_front(number) else ""),
        Cell(number == 14, "yes" if number == 14 else ""),
        None if number % 5 == 4 else Cell(rank, str(rank)),
        Cell(precision, precision),
        *_values(number, 2),
        Cell(f"it broke: {value}", f"it broke: {value}") if state == "failed" else None,
    )


def _progress(trials: int) -> Progress:
    best = tuple(
        Point(n, 20.0 * n, 0.06 - 0.002 * n, f"{60 - 2 * n} ms")
        for n in range(0, min(trials, 14), 2)
    )
    size = tuple(Point(None, 20.0 * n, float(n // 2), f"{n // 2}") for n in range(0, trials, 2))
    return Progress(
        (Series("latency", "best latency so far", "s", "quantity", "minimize", best, "SELECT 1"),),
        Series("front", "candidates on the front", "", "count", "", size, "SELECT 2"),
    )


def _effects(value: str) -> MetricEffects:
    lines = (
        EffectLine(
            "precision",
            f"precision fp32 -> {value}",
            "fp32",
            value,
            fig(0.47, "ratio", "", 0.44, 0.49),
            True,
            (12, 12),
            5,
            "",
        ),
        EffectLine(
            "lora.r",
            "lora.r 4 -> 16",
            "4",
            "16",
            fig(1.02, "ratio", "", 0.95, 1.1),
            False,
            (8, 8),
            3,
            "",
        ),
    )
    shares = (ImportanceLine("precision", "precision", fig(0.8, "share"), ""),)
    return MetricEffects(
        "latency", "s", True, fig(20), "", shares, fig(0.1, "share"), lines, ("r",)
    )


def _quality() -> Quality:
    blocks = tuple(
        Block(
            tuple(0.04 + 0.001 * ((i * 7 + b) % 5) for i in range(8)),
            tuple(0.09 + 0.001 * ((i * 3 + b) % 5) for i in range(8)),
            0.042,
            0.092,
            "model",
            1.01,
            0,
        )
        for b in range(4)
    )
    session = Session(blocks, 1, 0, 0.4, 0.6, None, 1_800_000_000.0)
    measured = Measured(
        4,
        "chosen",
        "latency",
        "latency",
        "s",
        "dev",
        (session, session),
        fig(0.042, "quantity", "s", 0.04, 0.044),
        fig(64),
        fig(12.0, "duration"),
        False,
        "SELECT 3",
    )
    comparisons = tuple(
        Comparison(-1, i, "dev", fig(1.0 + 0.01 * i, "ratio", "", 0.97, 1.03), i < 3)
        for i in range(4)
    )
    check = SelfCheck(
        metric="latency",
        comparisons=comparisons,
        compared=4,
        share=fig(0.75, "share", "", 0.3, 0.95),
        expected=0.95,
        half_width=fig(0.03, "share"),
        sentence="Of 4 intervals 3 hold 1.",
        note="",
    )
    return Quality((measured,), check, "Two processes of each.")


def _node(step: str, children: tuple[StageNode, ...], value: str) -> StageNode:
    return StageNode(
        step,
        step,
        f"precision={value}",
        "pipeline",
        fig(3),
        fig(5),
        fig(0),
        fig(30.0, "duration"),
        fig(50.0, "duration"),
        fig(1e8, "quantity", "B"),
        1.0,
        fig(8),
        children,
        0,
    )


def _stages(value: str) -> Stages:
    root = _node(
        "lora", (_node("merge_adapter", (_node("genai_builder", (), value),), value),), value
    )
    total = StageTotal("lora", fig(3), fig(5), fig(30.0, "duration"), fig(50.0, "duration"))
    return Stages(
        (root,),
        (total,),
        (StageTotal("latency", fig(9), fig(0), fig(80.0, "duration"), fig(0.0, "duration")),),
        fig(90.0, "duration"),
        fig(150.0, "duration"),
        fig(80.0, "duration"),
        fig(0.6, "share"),
        0,
    )


def _failures(value: str) -> Failures:
    group = FailureGroup(
        "error", value, f"no such precision: {value}", fig(1), fig(2), (5, 12), True, None
    )
    return Failures(fig(2), (group,), (f"precision={value} is barred",), "2 of 24 trials failed.")


def _environment(value: str) -> Environment:
    return Environment(
        (Fact("cores", "2"),),
        (Fact("torch", "2.13.0"),),
        (Fact("seed", "0"), Fact("workers", value)),
        (Command(fig(1_799_999_000.0, "moment"), fig(582.0, "duration"), "trials", "host-1-2"),),
        (Difference("torch", ("2.12.0", "2.13.0")),),
        "SELECT environment FROM tuner_studies",
    )
