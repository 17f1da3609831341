"""Olive's tuning of session parameters as `session`, with choices where Olive tries several.

Source: OrtSessionParamsTuning, and OrtPerfTuning of 2024. What Olive finds out by timing, the
search finds out here.
"""

from __future__ import annotations

from typing import Any

from search_spaces.vocabulary import SearchRange
from tuner.olive.config import OlivePass
from tuner.olive.draft import Kind, StepDraft
from tuner.olive.passes.values import Unfit, wrong
from tuner.olive.passes.work import Taker, Work

_PROVIDERS = {
    "CPUExecutionProvider": "cpu",
    "OpenVINOExecutionProvider": "openvino",
    "CUDAExecutionProvider": "cuda",
    "DmlExecutionProvider": "dml",
}
_LEVELS = {0: "disable", 1: "basic", 2: "extended", 99: "all"}
_MODES = {0: "sequential", 1: "parallel"}


def session(work: Work, found: OlivePass, type_: str) -> None:
    """OrtSessionParamsTuning, OrtPerfTuning and PerfTuning."""
    taker = Taker(work, found, type_)
    step = work.add("session", type_)
    taker.put(step, "execution_provider", "providers_list", convert=_provider)
    taker.put(step, "execution_mode", "execution_mode_list", convert=_mode)
    taker.put(step, "graph_optimization_level", "opt_level_list", convert=_level)
    _threads(taker, step)
    taker.put(step, "inter_op_num_threads", "inter_thread_num_list")
    taker.aside(
        *("data_config", "device", "batch_size", "input_names", "input_shapes", "input_types"),
        *("io_bind", "enable_profiling", "force_evaluate_other_eps", "data_dir"),
        *("dataloader_func", "dataloader_func_kwargs"),
        reason="what is timed is the space's own workload, always on the machine alike",
        group="how models are timed",
    )
    taker.unless(
        False,
        *("enable_cuda_graph", "trt_fp16_enable"),
        reason="it is an option of a GPU's provider that session does not have",
        group="options of providers",
    )
    taker.unless(
        {},
        "provider_options_list",
        reason="session has no options of providers",
        group="options of providers",
    )
    taker.omit(
        "extra_session_config",
        reason="session has its own parameters for what matters (tune passes session)",
        group="options of sessions",
    )
    taker.finish()


def _threads(taker: Taker, step: StepDraft) -> None:
    """Numbers of threads: those named, else what Olive seeks up to `cpu_cores`."""
    cores = taker.take("cpu_cores")
    if taker.peek("intra_thread_num_list") not in (None, [None]):
        taker.put(step, "intra_op_num_threads", "intra_thread_num_list", convert=_count)
        if cores is not None:
            taker.note(
                cores, Kind.ASIDE, "the numbers of threads are named", "how models are timed"
            )
        return
    taker.take("intra_thread_num_list")
    search = taker.work.specs["session"].parameter("intra_op_num_threads").search
    if search is None or isinstance(search, SearchRange):
        return
    most = cores.value if cores is not None and type(cores.value) is int else None
    counts = [n for n in search if most is None or (isinstance(n, int) and n <= most)]
    step.parameters["intra_op_num_threads"] = {"choices": counts}
    step.comments["intra_op_num_threads"] = "Olive seeks the best, too"


def _provider(value: Any) -> str:
    if isinstance(value, (list, tuple)) and value:  # with its options
        value = value[0]
    if isinstance(value, str):
        if value in _PROVIDERS:
            return _PROVIDERS[value]
        raise Unfit(
            f"session knows {', '.join(_PROVIDERS)}: the one of the model stays",
            group="execution providers",
        )
    raise wrong(value, "an execution provider")


def _mode(value: Any) -> str:
    if type(value) is int and value in _MODES:
        return _MODES[value]
    if value is None:
        return "sequential"
    raise wrong(value, "0 or 1")


def _level(value: Any) -> str:
    if value is None:
        return "all"
    if type(value) is int and value in _LEVELS:
        return _LEVELS[value]
    raise wrong(value, "0, 1, 2 or 99")


def _count(value: Any) -> Any:
    return 0 if value is None else value
