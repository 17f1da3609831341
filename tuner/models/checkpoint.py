"""Loads transformers checkpoints for the passes, and copies what a pass leaves as it was.

Nothing is asked of the hub, and no code of a model folder is run. Knows nothing of what a pass
does with a model. Heavy libraries are imported inside the functions.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evaluators.base import Artifact
from search_spaces.kinds import ENCODER, kind_of

WEIGHTS = (".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json")

_HEAD_SEED = 0
"""A classification head that a checkpoint lacks begins with the same weights everywhere."""


def read_config(folder: Path) -> dict[str, Any]:
    """The checkpoint's config.json. OSError or ValueError where there is none."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config


def is_encoder(folder: Path) -> bool:
    """Whether the checkpoint is an encoder, which classifies, and no model that generates."""
    return kind_of(read_config(folder)) == ENCODER


def load_causal(model: Artifact, dtype: Any = "auto") -> Any:
    """The language model of a checkpoint ("hf" or "quantized"), on the CPU, in eval mode.

    The packed weights of a quantized one come back as floats: it computes what the packed model
    stands for. `dtype`: a torch data type, or "auto" for that of the checkpoint.
    """
    if model.format == "quantized":
        from tuner.models.quantized import load_dequantized

        return load_dequantized(model.path, dtype)
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        model.path, dtype=dtype, local_files_only=True, trust_remote_code=False
    )


def load_classifier(folder: Path, labels: Sequence[str], dtype: Any = "auto") -> Any:
    """The encoder of a checkpoint with a classification head for `labels`.

    A head that the checkpoint brings is kept where its labels are these, in the head's own order;
    otherwise a fresh one, the same on every call, takes its place, with the labels in the order
    given. `config.id2label` of the result names them. ValueError where weights of the encoder
    itself are missing.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    brought = head_labels(folder)
    keep = brought is not None and sorted(brought) == sorted(labels)
    names = dict(enumerate(brought if brought and keep else labels))
    with torch.random.fork_rng(), _without_load_report():
        torch.manual_seed(_HEAD_SEED)
        model, found = AutoModelForSequenceClassification.from_pretrained(
            folder,
            dtype=dtype,
            id2label=names,
            label2id={label: i for i, label in names.items()},
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            local_files_only=True,
            trust_remote_code=False,
        )
        _check_backbone(folder, model, found)
        if brought is not None and not keep:
            _begin_head(model)
    return model


def head_labels(folder: Path) -> list[str] | None:
    """The labels of the classification head that a checkpoint brings; None where it has none."""
    config = read_config(folder)
    names = config.get("id2label")
    if not names or "SequenceClassification" not in str(config.get("architectures")):
        return None
    return [str(names[key]) for key in sorted(names, key=int)]


def _check_backbone(folder: Path, model: Any, found: dict[str, Any]) -> None:
    # Without this, a damaged checkpoint would be used with random weights in the gaps.
    lost = [*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])]
    backbone = f"{model.base_model_prefix}."
    bad = sorted(key for key in lost if key.startswith(backbone) and ".pooler." not in key)
    if bad:
        raise ValueError(f"{folder}: the checkpoint lacks {len(bad)} tensors, such as {bad[0]}")


def _begin_head(model: Any) -> None:
    """Give everything beside the backbone fresh weights, whatever the checkpoint had there."""
    backbone = f"{model.base_model_prefix}."
    fresh = type(model)(model.config).state_dict()
    head = {name: tensor for name, tensor in fresh.items() if not name.startswith(backbone)}
    model.load_state_dict(head, strict=False)
    if model.config.problem_type is not None:
        model.config.problem_type = "single_label_classification"


@contextmanager
def _without_load_report() -> Iterator[None]:
    """Keep transformers from listing a head that comes or goes, which is what was asked for."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def load_tokenizer(folder: Path) -> Any:
    """The checkpoint's tokenizer."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def copy_other_files(source: Path, target: Path, but: Sequence[str] = ()) -> None:
    """Configuration, tokenizer and chat template as `source` has them; no weights.

    `but`: names of files that are not copied, such as a configuration that the pass has written.
    """
    for path in sorted(source.iterdir()):
        hidden = path.name.startswith(".")
        if (
            path.is_file()
            and not hidden
            and path.name not in but
            and not path.name.endswith(WEIGHTS)
        ):
            shutil.copyfile(path, target / path.name)
