"""How to run a study's model: a snippet of Python for its runtime, with the study's own prompt.

The snippets need the folder `model/` of the answer and the runtime's libraries, nothing of this
program. Knows nothing of where they are shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search_spaces.data import DataError, template_parts
from search_spaces.problems import SpaceError
from search_spaces.vocabulary import PassSpec
from tuner.registry import vocabulary
from tuner.report.stored_recipe import parts_of_the_space
from tuner.study.api import Study, Trial

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Usage:
    """How to run a model of a format.

    `library`, `tags`: as model hubs name them. `packages`: what has to be installed, in words.
    """

    model_format: str
    library: str
    tags: tuple[str, ...]
    packages: str
    snippet: str


_LIBRARIES = {
    "genai": ("onnxruntime-genai", ("onnx",)),
    "onnx": ("onnx", ("onnx",)),
    "hf": ("transformers", ()),
    "quantized": ("transformers", ("gptq",)),
    "adapter": ("peft", ()),
}

_PACKAGES = {
    "genai": "onnxruntime-genai and numpy",
    "onnx": "onnxruntime, transformers and numpy",
    "hf": "transformers and torch",
    "quantized": "transformers, torch and gptqmodel",
    "adapter": "peft, transformers and torch",
}


def usage_of(study: Study, trial: Trial) -> Usage | None:
    """How to run the trial's model; None where a pass that is not installed made it."""
    found = _format(study, trial)
    if found not in _LIBRARIES:
        return None
    snippet = snippet_of(found, *_question(study))
    return Usage(found, *_LIBRARIES[found], _PACKAGES[found], snippet)


def snippet_of(model_format: str, task: str, prompt: str, labels: Sequence[str]) -> str:
    """Python that runs the model in the folder `model`: it writes on, or tells the labels apart.

    `prompt`: with {column} for what a user puts in. A classification without labels writes on.
    """
    scored = task == "text-classification" and bool(labels)
    parts = (_SCORED if scored else _WRITTEN)[model_format]
    values = f"PROMPT = {prompt!r}\n" + (f"LABELS = {list(labels)!r}\n" if scored else "")
    whole = _IMPORTS[model_format] + _HEAD[model_format] + parts
    return whole.replace("PROMPT_AND_LABELS\n", values)


def source_format_of(study: Study) -> str:
    """The format of the model that came in; studies of before it was kept had checkpoints only."""
    return str(study.info.space.get("model_format") or "hf")


def pass_helps() -> dict[str, str]:
    """What every pass that is installed does, in a sentence."""
    return {name: spec.help for name, spec in _installed().items()}


def _installed() -> Mapping[str, PassSpec]:
    try:
        return vocabulary().passes
    except SpaceError:  # a plug-in that cannot be loaded is no reason to write no card
        return {}


def _format(study: Study, trial: Trial) -> str:
    """The format of the trial's model; "" where it is of a pass that is not installed."""
    passes, found = _installed(), source_format_of(study)
    for step in trial.row.steps:
        spec = passes.get(step["pass"])
        found = "" if spec is None else spec.gives or found
    return found


def _question(study: Study) -> tuple[str, str, Sequence[str]]:
    """The task, the prompt with {column} for what a user puts in, and the labels."""
    space = parts_of_the_space(study)
    task, data = str(space.get("task") or ""), space.get("data")
    check = study.data_check
    splits = check["report"]["labels"] if check is not None else {}
    labels = sorted({label for counts in splits.values() for label in counts})
    template = data.get("template") if isinstance(data, Mapping) else None
    label = data.get("label") if isinstance(data, Mapping) else None
    return task, _prompt(str(template or ""), label), labels


def _prompt(template: str, label: Any) -> str:
    """The template up to the label, with its braces as they were."""
    found = ""
    try:
        parts = template_parts(template)
    except DataError:
        parts = []
    for literal, column in parts:
        found += literal.replace("{", "{{").replace("}", "}}")
        if column is None or column == label:
            break
        found += f"{{{column}}}"
    return found or "Once upon a time"


_CONSTANTS = """
MODEL = "model"  # the folder of the answer
PROMPT_AND_LABELS

class Row(dict):
    def __missing__(self, column):
        return "put the text here"

text = PROMPT.format_map(Row())
"""

_GENAI = "import numpy as np\nimport onnxruntime_genai as og\n"
_TORCH = "import torch\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n"
_PEFT = """import torch
from peft import AutoPeftModelForCausalLM, PeftConfig
from transformers import AutoTokenizer
"""
_ONNX = """import json, os

import numpy as np
import onnxruntime as ort
from transformers import AutoConfig, AutoTokenizer
"""

_IMPORTS = {
    "genai": "import json, os\n" + _GENAI,
    "onnx": _ONNX,
    "hf": _TORCH,
    "quantized": _TORCH,
    "adapter": _PEFT,
}

