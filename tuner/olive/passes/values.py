"""Values of Olive's settings as values of our parameters: what fits, and what would.

Knows nothing of configs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search_spaces.problems import hint, listed, short
from search_spaces.vocabulary import ParameterSpec, type_names

PRECISIONS: Mapping[str, str] = {
    "float32": "fp32",
    "float": "fp32",
    "float16": "fp16",
    "bfloat16": "bf16",
    **{name: name for name in ("fp32", "fp16", "bf16", "int8", "int4")},
}
"""Olive's and torch's names of data types in ours."""

_BITS = {f"{sign}int{bits}": bits for sign in ("", "u") for bits in (2, 3, 4, 8, 16)}


class Unfit(Exception):
    """A value that our pass does not take.

    `is_wrong`: nobody could take it. `nearest`: what is used in its place, where something is.
    """

    def __init__(
        self,
        message: str,
        *,
        nearest: Any = None,
        is_wrong: bool = False,
        group: str = "values out of range",
    ) -> None:
        super().__init__(message)
        self.nearest = nearest
        self.is_wrong = is_wrong
        self.group = group


def wrong(value: Any, expected: str) -> Unfit:
    """What to raise for a value of the wrong sort."""
    return Unfit(f"found {shown(value)}, expected {expected}", is_wrong=True)


def shown(value: Any) -> str:
    """A value as a message names it."""
    if isinstance(value, str):
        return short(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (list, tuple)):
        return "a list"
    return "an object" if isinstance(value, Mapping) else f"the number {value}"


def fitted(spec: ParameterSpec, value: Any) -> Any:
    """The value as the parameter takes it; Unfit, with the nearest one, where it does not."""
    value = _typed(spec, value)
    if spec.choices is not None and value not in spec.choices:
        return _choose(spec, value)
    if spec.low is not None and not isinstance(value, list) and value is not None:
        bounded = min(max(value, spec.low), spec.high if spec.high is not None else value)
        if bounded != value:
            bounded = spec.type(bounded)
            message = f"{spec.name} goes from {spec.low:g} to {spec.high or 0:g} here: {bounded:g}"
            raise Unfit(message, nearest=bounded)
    return value


def _typed(spec: ParameterSpec, value: Any) -> Any:
    if value is None and spec.nullable:
        return None
    if spec.type is list:
        if isinstance(value, str):
            return [value]
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            return list(value)
        raise wrong(value, "a list of text")
    if spec.type is float:
        return _number(value)
    if spec.type is int:
        return _whole(value)
    if isinstance(value, bool) == (spec.type is bool) and isinstance(value, spec.type):
        return value
    raise wrong(value, type_names[spec.type])


def _number(value: Any) -> float:
    """A number; Olive takes texts of one too."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise wrong(value, "a number")
    try:
        number = float(value)
    except ValueError:
        raise wrong(value, "a number") from None
    if number != number or number in (float("inf"), float("-inf")):
        raise wrong(value, "a number")
    return number


def _whole(value: Any) -> int:
    number = _number(value)
    if number != int(number):
        raise wrong(value, "a whole number")
    return int(number)


def _choose(spec: ParameterSpec, value: Any) -> Any:
    known = [choice for choice in spec.choices or () if choice is not None]
    numbers = [choice for choice in known if isinstance(choice, int)]
    if numbers and isinstance(value, int):
        nearest = min(numbers, key=lambda choice: abs(choice - value))
        message = f"{spec.name} is {listed(numbers)} here: {nearest} is used"
        raise Unfit(message, nearest=nearest)
    raise wrong(value, f"{listed(known)}{hint(str(value), map(str, known))}")


def precision(value: Any) -> str:
    """A data type under our name."""
    if isinstance(value, str) and value.casefold() in PRECISIONS:
        return PRECISIONS[value.casefold()]
    raise wrong(value, f"{listed(PRECISIONS)}{hint(str(value), PRECISIONS)}")


def bits(value: Any) -> int:
    """A number of bits, also of a data type such as "uint4"."""
    if isinstance(value, str) and value.casefold() in _BITS:
        return _BITS[value.casefold()]
    return _whole(value)


def few_bits(value: Any) -> int:
    """4 or 8 bits; Unfit with the nearest of them otherwise."""
    found = bits(value)
    if found in (4, 8):
        return found
    nearest = 4 if found < 6 else 8
    raise Unfit(
        f"weights have 4 or 8 bits here: {nearest} is used",
        nearest=nearest,
        group="bits of weights",
    )


def group_size(value: Any) -> int:
    """Weights that share a scale; whole rows and columns are 128 here."""
    found = _whole(value)
    if found <= 0:
        raise Unfit(
            "no scale for a whole row of weights here: groups of 128 are used",
            nearest=128,
            group="scales of whole rows",
        )
    return found


def opposite(value: Any) -> bool:
    """Of a truth value, the other."""
    if isinstance(value, bool):
        return not value
    raise wrong(value, "true or false")
