"""Conditions (`when:`): a safe part of Python's expressions over the decisions taken so far.

Names, dotted names, literals, lists, comparisons, `and`, `or`, `not` and parentheses; nothing is
ever called or executed. Knows nothing of pipelines: a scope maps names to values.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from search_spaces.problems import short
from search_spaces.vocabulary import Value

Scope = Mapping[str, Value]
Evaluator = Callable[[Scope], Value]

_MAX_LENGTH = 1000
_WORDS: Mapping[str, Value] = {"true": True, "false": False, "null": None, "none": None}
_EXPECTED = "expected names, values, comparisons, and, or, not"


class ConditionError(ValueError):
    """Not a condition; one sentence that names the part that does not belong."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition; `names` are the names that it asks about, dotted ones whole (`lora.r`)."""

    text: str
    names: frozenset[str] = field(compare=False)

    def evaluate(self, scope: Scope) -> bool:
        """Whether it holds. A name that is not in the scope is inactive: its value is None.

        None is neither below nor above anything; `in` takes a single text as a list of one.
        """
        return bool(_compiled(self.text)(scope))


def parse_condition(text: str) -> Condition:
    """The condition that a text says; ConditionError otherwise."""
    text = " ".join(text.splitlines()).strip()
    tree = _tree(text)
    _compile(tree, text)
    names = frozenset(_names(tree))
    if not names:
        raise ConditionError(f"{short(text)} asks about no step and no parameter")
    return Condition(text, names)


def compared_values(condition: Condition) -> list[tuple[str, Value]]:
    """(name, value) for each value that a condition compares a name with by ==, != or `in`."""
    found: list[tuple[str, Value]] = []
    for node in ast.walk(_tree(condition.text)):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            for left, sign, right in zip(sides, node.ops, sides[1:], strict=False):
                found += _compared(left, sign, right)
    return found


def _compared(left: ast.expr, sign: ast.cmpop, right: ast.expr) -> list[tuple[str, Value]]:
    if isinstance(sign, (ast.Eq, ast.NotEq)):
        for one, other in ((left, right), (right, left)):
            name = _name(one)
            if name is not None and _is_literal(other):
                return [(name, _literal(other))]
    name = _name(left)
    membership = isinstance(sign, (ast.In, ast.NotIn))
    if name is not None and membership and isinstance(right, (ast.List, ast.Tuple)):
        return [(name, _literal(element)) for element in right.elts if _is_literal(element)]
    return []


@lru_cache(maxsize=1024)
def _tree(text: str) -> ast.expr:
    if not text:
        raise ConditionError("the condition is empty")
    if len(text) > _MAX_LENGTH:
        raise ConditionError(f"the condition has {len(text)} characters, at most {_MAX_LENGTH} fit")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes such as '\d', which are no business here
            return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ConditionError(f"{short(text)} is not a condition{_syntax_hint(text)}") from None


def _syntax_hint(text: str) -> str:
    for sign, word in (("&&", "and"), ("||", "or"), ("!", "not")):
        if sign in text.replace("!=", ""):
            return f"; write {word} instead of {sign}"
    if "=" in text.replace("==", "").replace("!=", "").replace("<=", "").replace(">=", ""):
        return "; write == to compare"
    return f"; {_EXPECTED}"


@lru_cache(maxsize=1024)
def _compiled(text: str) -> Evaluator:
    return _compile(_tree(text), text)


def _compile(node: ast.expr, text: str) -> Evaluator:
    """A function of the scope; ConditionError for everything that does not belong."""
    name = _name(node)
    if name is not None:
        return lambda scope: scope.get(name)
    if isinstance(node, ast.BoolOp):
        parts = [_compile(value, text) for value in node.values]
        if isinstance(node.op, ast.And):
            return lambda scope: all(part(scope) for part in parts)
        return lambda scope: any(part(scope) for part in parts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        inner = _compile(node.operand, text)
        return lambda scope: not inner(scope)
    if isinstance(node, ast.Compare):
        return _compile_comparison(node, text)
    if isinstance(node, (ast.List, ast.Tuple)):
        elements = [_compile(element, text) for element in node.elts]
        return lambda scope: tuple(element(scope) for element in elements)
    if _is_literal(node):
        value = _literal(node)
        return lambda scope: value
    raise ConditionError(_refusal(node, text))


def _compile_comparison(node: ast.Compare, text: str) -> Evaluator:
    sides = [_compile(side, text) for side in (node.left, *node.comparators)]
    tests = []
    for sign in node.ops:
        test = _TESTS.get(type(sign))
        if test is None:
            raise ConditionError(f"{short(text)}: `is` is not known here; write == or !=")
        tests.append(test)

    def holds(scope: Scope) -> bool:
        values = [side(scope) for side in sides]
        pairs = zip(tests, values, values[1:], strict=False)
        return all(test(left, right) for test, left, right in pairs)

    return holds


def _ordered(compare: Callable[[float | str, float | str], bool]) -> Callable[[Value, Value], bool]:
    """A comparison that is False for what cannot be ordered."""

    def test(left: Value, right: Value) -> bool:
        numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
        if numbers or (isinstance(left, str) and isinstance(right, str)):
            return compare(left, right)  # type: ignore[arg-type]  # both are of one kind
        return False

    return test


def _is_in(left: Value, right: Value) -> bool:
    return left in right if isinstance(right, tuple) else right is not None and left == right


_TESTS: Mapping[type[ast.cmpop], Callable[[Value, Value], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: _ordered(operator.lt),
    ast.LtE: _ordered(operator.le),
    ast.Gt: _ordered(operator.gt),
    ast.GtE: _ordered(operator.ge),
    ast.In: _is_in,
    ast.NotIn: lambda left, right: not _is_in(left, right),
}


def _name(node: ast.expr) -> str | None:
    """`r` or `lora.r`; None for anything else, and for true, false and null as YAML writes them."""
    if isinstance(node, ast.Name):
        return None if node.id in _WORDS else node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return None


def _is_literal(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp):
        inner = node.operand
        number = isinstance(inner, ast.Constant) and type(inner.value) in (int, float)
        return isinstance(node.op, ast.USub) and number
    if isinstance(node, ast.Name):
        return node.id in _WORDS
    return isinstance(node, ast.Constant) and type(node.value) in (
        type(None),
        bool,
        int,
        float,
        str,
    )


def _literal(node: ast.expr) -> Value:
    if isinstance(node, ast.Name):
        return _WORDS[node.id]
    value: Value = ast.literal_eval(node)
    return value


def _names(tree: ast.expr) -> set[str]:
    nodes = list(ast.walk(tree))
    inner = {id(n.value) for n in nodes if isinstance(n, ast.Attribute)}
    found = (_name(n) for n in nodes if isinstance(n, ast.expr) and id(n) not in inner)
    return {name for name in found if name is not None}


_KINDS: tuple[tuple[type[ast.expr], str], ...] = (
    (ast.Call, "a call"),
    (ast.BinOp, "arithmetic"),
    (ast.UnaryOp, "arithmetic"),
    (ast.Subscript, "an element of a list"),
    (ast.Attribute, "a name with more than one dot"),
    (ast.IfExp, "an if"),
    (ast.NamedExpr, "an assignment"),
)


def _refusal(node: ast.expr, text: str) -> str:
    kind = next((words for cls, words in _KINDS if isinstance(node, cls)), "that")
    part = ast.get_source_segment(text, node) or text
    return f"{short(part)}: {kind} cannot be part of a condition; {_EXPECTED}"
