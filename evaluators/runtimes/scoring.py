"""A GenAI folder's graph in a plain onnxruntime session: logits of whole batches at once.

The runtime of GenAI gives logits too, but for one prompt at a time and at every position.
Knows nothing of labels or data.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluators import machine
from evaluators.base import Json, MeasurementError
from evaluators.runtimes import providers
from evaluators.runtimes.adapters import active_adapter
from evaluators.runtimes.errors import check_finite, refusals
from evaluators.runtimes.genai import provider_options, read_config, refuse_paged

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Cache = dict[str, Any]
"""Keys and values of past tokens: input name -> (batch, heads, tokens, head size)."""

# From the logits back to the projection onto the vocabulary: what may lie between.
_AFTER_HEAD = {"Cast", "Mul", "Div", "Tanh", "Add"}
_HEADS = {"MatMul", "MatMulNBits"}
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
}


class Scoring:
    """The model with every core that this process may use, on the CPU.

    A model that was built for a GPU is scored here too, where ONNX Runtime has the kernels; what
    it has none for, or would compute wrongly, is refused in words. Of adapters beside the model,
    the one that the folder says is active is used.
    OpenVINO, which is on the CPU too, is used where the folder asks for it: it computes
    differently. Other session options do not matter: they change the time, not the probabilities.
    """

    def __init__(self, folder: Path, every_position: bool = False) -> None:
        """Open it. `every_position`: for `logits`, which `step` has no need of."""
        import onnxruntime as ort

        self._config = read_config(folder)
        refuse_paged(self._config)
        decoder = self._config["decoder"]
        if "logits" not in decoder.get("outputs", {}):
            raise MeasurementError(f"{folder}: the model gives no logits, so nothing can be scored")
        path = folder / decoder["filename"]
        options = ort.SessionOptions()
        self.threads = machine.cores()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 3  # errors only
        model: str | bytes = str(path)
        with refusals("onnxruntime cannot load the model"):
            if every_position:
                read_graph(path)  # whether the CPU can run it
            elif trimmed := last_position_only(path, decoder["outputs"]["logits"]):
                key = "session.model_external_initializers_file_folder_path"
                options.add_session_config_entry(key, str(folder))
                model = trimmed
        self._provider, settings = _provider(self._config)
        self._session = providers.open_session(model, options, self._provider, settings)
        self._types = {i.name: i.type for i in self._session.get_inputs()}
        self._widths = {i.name: i.shape[-1] for i in self._session.get_inputs() if i.shape}
        self._adapter_name, self._adapter = _adapter(folder)
        self._run_options = ort.RunOptions()
        if self._adapter is not None:
            self._run_options.add_active_adapter(self._adapter)  # which must outlive the options
        self._presents = self._present_names(decoder)

    @property
    def context_length(self) -> int | None:
        """The most tokens that the model can take; None where its folder does not say."""
        found = self._config.get("context_length")
        return None if found is None else int(found)

    def conditions(self) -> Json:
        """The provider really used, the one asked for, threads, active adapter, versions."""
        return {
            "provider": self._session.get_providers()[0],
            "providers": list(provider_options(self._config)),
            "threads": self.threads,
            "versions": machine.versions("onnxruntime", *providers.libraries(self._provider)),
            "adapter": self._adapter_name,
        }

    def step(
        self, ids: NDArray[np.int64], past: Cache | None, keep: bool
    ) -> tuple[NDArray[np.float32], Cache]:
        """Feed tokens (batch, tokens) after `past`; logits (batch, vocabulary) at the last of them.

        Also the cache after them, if asked to `keep` it. With a past, feed one token at a time:
        the attention kernel takes no batch of several. MeasurementError when the model cannot run
        or its logits are not finite.
        """
        past = self._empty(len(ids)) if past is None else past
        logits, presents = self._run(ids, past, keep)
        last = logits[:, -1]
        check_finite(last)
        return last, presents

    def logits(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Logits (batch, tokens, vocabulary) at every position of `ids` (batch, tokens).

        A graph that was built to give those of the last position alone is fed token by token.
        MeasurementError and DeadModel as from `step`.
        """
        import numpy as np

        past = self._empty(len(ids))
        logits, _ = self._run(ids, past, keep=False)
        if logits.shape[1] == 1 < ids.shape[1]:
            parts = []
            for at in range(ids.shape[1]):
                part, past = self._run(ids[:, at : at + 1], past, keep=True)
                parts.append(part)
            logits = np.concatenate(parts, axis=1)
        check_finite(logits)
        return logits

    def _run(
        self, ids: NDArray[np.int64], past: Cache, keep: bool
    ) -> tuple[NDArray[np.float32], Cache]:
        """Whatever logits the graph gives (batch, positions, vocabulary), and the cache."""
        import numpy as np

        decoder = self._config["decoder"]
        before = next(iter(past.values())).shape[2] if past else 0
        length = before + ids.shape[1]
        inputs = decoder["inputs"]
        feed = {inputs["input_ids"]: ids, **past}
        if inputs.get("attention_mask") in self._types:
            feed[inputs["attention_mask"]] = np.ones((len(ids), length), np.int64)
        if inputs.get("position_ids") in self._types:
            positions = np.arange(before, length, dtype=np.int64)
            feed[inputs["position_ids"]] = np.tile(positions, (len(ids), 1))
        names = [decoder["outputs"]["logits"], *(self._presents if keep else ())]
        with refusals("onnxruntime cannot run the model"):
            logits, *presents = self._session.run(names, feed, self._run_options)
        cache = dict(zip(past, presents, strict=True)) if keep else {}
        return logits.astype(np.float32, copy=False), cache

    def _empty(self, batch: int) -> Cache:
        import numpy as np

        decoder = self._config["decoder"]
        empty = {}
        for name in self._presents.values():
            dtype = _DTYPES.get(self._types[name])
            if dtype is None:
                raise MeasurementError(f"{name} is {self._types[name]}, which cannot be fed here")
            # Quantised keys share bytes, so that the width is the graph's, where it says one.
            width = self._widths[name]
            width = width if isinstance(width, int) else decoder["head_size"]
            empty[name] = np.zeros((batch, decoder["num_key_value_heads"], 0, width), dtype)
        return empty

    def _present_names(self, decoder: Json) -> dict[str, str]:
        """Output that holds a layer's keys or values -> the input that takes them."""
        pairs = {
            decoder["outputs"][f"present_{kind}_names"] % layer: decoder["inputs"][
                f"past_{kind}_names"
            ]
            % layer
            for kind in ("key", "value")
            for layer in range(decoder["num_hidden_layers"])
        }
        missing = sorted(set(pairs.values()) - self._types.keys())
        if missing:
            raise MeasurementError(f"the graph has no input {missing[0]!r}, which its folder names")
        return pairs


