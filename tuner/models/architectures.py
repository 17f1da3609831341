"""Which architecture a model has, told by its name alone: for where its configuration is not here.

A guess, and called one wherever it is shown. Knows nothing of torch or transformers: the types are
transformers' names.
"""

from __future__ import annotations

import re
from typing import Literal

Sort = Literal["causal", "encoder", "vision", "speech", "vision-language", "diffusion", "detection"]

_NAMES: tuple[tuple[str, str, Sort], ...] = (
    # what a name says of vision, speech and pictures comes before the family that is in it, too
    (r"stable-diffusion|sdxl|flux", "diffusion", "diffusion"),
    (r"adetailer|yolo", "yolos", "detection"),
    (r"table-transformer|\bdetr\b", "detr", "detection"),
    (r"whisper", "whisper", "speech"),
    (r"wav2vec", "wav2vec2", "speech"),
    (r"\bast\b|speech|parakeet|\basr\b", "audio-spectrogram-transformer", "speech"),
    (r"\bclip\b|siglip", "clip", "vision-language"),
    (r"\bsam\b|\bsam2", "sam", "vision"),
    (r"\bvit\b|vision-transformer", "vit", "vision"),
    (r"resnet|mobilenet|efficientnet|inception", "resnet", "vision"),
    (r"blip|llava|paligemma|phi-?3.*vision|videochat", "llava", "vision-language"),
    (r"fara-|qwen2\.5-vl", "qwen2_5_vl", "vision-language"),
    (r"qwen3-vl", "qwen3_vl", "vision-language"),
    (r"qwen2-vl", "qwen2_vl", "vision-language"),
    # encoders
    (r"xlm-r(oberta)?", "xlm-roberta", "encoder"),
    (r"distil-?roberta|roberta", "roberta", "encoder"),
    (r"deberta-?v[23]|mdeberta", "deberta-v2", "encoder"),
    (r"deberta", "deberta", "encoder"),
    (r"modernbert", "modernbert", "encoder"),
    (r"distilbert", "distilbert", "encoder"),
    (r"albert", "albert", "encoder"),
    (r"electra", "electra", "encoder"),
    (r"mpnet", "mpnet", "encoder"),
    (r"minilm|bge-|\be5-|\bbert", "bert", "encoder"),
    (r"\bgte-", "gte", "encoder"),
    # language models; a distilled one is named after its teacher first
    (r"distill-qwen", "qwen2", "causal"),
    (r"distill-llama", "llama", "causal"),
    (r"qwen-?3\.5.*-a\d+b", "qwen3_5_moe_text", "causal"),
    (r"qwen-?3\.5", "qwen3_5_text", "causal"),
    (r"qwen-?3.*-a\d+b", "qwen3_moe", "causal"),
    (r"qwen-?3", "qwen3", "causal"),
    (r"qwen-?(1\.5|2|2\.5)|qwq", "qwen2", "causal"),
    (r"phi-?(3\.5)?-?moe", "phimoe", "causal"),
    (r"phi-?[34]", "phi3", "causal"),
    (r"phi-?(1|1\.5|2)\b", "phi", "causal"),
    (r"smollm-?3", "smollm3", "causal"),
    (r"smollm", "llama", "causal"),
    (r"olmo-?3", "olmo3", "causal"),
    (r"olmo-?2", "olmo2", "causal"),
    (r"olmo", "olmo", "causal"),
    (r"hy-mt|hunyuan", "hunyuan_v1_dense", "causal"),
    (r"mixtral", "mixtral", "causal"),
    (r"ministral-?3", "ministral3", "causal"),
    (r"mistral|ministral|zephyr", "mistral", "causal"),
    (r"gemma-?4(-|$)", "gemma4_text", "causal"),
    (r"gemma-?3n", "gemma3n_text", "causal"),
    (r"gemma-?3|translategemma", "gemma3_text", "causal"),
    (r"gemma-?2", "gemma2", "causal"),
    (r"gemma", "gemma", "causal"),
    (r"gpt-oss", "gpt_oss", "causal"),
    (r"gpt-?2", "gpt2", "causal"),
    (r"gpt-?neox|pythia", "gpt_neox", "causal"),
    (r"\bopt-", "opt", "causal"),
    (r"granite", "granite", "causal"),
    (r"nemotron", "nemotron", "causal"),
    (r"ernie-?4", "ernie4_5", "causal"),
    (r"lfm-?2", "lfm2", "causal"),
    (r"starcoder-?2", "starcoder2", "causal"),
    (r"falcon", "falcon", "causal"),
    (r"bloom", "bloom", "causal"),
    (r"llama|vicuna|tinyllama|yi-|deepseek-(llm|coder)", "llama", "causal"),
)
"""Pattern in a lower-case name -> transformers' model type, and what such a model is for."""


def guess(name: str) -> str | None:
    """The model type that a name tells, such as "qwen2" for Qwen/Qwen2.5-0.5B; None: none."""
    found = _find(name)
    return None if found is None else found[0]


def sort_of(name: str) -> Sort | None:
    """What a model of this name is for; None where the name does not tell."""
    found = _find(name)
    return None if found is None else found[1]


def _find(name: str) -> tuple[str, Sort] | None:
    """By the model's own name first: an organisation's may be a family's, too."""
    whole = name.lower().replace("_", "-").rstrip("/")
    for text in dict.fromkeys((whole.rsplit("/", 1)[-1], whole)):
        for pattern, model_type, sort in _NAMES:
            if re.search(pattern, text):
                return model_type, sort
    return None
