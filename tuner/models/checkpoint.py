"""Loads transformers checkpoints for the passes, and copies what a pass leaves as it was.

Nothing is asked of the hub, and no code of a model folder is run. Knows nothing of what a pass
does with a model. Heavy libraries are imported inside the functions.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
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
    """The encoder of a checkpoint with a classification head for `labels`, in their order.

    A head that the checkpoint brings is kept where its labels are these; otherwise a fresh one,
    the same on every call, takes its place. `config.id2label` of the result names the labels.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    names = dict(enumerate(labels))
    with torch.random.fork_rng():
        torch.manual_seed(_HEAD_SEED)
        return AutoModelForSequenceClassification.from_pretrained(
            folder,
            dtype=dtype,
            id2label=names,
            label2id={label: i for i, label in names.items()},
            ignore_mismatched_sizes=True,
            local_files_only=True,
            trust_remote_code=False,
        )


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
