from __future__ import annotations

from typing import Literal

import pytest
from sample_space import VOCABULARY

from search_spaces.constraints import Constraint, Limit, Objective, Operator
from search_spaces.expressions import (
    ExpressionError,
    contradictions,
    parse_bound,
    parse_constraint,
    parse_objective,
)


def constraint(text: str) -> Constraint:
    return parse_constraint(text, VOCABULARY)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("latency<50ms", ("latency", None, Operator.LT, Limit(0.05))),
        (" latency  <=  50  ms ", ("latency", None, Operator.LE, Limit(0.05))),
        ("latency.p95<1s", ("latency", "p95", Operator.LT, Limit(1.0))),
        ("latency.p50<1s", ("latency", None, Operator.LT, Limit(1.0))),
        ("size<=80MB", ("size", None, Operator.LE, Limit(80e6))),
        ("throughput>100tokens/s", ("throughput", None, Operator.GT, Limit(100))),
        ("throughput>=100 tokens / s", ("throughput", None, Operator.GE, Limit(100))),
        ("accuracy>=90%", ("accuracy", None, Operator.GE, Limit(0.9))),
        ("accuracy>=0.9", ("accuracy", None, Operator.GE, Limit(0.9))),
        ("accuracy>0", ("accuracy", None, Operator.GT, Limit(0.0))),
        ("perplexity<12.5", ("perplexity", None, Operator.LT, Limit(12.5))),
        ("accuracy>=baseline", ("accuracy", None, Operator.GE, Limit(0.0, 1.0))),
        ("accuracy>=baseline-2%", ("accuracy", None, Operator.GE, Limit(-0.02, 1.0))),
        ("accuracy>=baseline - 0.02", ("accuracy", None, Operator.GE, Limit(-0.02, 1.0))),
        ("accuracy>=0.9*baseline", ("accuracy", None, Operator.GE, Limit(0.0, 0.9))),
        ("accuracy>=90%*baseline", ("accuracy", None, Operator.GE, Limit(0.0, 0.9))),
        ("latency<=0.5*baseline", ("latency", None, Operator.LE, Limit(0.0, 0.5))),
        ("latency<=baseline*0.5", ("latency", None, Operator.LE, Limit(0.0, 0.5))),
        ("latency<=baseline+10%", ("latency", None, Operator.LE, Limit(0.0, 1.1))),
        ("throughput>=baseline-10%", ("throughput", None, Operator.GE, Limit(0.0, 0.9))),
        ("perplexity<=baseline+5%", ("perplexity", None, Operator.LE, Limit(0.0, 1.05))),
        ("perplexity<=baseline+0.5", ("perplexity", None, Operator.LE, Limit(0.5, 1.0))),
        ("latency<=baseline+5ms", ("latency", None, Operator.LE, Limit(0.005, 1.0))),
        ("tpot<=0.5*baseline+1ms", ("tpot", None, Operator.LE, Limit(0.001, 0.5))),
    ],
)
def test_a_constraint_is_read(text: str, expected: tuple[str, str | None, Operator, Limit]) -> None:
    assert constraint(text) == Constraint("".join(text.split()), *expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "compares nothing"),
        ("latency", "compares nothing"),
        ("<50ms", "expected METRIC or METRIC.STATISTIC"),
        ("latency<", "the limit is missing after latency<"),
        ("latency<fast", "'fast' is no limit"),
        ("latency<tpot", "'tpot' is no limit"),
        ("latency<50", "latency<50ms"),
        ("latency.p95<=5", "latency.p95<=5ms"),
        ("size<50", "size<50MB"),
        ("latency<=baseline+5", "did you mean baseline\\+5ms"),
        ("latency<50%", "latency is a time"),
        ("perplexity<5ms", "a plain number"),
        ("latency=50ms", "write latency<=50ms"),
        ("accuracy==0.9", "write accuracy>=0.9"),
        ("latency=<50ms", "write latency<=50ms"),
        ("latency≤50ms", "write latency<=50ms"),
        ("latency!=50ms", "no comparison of limits"),
        ("50ms<=throughput", "write the metric first: throughput>=50ms"),
        ("1ms<latency<5ms", "one constraint for each bound"),
        ("latncy<5ms", "did you mean 'latency'"),
        ("speed<5ms", "expected latency, ttft, tpot"),
        ("latency.p59<5ms", "did you mean 'p95'"),
        ("size.p50<5MB", "size has no statistics; write size"),
        ("latency.p50.x<5ms", "expected METRIC or METRIC.STATISTIC"),
        ("latency<=0.5*baseline+10%", "ambiguous; write 0.55\\*baseline or 0.6\\*baseline"),
        ("latency<=2*baseline*2", "multiplied twice"),
        ("latency<=baseline-100%", "nothing of the baseline"),
        ("latency<=0*baseline", "nothing of the baseline"),
        ("latency<=baseline+1MB", "latency is a time"),
        ("latency<=baseline+-1ms", "is no limit"),
        ("accuracy>=120%", "between 0 and 1"),
        ("accuracy>=90", "did you mean 90%"),
        ("accuracy<-0.1", "between 0 and 1"),
        ("accuracy>=baseline-150%", "between 0 and 1"),
        ("latency<0ms", "always above zero"),
        ("size>-5MB", "always above zero"),
        ("latency<1e999s", "too large"),
    ],
)
def test_what_is_no_constraint_is_refused_with_the_cure(text: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        constraint(text)


@pytest.mark.parametrize(
    ("kind", "text", "same"),
    [
        ("max", "latency=50ms", "latency<=50ms"),
        ("min", "accuracy = 0.9", "accuracy>=0.9"),
        ("min", "accuracy=baseline-2%", "accuracy>=baseline-2%"),
        ("max", "latency.p95=0.5*baseline", "latency.p95<=0.5*baseline"),
    ],
)
def test_a_bound_is_a_constraint_without_angle_brackets(
    kind: Literal["max", "min"], text: str, same: str
) -> None:
    assert parse_bound(kind, text, VOCABULARY) == constraint(same)


@pytest.mark.parametrize(
    "text", ["latency", "latency=", "=5ms", "latency<5ms", "latency<=5ms", "a=b=c"]
)
def test_what_is_no_bound_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse_bound("max", text, VOCABULARY)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("minimize latency", Objective("minimize latency", "latency", None, True)),
        ("maximize  accuracy ", Objective("maximize accuracy", "accuracy", None, False)),
        ("minimize latency.p95", Objective("minimize latency.p95", "latency", "p95", True)),
        ("minimize latency.p50", Objective("minimize latency", "latency", None, True)),
    ],
)
def test_an_objective_is_read(text: str, expected: Objective) -> None:
    assert parse_objective(text, VOCABULARY) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected minimize METRIC"),
        ("latency", "expected minimize METRIC"),
        ("minimise latency", "did you mean 'minimize'"),
        ("maximize latency", "write minimize latency"),
        ("minimize accuracy", "write maximize accuracy"),
        ("minimize latency accuracy", "expected minimize METRIC"),
        ("minimize latncy", "did you mean 'latency'"),
    ],
)
def test_what_is_no_objective_is_refused(text: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        parse_objective(text, VOCABULARY)


@pytest.mark.parametrize(
    "texts",
    [
        ("latency<50ms", "latency>60ms"),
        ("latency<50ms", "latency>=50ms"),
        ("latency<=50ms", "latency>0.05s"),
        ("accuracy>90%", "accuracy<0.9"),
        ("latency.p95<1s", "latency.p95>2s"),
        ("latency<1s", "latency.p50>2s"),
    ],
)
def test_constraints_that_nothing_satisfies_contradict(texts: tuple[str, str]) -> None:
    for first, second in (texts, texts[::-1]):
        [(index, message)] = contradictions([constraint(first), constraint(second)])
        assert index == 1
        assert message.startswith(f"{second} contradicts {first}")


@pytest.mark.parametrize(
    "texts",
    [
        ("latency<=50ms", "latency>=50ms"),
        ("latency<50ms", "latency<60ms"),
        ("latency<50ms", "latency.p95>60ms"),
        ("latency<50ms", "ttft>60ms"),
        ("latency<50ms", "latency>=2*baseline"),
    ],
)
def test_constraints_that_can_hold_together_do_not_contradict(texts: tuple[str, str]) -> None:
    assert contradictions([constraint(text) for text in texts]) == []
