"""The `lora` pass: low-rank adapters are trained on the data's training split.

A plain training loop: seeded, so that on a CPU the same inputs give the same bytes. Knows nothing
of how the adapter is merged, scored or searched for.
Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (2021); `rslora` after
Kalajdzievski, "A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA" (2023).
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

from evaluators.text import cut, encode_texts, render, split_prompt
from search_spaces.data import DataSpec, Row, read_split
from search_spaces.problems import hint
from search_spaces.vocabulary import Aspect, ParameterSpec, PassSpec, SearchRange, Value
from tuner.passes.base import Pass, PassError, StageContext

ALL_LINEAR = "all-linear"


class Lora(Pass):
    """Trains an adapter with AdamW; the base model stays as it is.

    Loss: the mean cross-entropy over the tokens of the labels (`loss: label`) or of the whole
    text and its end-of-text token (`loss: full`). Batches hold texts of about the same length.
    """

    spec = PassSpec(
        name="lora",
        version=1,
        help="Fine-tune low-rank adapters (LoRA) on the training data.",
        accepts=frozenset({"hf", "quantized"}),
        gives="adapter",
        changes=frozenset({Aspect.WEIGHTS}),
        neutral=None,
        uses_data=True,
        libraries=("torch", "transformers", "peft"),
        parameters=(
            ParameterSpec(
                "r", int, 16, "Rank of the adapters.", low=1, high=512, search=(4, 16, 64)
            ),
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
            ParameterSpec(
                "learning_rate",
                float,
                2e-4,
                "Peak learning rate.",
                low=1e-7,
                high=1.0,
                search=SearchRange(1e-4, 2e-3, log=True),
            ),
            ParameterSpec(
                "max_steps",
                int,
                100,
                "Updates of the adapters.",
                low=1,
                high=1_000_000,
                search=(25, 50, 100),
            ),
            ParameterSpec("batch_size", int, 8, "Texts in a batch.", low=1, high=4096),
            ParameterSpec(
                "gradient_accumulation", int, 1, "Batches for one update.", low=1, high=4096
            ),
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
                0.0,
                "Share of the steps in which the learning rate rises.",
                low=0.0,
                high=0.5,
            ),
            ParameterSpec("weight_decay", float, 0.0, "AdamW's decay.", low=0.0, high=1.0),
            ParameterSpec(
                "max_grad_norm", float, 1.0, "Longer gradients are cut.", low=1e-6, high=1e6
            ),
            ParameterSpec("rslora", bool, False, "Scale by alpha / sqrt(r), for high ranks."),
            ParameterSpec(
                "loss",
                str,
                "label",
                "Learn the label's tokens only, or the full text.",
                choices=("label", "full"),
            ),
            ParameterSpec(
                "max_length",
                int,
                512,
                "Tokens of a text; longer ones lose their start (label) or end (full).",
                low=2,
                high=1_048_576,
            ),
            ParameterSpec("seed", int, 0, "Seed of weights, order and dropout.", low=0, high=2**31),
        ),
    )

    def check(self, parameters: Mapping[str, Value]) -> list[str]:
        """Refuse target modules that say nothing, or two things."""
        targets = _targets(parameters["target_modules"])
        if not targets:
            return [f"target_modules is empty: name linear modules, or [{ALL_LINEAR}]"]
        if ALL_LINEAR in targets and len(targets) > 1:
            return [f"target_modules: {ALL_LINEAR} stands alone, it covers every other name"]
        return []

    def run(self, context: StageContext) -> None:
        """Train, and write the adapter in peft's format."""
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        settings = Settings(**cast("dict[str, Any]", dict(context.parameters)))
        tokenizer = AutoTokenizer.from_pretrained(context.model.path, local_files_only=True)
        examples = read_examples(tokenizer, context.data, settings)
        cuda = torch.cuda.is_available()
        model = AutoModelForCausalLM.from_pretrained(
            context.model.path,
            dtype=torch.bfloat16 if cuda else torch.float32,
            local_files_only=True,
            trust_remote_code=False,
        ).to("cuda" if cuda else "cpu")
        torch.manual_seed(settings.seed)
        adapted = _with_adapters(model, settings)
        train(adapted, examples, settings)
        _save(adapted, context.output)


@dataclass(frozen=True, slots=True)
class Settings:
    """The pass's parameters, typed; the names are those of its declaration."""

    r: int
    alpha: float
    dropout: float
    target_modules: str | tuple[str, ...]
    learning_rate: float
    max_steps: int
    batch_size: int
    gradient_accumulation: int
    scheduler: str
    warmup_ratio: float
    weight_decay: float
    max_grad_norm: float
    rslora: bool
    loss: str
    max_length: int
    seed: int


