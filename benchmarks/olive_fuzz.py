"""Broken Olive configs: each is imported, or refused in words with exit code 2; none raises.

    python benchmarks/olive_fuzz.py [--configs FOLDER ...] [--count 2000] [--seed 0]

Mutants of the examples have keys removed, misspelt, doubled or moved, values of other types, lists
for objects, nested junk, and broken text. Each goes through `tune import-olive` and through `tune
run --dry-run`. The result is written to results/olive_fuzz.json. Runs nothing and fetches nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tuner.cli.main import _dispatch

ROOT = Path(__file__).parent.parent
EXAMPLES = tuple(ROOT.parent / "shared" / "data" / n for n in ("olive-recipes", "olive-2024"))
RESULT = ROOT / "results" / "olive_fuzz.json"

_LONGEST = 1_000
"""Characters of a message that a person still reads."""

_JUNK: Sequence[Any] = (
    *(None, True, False, 0, -1, 3.5, 10**30, 1e-300, "", " ", "x", "é\u2028", "a" * 5_000),
    *([], {}, [[]], [None], {"": ""}, {"a": {"b": {"c": [1, {"d": None}]}}}, [1, "a", {}]),
    *("../../etc", "~nobody/x", "C:\\models\\m", "http://host/x", "{x}", "{", "%s", "#", "---"),
)

Place = tuple[Any, Any]
"""An object or a list, and a key or an index of it."""


def _places(value: Any) -> Iterator[Place]:
    """Every place in a config, outside in."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def _misspelt(word: str, draw: random.Random) -> str:
    if len(word) < 2:
        return word + "x"
    at = draw.randrange(len(word) - 1)
    kind = draw.randrange(4)
    if kind == 0:
        return word[:at] + word[at + 1 :]
    if kind == 1:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 2:
        return word[:at] + draw.choice("aeiou_-. ") + word[at:]
    return word.upper() if draw.random() < 0.5 else word[:at] + word[at] + word[at:]


def _remove(place: Place, _: random.Random) -> None:
    container, key = place
    del container[key]


def _misspell(place: Place, draw: random.Random) -> None:
    container, key = place
    if isinstance(container, dict):
        items = [(_misspelt(k, draw) if k == key else k, v) for k, v in container.items()]
        container.clear()
        container.update(items)
    elif isinstance(container[key], str):
        container[key] = _misspelt(container[key], draw)


def _misspell_value(place: Place, draw: random.Random) -> None:
    container, key = place
    container[key] = _misspelt(str(container[key]), draw)


def _junk(place: Place, draw: random.Random) -> None:
    container, key = place
    container[key] = json.loads(json.dumps(draw.choice(_JUNK)))


def _wrap(place: Place, draw: random.Random) -> None:
    """A list for an object, an object for a text, and so on."""
    container, key = place
    value = container[key]
    forms: Sequence[Callable[[], Any]] = (
        lambda: [value],
        lambda: {"config": value},
        lambda: {key if isinstance(key, str) else "x": value},
        lambda: list(value.values()) if isinstance(value, dict) else str(value),
        lambda: dict(enumerate(map(str, value))) if isinstance(value, list) else [value, value],
    )
    container[key] = draw.choice(forms)()


def _add(place: Place, draw: random.Random) -> None:
    container, key = place
    if isinstance(container, dict):
        word = draw.choice(("junk", "type", "config", "params", "host", "metrics", "", "r", "bits"))
        container[word] = json.loads(json.dumps(draw.choice(_JUNK)))
    else:
        container.insert(key, draw.choice(_JUNK))


def _move(place: Place, draw: random.Random) -> None:
    container, key = place
    value = container[key]
    if isinstance(container, dict) and isinstance(value, dict):
        del container[key]
        container.update(value)
    else:
        container[key] = {"type": draw.choice(("search", "file", "x")), "config": {"v": value}}


_ON_VALUES = (_remove, _misspell, _misspell_value, _junk, _wrap, _add, _move)


