"""A session: one process a model, and blocks of requests sent to them in turn.

The candidate and the anchor (the baseline) are each loaded in a fresh process. Then blocks
alternate, A B B A A B ..., so that whatever the machine does slowly hits both alike. Between blocks
a calibration kernel runs; a pair of blocks beside which it was slow was disturbed, and is repeated.
Knows nothing of metrics or statistics. Needs a system that can fork.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Protocol, Self

from evaluators import machine
from evaluators.base import Artifact, DeadModel, Json, Measurement, MeasurementError
from evaluators.workloads import Workload, warm_up

Open = Callable[[Artifact], Workload]

DISTURBED = 1.3
"""A block beside which the calibration kernel took so many times its best was disturbed."""

_SPARE = 2  # pairs of blocks are repeated up to (pairs * this) times in all


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """How much is measured in a session.

    `blocks`: kept blocks of each model. `requests`: the fewest requests of a candidate's block;
    the anchor's has one or more. `seconds`: the shortest time that a block lasts. `warmup`: the
    most requests before the first block.
    """

    blocks: int
    requests: int
    seconds: float
    warmup: int


def hold(
    open_model: Open, model: Artifact, anchor: Artifact | None, plan: SessionPlan
) -> Measurement:
    """Measure a model beside the anchor, or alone where there is none.

    `samples` and `anchor` of the result have `plan.blocks` blocks; block i of the one was taken
    next to block i of the other. `conditions["blocks"]` says what became of every pair, those that
    were repeated too. MeasurementError or DeadModel where a model cannot be measured.
    """
    conditions: Json = {**machine.conditions(), "load_before": machine.load()}
    conditions["measured_at"] = time.time()
    stolen = machine.stolen()
    with ExitStack() as stack:
        models = [model] if anchor is None else [model, anchor]
        players = [stack.enter_context(_Process(open_model, m)) for m in models]
        for player, name in zip(players, ("the model", "the baseline"), strict=False):
            player.wait_until_ready(name)
        warm = [player.ask("warm_up", plan.warmup) for player in players]
        pairs = alternate(players, plan, machine.Calibration().seconds)
        conditions |= players[0].ask("conditions") | warm[0]
        if anchor is not None:
            conditions["baseline"] = players[1].ask("conditions") | warm[1]
    kept = least_disturbed(pairs, plan.blocks)
    after = machine.stolen()
    conditions["stolen"] = None if stolen is None or after is None else after - stolen
    conditions["load_after"] = machine.load()
    conditions["disturbed"] = sum(pair.disturbance > DISTURBED for pair in kept)
    conditions["blocks"] = [pair.to_json(pair in kept) for pair in pairs]
    return Measurement(
        samples_of(kept, 0), conditions=conditions, anchor=samples_of(kept, 1) if anchor else {}
    )


@dataclass(frozen=True, slots=True)
class Block:
    """Requests that one model was sent in a row."""

    samples: Mapping[str, list[float]]
    seconds: float
    processor: float  # seconds that the model's process computed, over all its threads

    @property
    def requests(self) -> int:
        """How many there were."""
        return len(next(iter(self.samples.values())))


@dataclass(frozen=True, slots=True)
class Pair:
    """A block of each model, the candidate's first in the tuple.

    `kernel`: the longest that the calibration kernel took beside them, in seconds. `disturbance`:
    that over the best of the session; 1 is none.
    """

    blocks: tuple[Block, ...]
    order: tuple[int, ...]
    kernel: float
    foreign: float | None  # the share of all cores that other processes had meanwhile
    disturbance: float = 1.0

    def to_json(self, kept: bool) -> Json:
        """What `conditions` say of it."""
        return {
            "seconds": [block.seconds for block in self.blocks],
            "first": "baseline" if self.order[0] else "model",
            "kernel": self.kernel,
            "disturbance": self.disturbance,
            "foreign": self.foreign,
            "kept": kept,
        }


class Player(Protocol):
    """A model that is loaded somewhere and does what it is asked."""

    def ask(self, *question: Any) -> Any:
        """The answer: to ("block", seconds, requests) a `Block`, as `_block` makes it."""
        ...


def alternate(
    players: Sequence[Player], plan: SessionPlan, calibrate: Callable[[], float]
) -> list[Pair]:
    """Pairs of blocks until enough of them were undisturbed, or the spare ones are used up.

    `players`: the candidate, and the anchor if there is one. `calibrate`: seconds of the kernel.
    """
    kernel = [calibrate() for _ in range(2)]
    pairs: list[Pair] = []
    while len(pairs) < plan.blocks * _SPARE:
        turn = len(pairs)
        order = tuple(range(len(players)) if turn % 2 == 0 else reversed(range(len(players))))
        started, busy = time.monotonic(), machine.busy()
        found: dict[int, Block] = {}
        first = len(kernel) - 1
        for which in order:
            # The anchor is a gauge: its blocks need to last, not to hold many requests.
            requests = 1 if which else plan.requests
            found[which] = _block_of(players[which], requests, plan.seconds, kernel, calibrate)
        foreign = _foreign(found.values(), time.monotonic() - started, busy)
        blocks = tuple(found[i] for i in range(len(players)))
        pairs.append(Pair(blocks, order, max(kernel[first:]), foreign))
        # By the best so far: a burst that was there from the start is seen once it is over.
        pairs = [replace(pair, disturbance=pair.kernel / min(kernel)) for pair in pairs]
        if sum(pair.disturbance <= DISTURBED for pair in pairs) == plan.blocks:
            break
    return pairs


def _block_of(
    player: Player,
    requests: int,
    seconds: float,
    kernel: list[float],
    calibrate: Callable[[], float],
) -> Block:
    """A block, with the kernel run as often as `seconds` pass: no disturbance lasts unseen."""
    parts: list[Block] = []
    while sum(part.requests for part in parts) < requests:
        parts.append(player.ask("block", seconds, requests))
        kernel.append(calibrate())
    samples = {name: [x for p in parts for x in p.samples[name]] for name in parts[0].samples}
    return Block(samples, sum(p.seconds for p in parts), sum(p.processor for p in parts))


def least_disturbed(pairs: Sequence[Pair], count: int) -> list[Pair]:
    """So many of the pairs, in the order in which they were taken."""
    best = sorted(range(len(pairs)), key=lambda i: max(DISTURBED, pairs[i].disturbance))
    return [pairs[i] for i in sorted(best[:count])]


def _foreign(blocks: Any, seconds: float, busy_before: float | None) -> float | None:
    busy = machine.busy()
    if busy is None or busy_before is None:
        return None
    own = sum((block.processor for block in blocks), 0.0)
    return max(0.0, busy - busy_before - own) / (seconds * machine.cores())


def samples_of(pairs: Sequence[Pair], which: int) -> dict[str, list[list[float]]]:
    """The blocks of the candidate (0) or the anchor (1): metric -> blocks -> samples."""
    metrics = pairs[0].blocks[which].samples
    return {name: [list(pair.blocks[which].samples[name]) for pair in pairs] for name in metrics}


class _Process:
    """A model in a process of its own that does what it is asked, and sleeps in between."""

    def __init__(self, open_model: Open, model: Artifact) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, self._pipe, open_model, model), daemon=True
        )
        self._process.start()
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._signal(signal.SIGCONT)
        self._pipe.close()  # which ends it, as soon as it looks for the next question
        self._process.join(1.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def wait_until_ready(self, name: str) -> None:
        """Wait for the model to be loaded. MeasurementError where it cannot be; `name` is whose."""
        try:
            self._answer()
        except DeadModel as error:
            raise DeadModel(_of(name, error)) from error
        except MeasurementError as error:
            raise MeasurementError(_of(name, error)) from error

    def ask(self, *question: Any) -> Any:
        """The answer to a question; what it raises is raised here.

        Before and after, the process is stopped: threads of a runtime spin for a while after their
        work, and would disturb what comes next.
        """
        self._signal(signal.SIGCONT)
        self._pipe.send(question)
        answer = self._answer()
        self._signal(signal.SIGSTOP)
        return answer

    def _signal(self, number: int) -> None:
        if self._process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def _answer(self) -> Any:
        try:
            answer = self._pipe.recv()
        except EOFError:
            self._process.join()
            raise MeasurementError(
                f"the process that runs the model ended with code {self._process.exitcode}"
            ) from None
        if isinstance(answer, BaseException):
            raise answer
        return answer


def _of(name: str, error: MeasurementError) -> str:
    return str(error) if name == "the model" else f"{name} beside it: {error}"


def _serve(pipe: Connection, other_end: Connection, open_model: Open, model: Artifact) -> None:
    """Be the process of a model: load it, then answer questions until nobody asks any more."""
    other_end.close()  # a fork has it too, and would never see the pipe close
    gc.disable()  # with large libraries loaded a collection takes milliseconds
    with suppress(EOFError, BrokenPipeError):
        try:
            workload = open_model(model)
        except MeasurementError as error:
            pipe.send(error)
            return
        pipe.send(None)
        while True:
            what, *arguments = pipe.recv()
            try:
                pipe.send(_ANSWERS[what](workload, *arguments))
            except MeasurementError as error:
                pipe.send(error)


def _block(workload: Workload, seconds: float, requests: int) -> Block:
    """Requests until they took long enough; a block of no length has as many as are wanted."""
    samples: dict[str, list[float]] = {}
    count, started, processor = 0, time.perf_counter(), time.process_time()
    least = 1 if seconds > 0 else requests
    while count < least or time.perf_counter() - started < seconds:
        for metric, value in workload.request().items():
            samples.setdefault(metric, []).append(value)
        count += 1
    return Block(samples, time.perf_counter() - started, time.process_time() - processor)


_ANSWERS: dict[str, Callable[..., Any]] = {
    "warm_up": warm_up,
    "block": _block,
    "conditions": lambda workload: workload.conditions(),
}