@dataclass(frozen=True, slots=True)
class Example:
    """A text as token ids, of which those from `start` on are learned (never the first)."""

    ids: list[int]
    start: int

    @property
    def learned(self) -> int:
        """How many tokens are learned."""
        return len(self.ids) - self.start


def read_examples(tokenizer: Any, data: DataSpec | None, settings: Settings) -> list[Example]:
    """The training split as tokens, cut to `max_length`; how many were cut goes to the log."""
    if data is None:
        raise PassError("lora needs training data: the space has no `data`")
    rows = read_split(data, "train")
    if not rows:
        raise PassError("lora needs training data: the training split has no rows")
    make = _label_examples if settings.loss == "label" else _full_examples
    whole = make(tokenizer, data, rows)
    kept = [_shorten(example, settings) for example in whole]
    lengths = [len(example.ids) for example in kept]
    shortened = sum(example.ids != before.ids for example, before in zip(kept, whole, strict=True))
    print(
        f"{len(rows)} texts of {sum(lengths) / len(rows):.1f} tokens on average, "
        f"{shortened} of them cut to {settings.max_length}",
        flush=True,
    )
    return kept


def _label_examples(tokenizer: Any, data: DataSpec, rows: Sequence[Row]) -> list[Example]:
    """The label, and what follows it, is learned."""
    label = data.label
    if label is None:
        raise PassError("loss: label needs a label column; name it under data, or use loss: full")
    pairs = [split_prompt(data.template, label, row) for row in rows]
    prompts = encode_texts(tokenizer, [prompt for prompt, _ in pairs])
    texts = encode_texts(tokenizer, [prompt + completion for prompt, completion in pairs])
    parts = [cut(tokenizer, alone, joint) for alone, joint in zip(prompts, texts, strict=True)]
    return [Example(prompt + completion, len(prompt)) for prompt, completion in parts]


def _full_examples(tokenizer: Any, data: DataSpec, rows: Sequence[Row]) -> list[Example]:
    """Every token but the first is learned, and that the text ends."""
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    texts = encode_texts(tokenizer, [render(data.template, row) for row in rows])
    return [Example(ids + end, 1) for ids in texts]


def _shorten(example: Example, settings: Settings) -> Example:
    excess = len(example.ids) - settings.max_length
    if excess <= 0:
        return example
    if settings.loss == "full":
        return Example(example.ids[: settings.max_length], example.start)
    if example.learned >= settings.max_length:
        raise PassError(
            f"max_length {settings.max_length} leaves no room for a prompt: a label, with what "
            f"follows it in the template, has {example.learned} tokens"
        )
    return Example(example.ids[excess:], example.start - excess)


