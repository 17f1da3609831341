"""How a model that was chosen is used: a sentence on its format, a snippet, and commands.

Paths are relative to the answer's folder. Knows nothing of where that is.
"""

from __future__ import annotations

import shlex

from tuner.report.page.document import Use
from tuner.report.usage import usage_of
from tuner.study.api import Study, Trial

_SENTENCES = {
    "genai": "model/ loads in ONNX Runtime GenAI as it lies.",
    "onnx": "model/ loads in ONNX Runtime; model/session.json has the session's options.",
    "hf": "model/ is a transformers checkpoint.",
    "quantized": "model/ is a transformers checkpoint with packed weights.",
    "adapter": "model/ is an adapter of peft, for the model that was tuned.",
}


def use_of(study: Study, best: Trial) -> Use:
    """How the best trial's model is used; without a snippet where its format is not known here."""
    usage = usage_of(study, best)
    name = shlex.quote(study.name)
    commands = (
        ("tune --space recipe.yaml", "makes this model again and measures it"),
        (f"tune show {name}", "lists every trial; with a number, one of them"),
        (f"tune rerank {name} --constraint 'latency<50ms'", "answers another constraint"),
    )
    if usage is None:
        return Use("", "model/ in the answer's folder is the chosen model.", "", "", commands)
    snippet = usage.snippet.strip() + "\n"
    return Use(usage.model_format, _SENTENCES[usage.model_format], "python", snippet, commands)
