"""How a model that was chosen is used: a snippet for its format, and commands.

Paths are relative to the answer's folder. Knows nothing of where that is.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from search_spaces.candidates import SOURCE_FORMAT
from tuner.passes import all_passes
from tuner.report.page.document import Use

_GENAI = """\
import onnxruntime_genai as og

model = og.Model("model")
tokenizer = og.Tokenizer(model)
parameters = og.GeneratorParams(model)
parameters.set_search_options(max_length=256)
generator = og.Generator(model, parameters)
generator.append_tokens(tokenizer.encode("..."))
while not generator.is_done():
    generator.generate_next_token()
print(tokenizer.decode(generator.get_sequence(0)))
"""

_ONNX = """\
from pathlib import Path

import onnxruntime as ort
from evaluators.runtimes.onnx import SessionSettings  # the options that were measured
from transformers import AutoTokenizer

options = SessionSettings.read(Path("model")).options()
session = ort.InferenceSession("model/model.onnx", options)
tokens = AutoTokenizer.from_pretrained("model")("...", return_tensors="np")
wanted = {known.name for known in session.get_inputs()}
[logits, *_] = session.run(None, {k: v for k, v in tokens.items() if k in wanted})
"""

_ADAPTER = """\
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = AutoModelForCausalLM.from_pretrained("BASE")  # the model that was tuned
model = PeftModel.from_pretrained(base, "model")
"""

_HF = """\
from transformers import {kind}, AutoTokenizer

model = {kind}.from_pretrained("model")
tokenizer = AutoTokenizer.from_pretrained("model")
"""

_SENTENCES = {
    "genai": "model/ loads in ONNX Runtime GenAI as it lies.",
    "onnx": "model/ loads in ONNX Runtime; model/session.json has the session's options.",
    "hf": "model/ is a transformers checkpoint.",
    "quantized": "model/ is a transformers checkpoint with packed weights.",
    "adapter": "model/ is an adapter of peft, for the model that was tuned.",
}


def format_of(passes: Iterable[str]) -> str:
    """The format of what a pipeline gives; "" where one of its passes is not installed."""
    known, found = all_passes(), SOURCE_FORMAT
    for name in passes:
        if name not in known:
            return ""
        found = known[name].spec.gives or found
    return found


def use_of(model_format: str, *, study: str, classifier: bool) -> Use:
    """How a model of a format is used. `classifier`: it is an encoder with a head for labels."""
    kind = "AutoModelForSequenceClassification" if classifier else "AutoModelForCausalLM"
    snippets = {"genai": _GENAI, "onnx": _ONNX, "adapter": _ADAPTER}
    snippets |= dict.fromkeys(("hf", "quantized"), _HF.format(kind=kind))
    snippet = snippets.get(model_format, "")
    name = shlex.quote(study)
    commands = (
        ("tune --space recipe.yaml", "makes this model again and measures it"),
        (f"tune show {name}", "lists every trial; with a number, one of them"),
        (f"tune rerank {name} --constraint 'latency<50ms'", "answers another constraint"),
    )
    sentence = _SENTENCES.get(model_format, "model/ in the answer's folder is the chosen model.")
    return Use(model_format, sentence, "python" if snippet else "", snippet, commands)