def _targets(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _with_adapters(model: Any, settings: Settings) -> Any:
    """The model with fresh adapters; only they are trained."""
    from peft import LoraConfig, get_peft_model

    adapted = get_peft_model(
        model,
        LoraConfig(
            task_type="CAUSAL_LM",
            r=settings.r,
            lora_alpha=cast("int", settings.alpha),  # peft declares a whole number, takes any
            lora_dropout=settings.dropout,
            use_rslora=settings.rslora,
            target_modules=target_modules(model, _targets(settings.target_modules)),
        ),
    )
    print(f"{sum(p.numel() for p in _trained(adapted))} parameters are trained", flush=True)
    return adapted


def target_modules(model: Any, requested: tuple[str, ...]) -> str | list[str]:
    """What peft is told; PassError where the model has no linear module of a requested name."""
    if requested == (ALL_LINEAR,):
        return ALL_LINEAR
    head = model.get_output_embeddings()
    linear = [
        name
        for name, module in model.named_modules()
        if type(module).__name__ in ("Linear", "Conv1D") and module is not head
    ]
    short = sorted({name.rsplit(".", 1)[-1] for name in linear})
    for wanted in requested:
        if not any(f".{name}".endswith(f".{wanted}") for name in linear):
            raise PassError(
                f"target_modules: this model has no linear module {wanted!r}{hint(wanted, short)}"
                f" It has {', '.join(short)}"
            )
    return sorted(requested)


def _trained(model: Any) -> list[Any]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def train(model: Any, examples: Sequence[Example], settings: Settings) -> list[float]:
    """Train the adapters in place; the loss of every step. PassError when it is not finite."""
    import torch

    model.train()
    parameters = _trained(model)
    optimizer = torch.optim.AdamW(
        parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    source = batches([len(e.ids) for e in examples], settings.batch_size, settings.seed)
    losses: list[float] = []
    progress = Progress(settings.max_steps)
    for step in range(settings.max_steps):
        group = [[examples[i] for i in b] for b in islice(source, settings.gradient_accumulation)]
        for options in optimizer.param_groups:
            options["lr"] = settings.learning_rate * rate_factor(step, settings)
        losses.append(_accumulate(model, group))
        if not math.isfinite(losses[-1]):
            raise PassError(f"the loss is {losses[-1]} at step {step + 1}: lower learning_rate")
        torch.nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        progress.report(step, losses, sum(len(e.ids) for batch in group for e in batch))
    return losses


def batches(lengths: Sequence[int], size: int, seed: int) -> Iterator[list[int]]:
    """Indices of full batches without end; each round through the data has an order of its own.

    Within windows of a few batches, texts of like length come together: little is spent on
    padding, and what comes together still changes from round to round.
    """
    order = random.Random(seed)
    size = min(size, len(lengths))
    left: list[int] = []
    while True:
        round_ = list(range(len(lengths)))
        order.shuffle(round_)
        left += round_
        for _ in range(0, len(left) - size + 1, 8 * size):
            taken = min(8 * size, len(left) - len(left) % size)
            window, left = sorted(left[:taken], key=lengths.__getitem__), left[taken:]
            parts = [window[i : i + size] for i in range(0, taken, size)]
            order.shuffle(parts)
            yield from parts


def rate_factor(step: int, settings: Settings) -> float:
    """What the learning rate is multiplied with at a step, counted from 0."""
    warmup = round(settings.warmup_ratio * settings.max_steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = (step - warmup) / max(1, settings.max_steps - warmup)
    falls = {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 + 0.5 * math.cos(math.pi * done)}
    return falls[settings.scheduler]


def _accumulate(model: Any, group: Sequence[Sequence[Example]]) -> float:
    """Add the gradients of the mean loss over all learned tokens of the batches; that loss."""
    learned = sum(example.learned for batch in group for example in batch)
    loss = 0.0
    for batch in group:
        part = batch_loss(model, batch) / learned
        part.backward()
        loss += float(part.detach())
    return loss


def batch_loss(model: Any, batch: Sequence[Example]) -> Any:
    """The cross-entropy of the learned tokens, summed: a scalar tensor.

    Texts are padded behind their end, where causal attention lets no token of theirs look, so
    that neither a mask nor a padding token is needed. Logits, of which there is one for each
    word of the vocabulary, are computed at positions of learned tokens only.
    """
    import torch

    width = max(len(example.ids) for example in batch)
    ids = [example.ids + [0] * (width - len(example.ids)) for example in batch]
    before = [range(example.start - 1, len(example.ids) - 1) for example in batch]
    kept = sorted({position for positions in before for position in positions})
    column = {position: i for i, position in enumerate(kept)}
    logits = model(
        input_ids=torch.tensor(ids, device=model.device),
        logits_to_keep=torch.tensor(kept, device=model.device),
        use_cache=False,
    ).logits
    rows = [row for row, positions in enumerate(before) for _ in positions]
    columns = [column[position] for positions in before for position in positions]
    wanted = [token for example in batch for token in example.ids[example.start :]]
    return torch.nn.functional.cross_entropy(
        logits[rows, columns].float(), torch.tensor(wanted, device=model.device), reduction="sum"
    )


class Progress:
    """Prints about twenty lines: step, mean loss since the last line, tokens per second."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._every = max(1, steps // 20)
        self._since, self._tokens, self._lines = time.monotonic(), 0, 0

    def report(self, step: int, losses: Sequence[float], tokens: int) -> None:
        """Count a step, numbered from 0, and print where a line is due."""
        self._tokens += tokens
        if (step + 1) % self._every and step + 1 < self._steps:
            return
        recent = losses[self._lines :]
        speed = self._tokens / max(time.monotonic() - self._since, 1e-9)
        print(
            f"step {step + 1}/{self._steps}  loss {sum(recent) / len(recent):.4f}  "
            f"{speed:.0f} tokens/s",
            flush=True,
        )
        self._since, self._tokens, self._lines = time.monotonic(), 0, len(losses)


def _save(model: Any, output: Path) -> None:
    """Write the adapter, leaving out what peft adds of this machine or in random order."""
    model.save_pretrained(output)
    (output / "README.md").unlink(missing_ok=True)
    path = output / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = None
    config["target_modules"] = sorted(config["target_modules"])
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