def _broken_text(text: str, draw: random.Random) -> str:
    at = draw.randrange(len(text))
    kinds: Sequence[Callable[[], str]] = (
        lambda: text[:at],
        lambda: text[:at] + text[at + 1 :],
        lambda: text[:at] + draw.choice("{}[]\",:\\\t\n\0é/#'-") + text[at:],
        lambda: text.replace(",", ",,", 1) if draw.random() < 0.5 else text.replace(":", "", 1),
        lambda: text.replace('"', "'"),
        lambda: text[at:] + text[:at],
        lambda: text.replace("}", ",}", 1) + "\n// the end",
        lambda: text.replace("false", "False").replace("true", "True").replace("null", "NaN"),
    )
    return draw.choice(kinds)()


def mutant(config: Mapping[str, Any], draw: random.Random) -> tuple[str, str]:
    """A broken config's text, and what was done to it."""
    text = json.dumps(config, indent=2)
    if draw.random() < 0.15:
        return "text", _broken_text(text, draw)
    copy = json.loads(text)
    done = []
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        places = list(_places(copy))
        if not places:
            break
        change = draw.choice(_ON_VALUES)
        change(draw.choice(places), draw)
        done.append(change.__name__.strip("_"))
    return "+".join(dict.fromkeys(done)), json.dumps(copy, indent=2)


def complaint(arguments: Sequence[str]) -> tuple[int | None, str | None]:
    """A command's exit code, and what is wrong with how it ended; None: nothing is."""
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = _dispatch(list(arguments))
    except SystemExit as ended:
        return None, f"the parser ended it: {ended.code}"
    except Exception:  # noqa: BLE001  (whatever it is, it is what we look for)
        return None, traceback.format_exc()
    said = err.getvalue()
    if code not in (0, 2):
        return code, f"exit code {code}: {said[-500:]}"
    if "Traceback" in said:
        return code, said
    if code == 2 and not said.strip():
        return code, "exit code 2 without a word"
    if max(map(len, said.splitlines()), default=0) > _LONGEST:
        return code, f"a message of {max(map(len, said.splitlines()))} characters: {said[:300]}"
    return code, None


def fuzz(
    configs: Sequence[Mapping[str, Any]], count: int, seed: int, folder: Path
) -> tuple[Counter[str], list[str]]:
    """How the mutants fared, and every complaint. `folder` holds one mutant at a time."""
    draw = random.Random(seed)
    fared: Counter[str] = Counter()
    complaints: list[str] = []
    path = folder / "mutant.json"
    for number in range(count):
        what, text = mutant(draw.choice(configs), draw)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        for command in (["import-olive", str(path)], ["run", "--config", str(path), "--dry-run"]):
            code, wrong = complaint(command)
            fared[f"{command[0]}: " + {0: "taken", 2: "refused"}.get(code or 0, "failed")] += 1
            if wrong is not None:
                kept = folder / f"failed-{number}.json"
                kept.write_bytes(path.read_bytes())
                complaints.append(f"mutant {number} ({what}), {command[0]}, {kept}:\n{wrong}")
    return fared, complaints


def examples(folders: Sequence[Path]) -> list[Mapping[str, Any]]:
    """The configs of runs under some folders."""
    found: list[Mapping[str, Any]] = []
    for folder in folders:
        for path in sorted(folder.rglob("*.json")):
            config = json.loads(path.read_text(encoding="utf-8-sig"))
            if isinstance(config, dict) and {"input_model", "passes"} <= config.keys():
                found.append(config)
    return found


def main() -> None:
    """Fuzz, print, and write the result; exit code 1 where anything failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--configs", metavar="FOLDER", nargs="+", type=Path, default=EXAMPLES)
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-result", action="store_true", help="write no file")
    arguments = parser.parse_args()
    configs = examples(arguments.configs)
    if not configs:
        sys.exit(f"no configs in {', '.join(map(str, arguments.configs))}")
    os.environ["HF_HUB_OFFLINE"] = "1"
    folder = Path(tempfile.mkdtemp(prefix="olive-fuzz-"))
    fared, complaints = fuzz(configs, arguments.count, arguments.seed, folder)
    if not complaints:
        shutil.rmtree(folder)
    for text in complaints[:20]:
        print(text)
    result = {
        "configs": len(configs),
        "mutants": arguments.count,
        "seed": arguments.seed,
        "complaints": len(complaints),
        "fared": dict(sorted(fared.items())),
    }
    print(json.dumps(result, indent=2))
    if not arguments.no_result:
        RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    sys.exit(1 if complaints else 0)


if __name__ == "__main__":
    main()