_OPEN_GENAI = """
model = og.Model(MODEL)
tokenizer = og.Tokenizer(model)
listing = os.path.join(MODEL, "adapters.json")  # only where adapters lie beside the model
adapters, active = None, None
if os.path.exists(listing):
    found = json.load(open(listing))
    adapters, active = og.Adapters(model), found["active"]
    adapters.load(os.path.join(MODEL, found["adapters"][active]), active)

def generator_for(tokens, room):
    parameters = og.GeneratorParams(model)
    parameters.set_search_options(max_length=len(tokens) + room, do_sample=False)
    generator = og.Generator(model, parameters)
    if adapters is not None:
        generator.set_active_adapter(adapters, active)
    generator.append_tokens(np.array([tokens], dtype=np.int32))
    return generator
"""

_OPEN_TORCH = """
tokenizer = AutoTokenizer.from_pretrained(MODEL)
model = AutoModelForCausalLM.from_pretrained(MODEL).eval()
"""

_OPEN_PEFT = """
base = PeftConfig.from_pretrained(MODEL).base_model_name_or_path
tokenizer = AutoTokenizer.from_pretrained(base)
model = AutoPeftModelForCausalLM.from_pretrained(MODEL).eval()
"""

_OPEN_ONNX = """
tokenizer = AutoTokenizer.from_pretrained(MODEL)
labels = AutoConfig.from_pretrained(MODEL).id2label
options, measured, path = ort.SessionOptions(), {}, MODEL + "/session.json"
if os.path.exists(path):  # the options that were measured; a provider of its own is not set here
    measured = json.load(open(path))
levels, modes = ort.GraphOptimizationLevel, ort.ExecutionMode
kinds = {"graph_optimization_level": levels, "execution_mode": modes}
for name, value in measured.get("session_options", {}).items():
    setattr(options, name, getattr(kinds[name], value) if name in kinds else value)
for name, value in measured.get("config_entries", {}).items():
    options.add_session_config_entry(name, value)
session = ort.InferenceSession(MODEL + "/model.onnx", options, providers=["CPUExecutionProvider"])
"""

_HEAD = {
    "genai": _CONSTANTS + _OPEN_GENAI,
    "onnx": _CONSTANTS + _OPEN_ONNX,
    "hf": _CONSTANTS + _OPEN_TORCH,
    "quantized": _CONSTANTS + _OPEN_TORCH,
    "adapter": _CONSTANTS + _OPEN_PEFT,
}

_ENCODER = """
words = tokenizer(text.rstrip(), return_tensors="np")
names = {i.name for i in session.get_inputs()}
feed = {k: v.astype(np.int64) for k, v in words.items() if k in names}
feed |= {k: np.zeros_like(feed["input_ids"]) for k in names - feed.keys()}
logits = session.run(["logits"], feed)[0][0]
print(labels[int(logits.argmax())])
"""

_CHOICE = """
def parts(label):
    \"\"\"The tokens that the prompt has in common with the whole text, and the rest.\"\"\"
    alone, whole = encode(text), encode(text + label)
    same = next((i for i, pair in enumerate(zip(alone, whole)) if pair[0] != pair[1]), len(alone))
    return whole[:same], whole[same:]

scores = {label: score(*parts(label)) for label in LABELS}
print(max(scores, key=scores.get), scores)
"""

_SCORE_GENAI = """
def encode(words):
    return [int(t) for t in tokenizer.encode(words)]

def score(prompt, label):
    \"\"\"The log-probability of the label after the prompt.\"\"\"
    generator, total = generator_for(prompt, len(label) + 1), 0.0
    for token in label:
        logits = generator.get_output("logits")[0, -1].astype(np.float64)
        total += logits[token] - logits.max() - np.log(np.exp(logits - logits.max()).sum())
        generator.append_tokens(np.array([[token]], dtype=np.int32))
    return float(total)
"""

_SCORE_TORCH = """
def encode(words):
    return tokenizer(words)["input_ids"]

def score(prompt, label):
    \"\"\"The log-probability of the label after the prompt.\"\"\"
    with torch.no_grad():
        logits = model(torch.tensor([prompt + label])).logits[0].log_softmax(-1)
    places = range(len(prompt) - 1, len(prompt) + len(label) - 1)
    return sum(logits[i, token].item() for i, token in zip(places, label))
"""

_WRITE_GENAI = """
generator = generator_for([int(t) for t in tokenizer.encode(text)], 64)
while not generator.is_done():
    generator.generate_next_token()
print(tokenizer.decode(generator.get_sequence(0)))
"""

_WRITE_TORCH = """
words = tokenizer(text, return_tensors="pt")
print(tokenizer.decode(model.generate(**words, max_new_tokens=64, do_sample=False)[0]))
"""

_SCORED = {
    "genai": _SCORE_GENAI + _CHOICE,
    "onnx": _ENCODER,
    **dict.fromkeys(("hf", "quantized", "adapter"), _SCORE_TORCH + _CHOICE),
}

_WRITTEN = {
    "genai": _WRITE_GENAI,
    "onnx": _ENCODER,
    **dict.fromkeys(("hf", "quantized", "adapter"), _WRITE_TORCH),
}
