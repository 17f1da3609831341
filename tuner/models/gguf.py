"""Turns a GGUF file into a transformers checkpoint with 32-bit weights.

The weights are those that the quantised ones stand for: what quantising lost stays lost.
"""

from __future__ import annotations

from pathlib import Path


def dequantise(file: Path, output: Path) -> None:
    """Write configuration, fp32 weights, tokenizer and chat template of a GGUF file.

    Takes some 20 s for 135 M parameters, most of them for transformers' three readings of the
    file's 50,000 vocabulary entries.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    print(f"de-quantising {file.name}", flush=True)
    model = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32, local_files_only=True
    )
    # It is no quantised model any more, and could not be saved as one.
    model.hf_quantizer = None
    del model.config.quantization_config
    model.save_pretrained(output)
    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(output)
