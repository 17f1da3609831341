"""A short program that runs a packed model, with the libraries of its runtime and no others.

Knows nothing of archives.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from tuner.packaging.answer_folder import Contents

PACKAGES: Mapping[str, Sequence[str]] = {
    "genai": ("onnxruntime-genai", "onnxruntime", "numpy"),
    "onnx": ("onnxruntime", "transformers", "numpy"),
    "hf": ("transformers", "torch"),
    "quantized": ("transformers", "torch", "gptqmodel"),
    "adapter": ("peft", "transformers", "torch"),
}
"""Model format -> the distributions that the program imports, or that they import."""

_NEW_TOKENS = 128

_ASK = '''"""{doc}"""
{imports}
if len(sys.argv) != {arguments}:
    sys.exit("usage: python sample.py {usage}")
folder = os.path.dirname(os.path.abspath(__file__))
'''

_GENAI = """model = og.Model(os.path.join(folder, "model"))
tokenizer = og.Tokenizer(model)
text = {text}
tokens = tokenizer.encode(text)
parameters = og.GeneratorParams(model)
parameters.set_search_options(max_length={room}, do_sample=False)
generator = og.Generator(model, parameters)
{adapter}generator.append_tokens(tokens)
stream = tokenizer.create_stream()
while not generator.is_done():
    generator.generate_next_token()
    print(stream.decode(int(generator.get_next_tokens()[0])), end="", flush=True)
print()
"""

_ADAPTER = """listing = json.load(open(os.path.join(folder, "model", "adapters.json")))
name = {name}
adapters = og.Adapters(model)
adapters.load(os.path.join(folder, "model", listing["adapters"][name]), name)
generator.set_active_adapter(adapters, name)
"""

_TORCH = """tokenizer = AutoTokenizer.from_pretrained({tokenizer})
{load}text = {text}
words = tokenizer(text, return_tensors="pt"{plain})
made = model.generate(**words, max_new_tokens={new}, do_sample=False)
print(tokenizer.decode(made[0][words["input_ids"].shape[1]:], skip_special_tokens=True))
"""

_WHOLE = 'model = AutoModelForCausalLM.from_pretrained(os.path.join(folder, "model")).eval()\n'
_ON_BASE = """model = AutoModelForCausalLM.from_pretrained({base})
model = PeftModel.from_pretrained(model, os.path.join(folder, "model")).eval()
"""

_ENCODER = """path = os.path.join(folder, "model")
tokenizer = AutoTokenizer.from_pretrained(path)
model = AutoModelForSequenceClassification.from_pretrained(path).eval()
with torch.no_grad():
    logits = model(**tokenizer({text}, return_tensors="pt", truncation=True)).logits[0]
for i in logits.argsort(descending=True).tolist():
    print(f"{{logits.softmax(-1)[i]:.3f}}  {{model.config.id2label[i]}}")
"""

_ONNX = """path = os.path.join(folder, "model")
tokenizer = AutoTokenizer.from_pretrained(path)
labels = json.load(open(os.path.join(path, "config.json")))["id2label"]
options, found = ort.SessionOptions(), {{}}
if os.path.exists(os.path.join(path, "session.json")):  # the options that were measured
    found = json.load(open(os.path.join(path, "session.json")))
levels, modes = ort.GraphOptimizationLevel, ort.ExecutionMode
kinds = {{"graph_optimization_level": levels, "execution_mode": modes}}
for name, value in found.get("session_options", {{}}).items():
    setattr(options, name, getattr(kinds[name], value) if name in kinds else value)
for name, value in found.get("config_entries", {{}}).items():
    options.add_session_config_entry(name, value)
session = ort.InferenceSession(os.path.join(path, "model.onnx"), options)
words = tokenizer({text}, return_tensors="np", truncation=True)
names = [i.name for i in session.get_inputs()]
zeros = np.zeros_like(words["input_ids"])
logits = session.run(["logits"], {{n: words.get(n, zeros).astype(np.int64) for n in names}})[0][0]
shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
for i in (-shares).argsort():
    print(f"{{shares[i]:.3f}}  {{labels[str(i)]}}")