def _provider(config: Json) -> tuple[str, dict[str, str]]:
    """The provider to score on, and its settings."""
    for name, options in provider_options(config).items():
        if providers.named_in_genai(name) == "openvino":
            return "openvino", {k: v for k, v in options.items() if k != "device_type"}
    return "cpu", {}


def _adapter(folder: Path) -> tuple[str | None, Any]:
    """The name of the folder's active adapter, and it loaded; None, None where it has none."""
    import onnxruntime as ort

    active = active_adapter(folder)
    if active is None:
        return None, None
    adapter = ort.LoraAdapter()
    with refusals("onnxruntime cannot load the adapter"):
        adapter.Load(str(active[1]))
    return active[0], adapter


def read_graph(path: Path) -> Any:
    """The graph without its weights. MeasurementError where it cannot be read, or run on a CPU."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    if not path.is_file():
        raise MeasurementError(f"{path}: there is no such file, which its folder names")
    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError as error:
        raise MeasurementError(f"{path}: not an ONNX model ({error})") from None
    _refuse(model.graph)
    return model


def last_position_only(path: Path, logits: str) -> bytes | None:
    """The graph with the vocabulary's projection done at the last position alone, or None.

    The projection is a fifth of a small model's work, of which scoring needs one position. Rows
    of a product do not depend on each other: the result is the same to the bit. The weights stay
    in their files. None where the graph is not as expected: the whole of it does as well.
    """
    import onnx

    model = read_graph(path)
    nodes = model.graph.node
    makers = {output: i for i, node in enumerate(nodes) for output in node.output}
    name = logits
    while name in makers and nodes[makers[name]].op_type in _AFTER_HEAD:
        name = nodes[makers[name]].input[0]
    at = makers.get(name)
    if at is None or nodes[at].op_type not in _HEADS or not _external(model):
        return None
    index = onnx.helper.make_tensor("last_position", onnx.TensorProto.INT64, [1], [-1])
    model.graph.initializer.append(index)
    hidden, nodes[at].input[0] = nodes[at].input[0], "last_hidden"
    gather = onnx.helper.make_node("Gather", [hidden, index.name], ["last_hidden"], axis=1)
    nodes.insert(at, gather)
    content: bytes = model.SerializeToString()
    return content


def _external(model: Any) -> bool:
    """Whether the weights are in files of their own, so that the graph itself is small."""
    return any(tensor.external_data for tensor in model.graph.initializer)


def _refuse(graph: Any) -> None:
    """MeasurementError for a graph that the CPU has no kernels for, or would compute wrongly."""
    from onnx import TensorProto

    kinds = {i.type.tensor_type.elem_type for i in graph.input}
    kinds |= {tensor.data_type for tensor in graph.initializer}
    if TensorProto.BFLOAT16 in kinds:
        raise MeasurementError(
            "the model computes in bf16, for which ONNX Runtime has no kernels on the CPU, where "
            "models are scored; build it in fp16"
        )
    if TensorProto.FLOAT8E4M3FN in kinds:
        raise MeasurementError(
            "the model's cache is in fp8, for which ONNX Runtime has no kernels on the CPU, where "
            "models are scored; build it with kv_cache int8_per_tensor or none"
        )
    if any(a.name == "weight_prepacked" and a.i for node in graph.node for a in node.attribute):
        raise MeasurementError(
            "the model's weights are ordered for one GPU's kernels (prepacked_for), and the CPU, "
            "where models are scored, would read them wrongly; build it with prepacked_for none"
        )
