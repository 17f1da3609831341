"""Which kind of model a configuration describes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from search_spaces.kinds import CAUSAL, ENCODER, kind_of

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from family_models import FAMILIES  # found on the path set above

from tuner.models.tiny import shrink


@pytest.mark.parametrize(
    ("kind", "family"), [(kind, family) for kind in FAMILIES for family in FAMILIES[kind]]
)
def test_a_familys_configuration_tells_its_kind(kind: str, family: str) -> None:
    tiny = shrink(FAMILIES[kind][family])
    assert kind_of(tiny) == kind


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"model_type": "bert", "architectures": ["BertModel"]}, ENCODER),
        ({"model_type": "roberta", "architectures": ["RobertaForMaskedLM"]}, ENCODER),
        ({"model_type": "roberta", "architectures": ["RobertaForCausalLM"]}, CAUSAL),
        ({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}, CAUSAL),
        ({"model_type": "gpt2", "n_layer": 12, "vocab_size": 50257}, CAUSAL),
        ({"model_type": "llama", "num_hidden_layers": 2, "vocab_size": 9}, CAUSAL),
    ],
)
def test_a_head_decides_then_the_type(config: dict[str, Any], kind: str) -> None:
    assert kind_of(config) == kind


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "t5", "is_encoder_decoder": True, "num_layers": 6, "vocab_size": 9},
        {"model_type": "vit", "architectures": ["ViTModel"], "num_hidden_layers": 12},
        {
            "model_type": "llama",
            "architectures": ["LlamaForSequenceClassification"],
            "num_hidden_layers": 2,
            "vocab_size": 9,
        },
        {},
    ],
)
def test_other_models_are_neither(config: dict[str, Any]) -> None:
    assert kind_of(config) is None
