"""ONNX Runtime GenAI from several threads at once, through its C interface.

Its Python module holds the interpreter's lock while it computes, so that requests of several
threads take turns; a call through ctypes does not. Knows nothing of metrics.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import finalize

from evaluators.base import MeasurementError
from evaluators.runtimes.adapters import active_adapter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LIBRARY = "libonnxruntime-genai.so"
_Handle = ctypes.c_void_p
_OUT = ctypes.POINTER(ctypes.c_void_p)
_TEXT, _SIZE = ctypes.c_char_p, ctypes.c_size_t
_TOKENS = ctypes.POINTER(ctypes.c_int32)
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "OgaCreateModel": (_TEXT, _OUT),
    "OgaCreateAdapters": (_Handle, _OUT),
    "OgaLoadAdapter": (_Handle, _TEXT, _TEXT),
    "OgaCreateGeneratorParams": (_Handle, _OUT),
    "OgaGeneratorParamsSetSearchNumber": (_Handle, _TEXT, ctypes.c_double),
    "OgaGeneratorParamsSetSearchBool": (_Handle, _TEXT, ctypes.c_bool),
    "OgaCreateGenerator": (_Handle, _Handle, _OUT),
    "OgaSetActiveAdapter": (_Handle, _Handle, _TEXT),
    "OgaGenerator_AppendTokens": (_Handle, _TOKENS, _SIZE),
    "OgaGenerator_GenerateNextToken": (_Handle,),
    "OgaGenerator_GetNextTokens": (
        _Handle,
        ctypes.POINTER(_TOKENS),
        ctypes.POINTER(_SIZE),
    ),
}


class ThreadedGeneration:
    """A GenAI folder whose requests may be sent from several threads at once.

    The folder is one that `Generation` loads, which checks more of it.
    """

    def __init__(self, folder: Path) -> None:
        """Load it. MeasurementError where the runtime refuses."""
        self._model = _made("OgaCreateModel", str(folder).encode())
        finalize(self, _library().OgaDestroyModel, self._model)
        self._adapter = active_adapter(folder)
        if self._adapter is not None:
            name, file = self._adapter
            self._adapters = _made("OgaCreateAdapters", self._model)
            finalize(self, _library().OgaDestroyAdapters, self._adapters)  # before the model
            _call("OgaLoadAdapter", self._adapters, str(file).encode(), name.encode())

    def generate(
        self, prompt: NDArray[np.int32], new_tokens: int, room: int = 0
    ) -> list[list[int]]:
        """Greedy tokens after a prompt (batch, tokens): for each step, that of every sequence.

        Exactly `new_tokens` steps, as `Generation.request` does them. `room`: the fewest tokens
        that the cache must have room for.
        """
        batch, tokens = prompt.shape
        length = tokens + new_tokens
        with _owned("OgaCreateGeneratorParams", self._model) as parameters:
            limits = {"batch_size": batch, "max_length": max(length, room), "min_length": length}
            for name, value in (limits | {"num_beams": 1}).items():
                _call("OgaGeneratorParamsSetSearchNumber", parameters, name.encode(), value)
            _call("OgaGeneratorParamsSetSearchBool", parameters, b"do_sample", False)
            with _owned("OgaCreateGenerator", self._model, parameters) as generator:
                return self._steps(generator, prompt, new_tokens)

    def _steps(self, generator: Any, prompt: NDArray[np.int32], new_tokens: int) -> list[list[int]]:
        if self._adapter is not None:
            name = self._adapter[0].encode()
            _call("OgaSetActiveAdapter", generator, self._adapters, name)
        ids = prompt.ctypes.data_as(_TOKENS)
        _call("OgaGenerator_AppendTokens", generator, ids, prompt.size)
        return [_next(generator) for _ in range(new_tokens)]


def _next(generator: Any) -> list[int]:
    _call("OgaGenerator_GenerateNextToken", generator)
    tokens, count = _TOKENS(), _SIZE()
    parts = ctypes.byref(tokens), ctypes.byref(count)
    _call("OgaGenerator_GetNextTokens", generator, *parts)
    return tokens[: count.value]


def _call(function: str, *arguments: Any) -> None:
    """MeasurementError with the runtime's own words where it refuses."""
    library = _library()
    result = getattr(library, function)(*arguments)
    if result:
        message = library.OgaResultGetError(result).decode(errors="replace")
        library.OgaDestroyResult(result)
        first = next(iter(message.strip().splitlines()), function)
        raise MeasurementError(f"onnxruntime-genai cannot run the model: {first}")


def _made(function: str, *arguments: Any) -> Any:
    """A new object of the runtime, which the caller has to destroy."""
    made = ctypes.c_void_p()
    _call(function, *arguments, ctypes.byref(made))
    return made


@contextmanager
def _owned(function: str, *arguments: Any) -> Iterator[Any]:
    """A new object of the runtime, destroyed at the end."""
    made = _made(function, *arguments)
    try:
        yield made
    finally:
        getattr(_library(), function.replace("Create", "Destroy"))(made)


@cache
def _library() -> Any:
    """The library that onnxruntime_genai's own module has loaded, with its functions declared."""
    import onnxruntime_genai as og

    library = ctypes.CDLL(str(Path(og.__file__).parent / _LIBRARY))
    for name, arguments in _SIGNATURES.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, ctypes.c_void_p
    library.OgaResultGetError.argtypes = (_Handle,)
    library.OgaResultGetError.restype = ctypes.c_char_p
    for name in ("Result", "GeneratorParams", "Generator", "Model", "Adapters"):
        function = getattr(library, f"OgaDestroy{name}")
        function.argtypes, function.restype = (_Handle,), None
    return library
