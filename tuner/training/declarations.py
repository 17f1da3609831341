"""The parameters that fine-tuning passes have in common, as they declare them.

Knows nothing of torch: a space is checked against these before anything heavy is imported.
"""

from __future__ import annotations

from dataclasses import dataclass

from search_spaces.vocabulary import ParameterSpec, SearchRange

ALL_LINEAR = "all-linear"
_ADAPTER_RATES = SearchRange(1e-4, 2e-3, log=True)
_BEGINNINGS = {
    "default": "Kaiming noise",
    "gaussian": "Gaussian noise",
    "pissa": "the base's singular vectors",
    "olora": "orthonormal vectors of the base",
}
INITIALISATIONS = tuple(_BEGINNINGS)


def adapter_parameters(
    initialisations: tuple[str, ...] = INITIALISATIONS,
) -> tuple[ParameterSpec, ...]:
    """What shapes an adapter. `initialisations`: those that the pass can begin with."""
    return (
        ParameterSpec("r", int, 16, "Rank of the adapters.", low=1, high=512, search=(4, 16, 64)),
        ParameterSpec(
            "alpha",
            float,
            32.0,
            "Strength of the adapters: they are scaled by alpha / r.",
            low=0.01,
            high=4096.0,
            search=(16.0, 32.0, 64.0),
        ),
        ParameterSpec(
            "dropout", float, 0.0, "Share of the adapters' inputs left out.", low=0.0, high=0.9
        ),
        ParameterSpec(
            "target_modules",
            list,
            (ALL_LINEAR,),
            "Linear modules that get an adapter, such as [q_proj, v_proj]; [all-linear]: all.",
        ),
        ParameterSpec("rslora", bool, False, "Scale by alpha / sqrt(r), for high ranks."),
        ParameterSpec(
            "dora",
            bool,
            False,
            "Learn a length for each row of a matrix besides (DoRA): slower, better at low ranks.",
            search=(False, True),
        ),
        ParameterSpec(
            "initialisation",
            str,
            "default",
            f"How adapters begin: {' or '.join(_BEGINNINGS[name] for name in initialisations)}.",
            choices=initialisations,
            search=("default", "pissa") if "pissa" in initialisations else None,
        ),
    )


@dataclass(frozen=True, slots=True)
class Defaults:
    """What is right for one pass and not for another; `rates` and `steps` are worth searching."""

    learning_rate: float = 2e-4
    rates: SearchRange = _ADAPTER_RATES
    max_steps: int = 100
    steps: tuple[int, ...] = (25, 50, 100)
    batch_size: int = 8
    warmup_ratio: float = 0.0


_ADAPTERS = Defaults()


def training_parameters(default: Defaults = _ADAPTERS) -> tuple[ParameterSpec, ...]:
    """What drives the training loop."""
    return (
        ParameterSpec(
            "learning_rate",
            float,
            default.learning_rate,
            "Peak learning rate.",
            low=1e-7,
            high=1.0,
            search=default.rates,
        ),
        ParameterSpec(
            "epochs",
            float,
            None,
            "Rounds through the data; null: max_steps decides how long to train.",
            low=0.01,
            high=10_000.0,
            nullable=True,
        ),
        ParameterSpec(
            "max_steps",
            int,
            default.max_steps,
            "Updates of the weights, where epochs is null.",
            low=1,
            high=1_000_000,
            search=default.steps,
            applies={"epochs": (None,)},
        ),
        *_batch_parameters(default.batch_size),
        *_schedule_parameters(default.warmup_ratio),
        *_text_parameters(),
        ParameterSpec("seed", int, 0, "Seed of weights, order and dropout.", low=0, high=2**31),
    )


def _batch_parameters(size: int) -> tuple[ParameterSpec, ...]:
    return (
        ParameterSpec(
            "batch_size", int, size, "Texts in a batch.", low=1, high=4096, search=(8, 16)
        ),
        ParameterSpec("gradient_accumulation", int, 1, "Batches for one update.", low=1, high=4096),
    )


def _schedule_parameters(warmup: float) -> tuple[ParameterSpec, ...]:
    return (
        ParameterSpec(
            "scheduler",
            str,
            "linear",
            "How the learning rate falls after the warm-up.",
            choices=("constant", "linear", "cosine"),
        ),
        ParameterSpec(
            "warmup_ratio",
            float,
            warmup,
            "Share of the steps in which the learning rate rises.",
            low=0.0,
            high=0.5,
        ),
        ParameterSpec("weight_decay", float, 0.0, "AdamW's decay.", low=0.0, high=1.0),
        ParameterSpec("max_grad_norm", float, 1.0, "Longer gradients are cut.", low=1e-6, high=1e6),
    )


def _text_parameters() -> tuple[ParameterSpec, ...]:
    return (
        ParameterSpec(
            "loss",
            str,
            "label",
            "Learn the label's tokens only, or the full text. An encoder learns the label alone.",
            choices=("label", "full"),
        ),
        ParameterSpec(
            "learn_end",
            bool,
            True,
            "Learn too that the text ends after the label, so that generating it stops there.",
            applies={"loss": ("label",)},
        ),
        ParameterSpec(
            "packing",
            bool,
            False,
            "String all texts together, each with its end, and cut that into pieces of max_length.",
            applies={"loss": ("full",)},
            later=True,
        ),
        ParameterSpec(
            "max_length",
            int,
            512,
            "Tokens of a text; longer ones lose their start (label) or end (full, encoders).",
            low=2,
            high=1_048_576,
        ),
    )
