from __future__ import annotations

import math

import pytest

from search_spaces.units import (
    UnitError,
    format_quantity,
    parse_duration,
    parse_quantity,
    parse_size,
    to_canonical,
)


@pytest.mark.parametrize(
    ("text", "canonical", "value"),
    [
        ("50ms", "s", 0.05),
        (" 50 ms ", "s", 0.05),
        ("1.5s", "s", 1.5),
        ("20us", "s", 20e-6),
        ("20µs", "s", 20e-6),
        ("7ns", "s", 7e-9),
        ("1e-3s", "s", 1e-3),
        ("80MB", "B", 80e6),
        ("1KiB", "B", 1024),
        ("2GiB", "B", 2 * 2**30),
        ("512B", "B", 512),
        ("90%", "fraction", 0.9),
        ("0.9", "fraction", 0.9),
        ("171tokens/s", "tokens/s", 171),
        ("12.5", "", 12.5),
        (".5", "", 0.5),
        ("-3", "", -3),
    ],
)
def test_a_quantity_is_read_into_its_canonical_unit(
    text: str, canonical: str, value: float
) -> None:
    number, unit = parse_quantity(text)
    assert to_canonical(number, unit, canonical, "x") == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ms", "'ms' is not a number"),
        ("", "is not a number"),
        ("0,9", "write 0.9"),
        ("5 m s", "is not a number"),
        ("1e999", "too large"),
        ("5mb", "did you mean 'MB'"),
        ("5sec", "unknown unit 'sec'"),
        ("5 token/s", "did you mean 'tokens/s'"),
    ],
)
def test_what_is_no_quantity_is_refused(text: str, message: str) -> None:
    with pytest.raises(UnitError, match=message):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("unit", "canonical", "message"),
    [
        (None, "s", "latency is a time: ns, us, ms or s; found 5 without a unit"),
        ("MB", "s", "latency is a time: ns, us, ms or s; found MB"),
        ("ms", "fraction", "latency is a fraction: 0.9 or 90%; found ms"),
        ("%", "", "latency is a plain number, without a unit; found %"),
    ],
)
def test_a_unit_of_another_kind_is_refused(unit: str | None, canonical: str, message: str) -> None:
    with pytest.raises(UnitError) as caught:
        to_canonical(5, unit, canonical, "latency")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("8m", 480.0),
        ("8min", 480.0),
        ("90s", 90.0),
        ("90", 90.0),
        ("1h30m", 5400.0),
        ("1h 30m 5s", 5405.0),
        ("1.5h", 5400.0),
        ("500ms", 0.5),
        ("2d", 172800.0),
    ],
)
def test_a_duration_may_have_several_parts(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "m", "1h30", "soon", "1:30", "5 parsecs", "0s", "-5s", "1e999"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UnitError):
        parse_duration(text)


@pytest.mark.parametrize(("text", "size"), [("4GB", 4 * 10**9), ("1.5KiB", 1536), ("7B", 7)])
def test_a_size_is_whole_bytes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["4", "4ms", "0GB", "-1GB", "big"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UnitError):
        parse_size(text)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.00587, "s", "5.87 ms"),
        (1.2399, "s", "1.24 s"),
        (0.9996, "s", "1.00 s"),
        (0.05, "s", "50.0 ms"),
        (2.5e-7, "s", "250 ns"),
        (1e-12, "s", "0.00100 ns"),
        (123.4, "s", "123 s"),
        (0.0, "s", "0 s"),
        (-0.002, "s", "-2.00 ms"),
        (82_345_678, "B", "82.3 MB"),
        (540e6, "B", "540 MB"),
        (999_900, "B", "1.00 MB"),
        (12, "B", "12 B"),
        (0, "B", "0 B"),
        (0.9381, "fraction", "93.8 %"),
        (1.0, "fraction", "100 %"),
        (0.0, "fraction", "0 %"),
        (170.7, "tokens/s", "171 tokens/s"),
        (12345.0, "", "12300"),
        (8.0, "", "8.00"),
        (math.inf, "", "inf"),
        (math.nan, "s", "nan s"),
    ],
)
def test_a_quantity_is_written_with_three_digits(value: float, unit: str, text: str) -> None:
    assert format_quantity(value, unit) == text
