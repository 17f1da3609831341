"""Texts of the training split as token sequences of one length, to calibrate a quantiser with.

Knows nothing of what is measured on them.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from evaluators.rows import Rows
from search_spaces.data import DataSpec, read_split
from search_spaces.vocabulary import Value
from tuner.passes.base import PassError, StageContext


def calibration_sequences(context: StageContext) -> Any:
    """Token ids int64 [samples, length], as the stage's calibration parameters say.

    Texts are shuffled and strung together, an end-of-text token after each; every token comes
    once. PassError where there are too few for one sequence.
    """
    from tuner.models.checkpoint import load_tokenizer, read_config

    limit = read_config(context.model.path).get("max_position_embeddings")
    tokenizer = load_tokenizer(context.model.path)
    return _sequences(tokenizer, context.data, context.parameters, limit)


def _sequences(
    tokenizer: Any, data: DataSpec | None, parameters: Mapping[str, Value], limit: int | None
) -> Any:
    import torch

    length = int(str(parameters["calibration_length"]))
    wanted = int(str(parameters["calibration_samples"]))
    if limit is not None and length > limit:
        raise PassError(
            f"calibration_length {length} is more than the model reads: at most {limit} tokens"
        )
    tokens = _tokens(tokenizer, data, int(str(parameters["seed"])))
    samples = min(wanted, len(tokens) // length)
    if not samples:
        raise PassError(
            f"the training split has {len(tokens)} tokens, too few for one sequence of "
            f"calibration_length {length}: lower it to at most {len(tokens)}"
        )
    print(f"calibrating on {samples} sequences of {length} tokens", flush=True)
    return torch.tensor(tokens[: samples * length], dtype=torch.int64).reshape(samples, length)


def _tokens(tokenizer: Any, data: DataSpec | None, seed: int) -> list[int]:
    """The whole training split as one run of tokens."""
    rows = [] if data is None else read_split(data, "train")
    if data is None or not rows:
        raise PassError("calibration needs texts: the space has no `data` with a training split")
    random.Random(seed).shuffle(rows)
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    reading = Rows(tokenizer, data)
    texts = reading.encode(reading.texts(rows))
    return [token for text in texts for token in (*text, *end)]
