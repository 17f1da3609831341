"""Which functions a file of Python source defines and how they are called, without running it.

Knows nothing of spaces.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from search_spaces.paths import is_file


@dataclass(frozen=True, slots=True)
class Signature:
    """The arguments of a function. `positional`: also those that may be given by name."""

    name: str
    positional: tuple[str, ...]
    only_positional: int
    named: tuple[str, ...]
    defaults: frozenset[str]
    any_positional: bool
    any_named: bool
    is_async: bool

    def unfit(self, count: int) -> str | None:
        """Why it cannot be called with `count` arguments by position; None where it can."""
        if self.is_async:
            return f"{self.name} is async; write it as a plain function"
        if len(self.positional) < count and not self.any_positional:
            found = ", ".join(self.positional)
            return f"{self.name}({found}) is called as {self.name}(model, rows, ...)"
        return None

    def takes(self, count: int) -> list[str]:
        """What it takes by name after that many arguments by position."""
        return [*self.positional[max(count, self.only_positional) :], *self.named]

    def missing(self, given: Iterable[str], count: int) -> list[str]:
        """What it needs besides, and is not given by name."""
        needed = [*self.positional[count:], *self.named]
        known = {*given, *self.defaults}
        return [name for name in needed if name not in known]

    def unknown(self, given: Iterable[str], count: int) -> list[str]:
        """What is given by name and it does not take."""
        known = self.takes(count)
        return [] if self.any_named else [name for name in given if name not in known]


def parse_functions(file: Path) -> Mapping[str, Signature | None]:
    """Every name that a file defines at its top level, with the signature where it is a function.

    None where only running the file can tell what the name is: a class, an imported name. The name
    "*": it imports whatever another module has. ValueError where it is no Python source.
    """
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except SyntaxError as error:
        raise ValueError(f"{file}:{error.lineno}: not Python ({error.msg})") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{file}: cannot be read as Python ({error})") from None
    return dict(_names(tree.body))


def _names(body: Iterable[ast.stmt]) -> Iterator[tuple[str, Signature | None]]:
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            plain = not statement.decorator_list  # a decorator may give it other arguments
            yield statement.name, _signature(statement) if plain else None
        elif isinstance(statement, ast.ClassDef):
            yield statement.name, None
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            for alias in statement.names:
                yield (alias.asname or alias.name).partition(".")[0], None
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    yield node.id, None
        else:  # what stands under an if, a try or a with counts too
            for part in ("body", "orelse", "finalbody"):
                yield from _names(getattr(statement, part, ()))
            for handler in getattr(statement, "handlers", ()):
                yield from _names(handler.body)


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Signature:
    a = node.args
    positional = [argument.arg for argument in (*a.posonlyargs, *a.args)]
    named = [argument.arg for argument in a.kwonlyargs]
    optional = [n for n, value in zip(named, a.kw_defaults, strict=True) if value is not None]
    return Signature(
        name=node.name,
        positional=tuple(positional),
        only_positional=len(a.posonlyargs),
        named=tuple(named),
        defaults=frozenset([*positional[len(positional) - len(a.defaults) :], *optional]),
        any_positional=a.vararg is not None,
        any_named=a.kwarg is not None,
        is_async=isinstance(node, ast.AsyncFunctionDef),
    )


def module_file(name: str) -> Path | None:
    """The source file of a module that can be imported, found without importing it; else None."""
    top, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest:
        found = Path(spec.origin) if spec.origin else None
        return found if found is not None and found.suffix == ".py" else None
    for folder in spec.submodule_search_locations or ():
        path = Path(folder, *rest)
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if is_file(file):
                return file
    return None
