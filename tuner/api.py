"""The Python API: `tune(...)` does what the command does, and returns the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search_spaces import Overrides, find_space, parse_space
from search_spaces.catalog import read_text
from tuner.registry import vocabulary
from tuner.study.api import Study
from tuner.study.events import Listener


def tune(
    space: str | Path,
    *,
    constraints: Sequence[str] = (),
    objectives: Sequence[str] = (),
    model: str | None = None,
    settings: Mapping[str, Any] | None = None,
    strategy: str | None = None,
    trials: int | None = None,
    max_time: float | str | None = None,
    seed: int | None = None,
    build_only: bool = False,
    study: str | None = None,
    warm_start: Sequence[str] = (),
    workers: int = 1,
    retry_failed: bool = False,
    db: str = "tuned/study.db",
    store: str | Path | None = None,
    output: str | Path | None = None,
    listeners: Sequence[Listener] = (),
) -> Study:
    """Search a space and return its study; called again, it goes on or answers at once.

    `space`: a file, or a shipped space's name. `constraints` are added to the space's, such as
    "latency<50ms"; `objectives` replace the space's. `settings` are keys of the space by dotted
    path, {"pipeline.lora.r": 16}. `max_time` in seconds, or "8m". With `build_only` candidates are
    built for whatever provider and never run: only what needs no run is measured. `warm_start`
    names studies to begin with, "STUDY" or "DB#STUDY"; none given: the one that this space
    continues; ["none"]: nothing. `workers`: how many candidates are tried at once. With
    `retry_failed` what failed before is tried again. The answer's files are in `output` (default:
    tuned/STUDY). `listeners` are called with every event.

    Raises SpaceError (the space is wrong), DataError, ModelError, DatabaseError, StoreError,
    WarmStartError, or RunError. That nothing is feasible is no error: `.best` is None, `.nearest`
    says what came near.
    """
    from tuner.engine.session import Request
    from tuner.run import run

    overrides = Overrides(
        model=model,
        constraints=tuple(constraints),
        objectives=tuple(objectives),
        settings=tuple(f"{key}={_yaml(value)}" for key, value in (settings or {}).items()),
        strategy=strategy,
        trials=None if trials is None else str(trials),
        max_time=None if max_time is None else str(max_time),
        seed=None if seed is None else str(seed),
        build_only=build_only,
    )
    path = find_space(str(space))
    text = read_text(path)
    reading = parse_space(text, path, vocabulary(), overrides)
    request = Request(
        space=reading.space,
        space_text=text,
        study=study,
        warm_start=tuple(warm_start),
        workers=workers,
        retry_failed=retry_failed,
        db=db,
        store=None if store is None else Path(store),
        output=None if output is None else Path(output),
        listeners=tuple(listeners),
    )
    return run(request)


def _yaml(value: Any) -> str:
    import json

    return json.dumps(value)  # JSON is YAML
