from __future__ import annotations

import pytest

from tuner.models.architectures import guess, sort_of


@pytest.mark.parametrize(
    ("name", "model_type"),
    [
        ("microsoft/Phi-3-mini-4k-instruct", "phi3"),
        ("model-cache/microsoft/phi-3-mini", "phi3"),
        ("microsoft/Phi-4-mini-reasoning", "phi3"),
        ("microsoft/phi-2", "phi"),
        ("Qwen/Qwen1.5-7B-Chat", "qwen2"),
        ("Qwen/Qwen2.5-Coder-0.5B-Instruct", "qwen2"),
        ("Qwen/Qwen3-8B", "qwen3"),
        ("Qwen/Qwen3.5-35B-A3B", "qwen3_5_moe_text"),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "llama"),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", "qwen2"),
        ("google/translategemma-4b-it", "gemma3_text"),
        ("google/gemma-4-E2B-it", "gemma4_text"),
        ("google-bert/bert-base-multilingual-cased", "bert"),
        ("FacebookAI/xlm-roberta-base", "xlm-roberta"),
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "llama"),
        ("meta-llama/my-own-thing", "llama"),
        ("someone/zebra", None),
    ],
)
def test_a_name_tells_the_architecture(name: str, model_type: str | None) -> None:
    assert guess(name) == model_type


@pytest.mark.parametrize(
    ("name", "sort"),
    [
        ("openai/whisper-large-v3", "speech"),
        ("nvidia/NVIDIA-Nemotron-3.5-ASR-Streaming-Multilingual-0.6b", "speech"),
        ("Qwen/Qwen2.5-VL-3B-Instruct", "vision-language"),
        ("google/vit-base-patch16-224", "vision"),
        ("stable-diffusion-v1-5/stable-diffusion-v1-5", "diffusion"),
        ("google/gemma-3-1b-it", "causal"),
        ("Intel/bert-base-uncased-mrpc", "encoder"),
        ("someone/zebra", None),
    ],
)
def test_a_name_tells_what_a_model_is_for(name: str, sort: str | None) -> None:
    assert sort_of(name) == sort


def test_every_text_model_type_is_one_that_transformers_knows() -> None:
    from transformers import CONFIG_MAPPING

    from tuner.models import architectures

    types = {t for _, t, sort in architectures._NAMES if sort in ("causal", "encoder")}
    assert types <= set(CONFIG_MAPPING.keys())
