"""What NVIDIA's management library tells of the machine's GPUs: memory in use, energy drawn.

Knows nothing of models or of runtimes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from evaluators.base import MeasurementError
from evaluators.runtimes.providers import PROVIDERS
from search_spaces.installed import is_installed

DISTRIBUTION = "nvidia-ml-py"


def unavailable() -> str | None:
    """Why nothing can be read of a GPU here, or None. Cheap: loads no library."""
    lacking = PROVIDERS["cuda"].lacking()
    if lacking is not None:
        return lacking
    if not is_installed(DISTRIBUTION):
        return f"{DISTRIBUTION}, which reads what a GPU reports, is not installed"
    return None


def memory_used(library: Any = None) -> int:
    """Bytes of memory in use on all GPUs, by every process. MeasurementError where not told."""
    found = _nvml() if library is None else library
    return sum(_ask(found, d, lambda d: found.nvmlDeviceGetMemoryInfo(d).used) for d in _all(found))


def energy_counters(library: Any = None) -> dict[str, Callable[[], float]]:
    """GPU -> what reads the joules that it drew since its driver was loaded (from Volta on).

    GPUs that do not count are left out.
    """
    found = _nvml() if library is None else library

    def reader(device: Any) -> Callable[[], float]:
        def joules() -> float:
            return _ask(found, device, found.nvmlDeviceGetTotalEnergyConsumption) / 1000

        return joules

    readers = {f"gpu-{index}": reader(device) for index, device in enumerate(_all(found))}
    return {name: read for name, read in readers.items() if _counts(read)}


def _counts(read: Callable[[], float]) -> bool:
    try:
        read()
    except MeasurementError:
        return False
    return True


def _all(library: Any) -> list[Any]:
    return [
        library.nvmlDeviceGetHandleByIndex(index) for index in range(library.nvmlDeviceGetCount())
    ]


def _ask(library: Any, device: Any, question: Callable[[Any], int]) -> int:
    try:
        return question(device)
    except library.NVMLError as error:
        raise MeasurementError(f"the GPU's driver does not tell: {error}") from error


@cache
def _nvml() -> Any:
    try:
        import pynvml  # type: ignore[import-not-found]
    except ModuleNotFoundError:
        raise MeasurementError(str(unavailable())) from None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise MeasurementError(f"the GPU's driver cannot be asked: {error}") from error
    return pynvml