"""

_IMPORTS = {
    "genai": "import os\nimport sys\n\nimport onnxruntime_genai as og\n",
    "onnx": "import json\nimport os\nimport sys\n\nimport numpy as np\nimport onnxruntime as ort\n"
    "from transformers import AutoTokenizer\n",
    "hf": "import os\nimport sys\n\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n",
    "encoder": "import os\nimport sys\n\nimport torch\n"
    "from transformers import AutoModelForSequenceClassification, AutoTokenizer\n",
    "adapter": "import os\nimport sys\n\nfrom peft import PeftModel\n"
    "from transformers import AutoModelForCausalLM, AutoTokenizer\n",
}


def sample_program(found: Contents, context: int | None, base: str | None) -> str | None:
    """The program's text; None for a model that no short program runs.

    `context`: the most tokens that the model takes. `base`: of an adapter, what its base is
    called: "base" beside it in the package, the id of a hub, or None where its user must say.
    """
    model_format = found.model.format
    if found.model.base is not None and found.classifies:
        return None
    if model_format == "genai":
        return _genai(found, context)
    if found.classifies:
        kind = "onnx" if model_format == "onnx" else "encoder"
        return _program(found, kind, _ONNX if kind == "onnx" else _ENCODER)
    kind = "adapter" if model_format == "adapter" else "hf"
    load, tokenizer = _WHOLE, 'os.path.join(folder, "model")'
    if kind == "adapter":
        where = _base_expression(base)
        load = _ON_BASE.format(base=where)
        own = (found.model.path / "tokenizer_config.json").is_file()
        tokenizer = tokenizer if own else where
    plain = ", add_special_tokens=False" if _is_chat(found) else ""
    parts = {"load": load, "plain": plain, "tokenizer": tokenizer, "new": _new_tokens(context)}
    return _program(found, kind, _TORCH, base_is_asked=kind == "adapter" and base is None, **parts)


def _genai(found: Contents, context: int | None) -> str:
    room = f"len(tokens) + {_new_tokens(context)}"
    if context is not None:
        room = f"min({room}, {context})"
    adapter = ""
    if found.adapters:
        others = ", ".join(found.adapters[1:])
        hint = f"  # or: {others}" if others else ""
        adapter = _ADAPTER.format(name=f"{json.dumps(found.adapters[0])}{hint}")
    return _program(found, "genai", _GENAI, room=room, adapter=adapter)


def _new_tokens(context: int | None) -> int:
    return _NEW_TOKENS if context is None else max(1, min(_NEW_TOKENS, context // 2))


def _program(
    found: Contents, kind: str, body: str, *, base_is_asked: bool = False, **parts: object
) -> str:
    columns = _columns(found)
    usage = [f'\\"{column.upper()}\\"' for column in columns]
    usage += ["BASE"] if base_is_asked else []
    does = "tells the labels apart" if found.classifies else "answers"
    shown = " ".join(usage).replace("\\", "")
    doc = f"How the model {does}: python sample.py {shown}."
    uses_json = kind == "genai" and (found.adapters or _is_chat(found))
    imports = ("import json\n" if uses_json else "") + _IMPORTS[kind]
    whole = _ASK + body
    return whole.format(
        doc=doc,
        imports=imports,
        arguments=len(usage) + 1,
        usage=" ".join(usage),
        text=_text(found, kind),
        **parts,
    )


def _base_expression(base: str | None) -> str:
    if base is None:
        return "sys.argv[-1]"
    return 'os.path.join(folder, "base")' if base == "base" else json.dumps(base)


def _is_chat(found: Contents) -> bool:
    """Whether a prompt is put into the chat template."""
    return found.chat and not found.prompt() and not found.classifies


def _columns(found: Contents) -> list[str]:
    """What the program's user has to say."""
    named = [column for _, column in found.prompt() if column is not None]
    return list(dict.fromkeys(named)) or ["text"]


def _text(found: Contents, kind: str) -> str:
    """The expression of the text that the model reads."""
    parts = found.prompt()
    if _is_chat(found):
        messages = '[{"role": "user", "content": sys.argv[1]}]'
        if kind == "genai":
            return f"tokenizer.apply_chat_template(json.dumps({messages}))"
        return (
            f"tokenizer.apply_chat_template({messages}, tokenize=False, add_generation_prompt=True)"
        )
    if not parts:
        return "sys.argv[1]"
    columns = _columns(found)
    pieces: list[str] = []
    for literal, column in parts:
        pieces += [repr(literal)] if literal else []
        pieces += [f"sys.argv[{columns.index(column) + 1}]"] if column is not None else []
    whole = " + ".join(pieces)
    return f"({whole}).rstrip()" if found.classifies else whole
