"""What a GPU's driver tells, asked of a stand-in for its library (few machines have a GPU)."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from evaluators import nvidia
from evaluators.base import MeasurementError


class Refused(Exception):
    """The library's exception."""


class Library:
    """Two GPUs, of which the second counts no energy."""

    NVMLError = Refused

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetMemoryInfo(self, device: int) -> SimpleNamespace:
        return SimpleNamespace(used=(device + 1) << 30)

    def nvmlDeviceGetTotalEnergyConsumption(self, device: int) -> int:
        if device == 1:
            raise Refused("Not Supported")
        return 12_345


class NoMemory(Library):
    """One whose driver tells nothing."""

    def nvmlDeviceGetMemoryInfo(self, device: int) -> SimpleNamespace:
        raise Refused("GPU is lost")


def test_memory_is_that_of_all_gpus() -> None:
    assert nvidia.memory_used(Library()) == 3 << 30


def test_energy_is_in_joules_of_gpus_that_count_it() -> None:
    found = nvidia.energy_counters(Library())
    assert {name: read() for name, read in found.items()} == {"gpu-0": 12.345}


def test_what_the_driver_refuses_is_said() -> None:
    with pytest.raises(MeasurementError, match="does not tell: GPU is lost"):
        nvidia.memory_used(NoMemory())
