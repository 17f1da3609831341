"""Ways to get a space wrong: single mistakes with what is said of them, and random mutants."""

from __future__ import annotations

import random
import re

from sample_space import SPACE

# (name, what to replace in the valid space, by what, the line at fault, a part of the message)
MISTAKES: list[tuple[str, str, str, int | None, str]] = [
    # The top level
    ("unknown top key", "search:", "serch:", 25, "unknown key 'serch'"),
    ("top key hint", "search:", "serch:", 25, "did you mean 'search'?"),
    ("no model", "model: org/tiny\n", "", None, "the key 'model' is missing"),
    ("no task", "task: text-classification\n", "", None, "the key 'task' is missing"),
    ("no objectives", "objectives:", "x:", None, "the key 'objectives' is missing"),
    ("task typo", "text-classification", "text-clasification", 2, "'text-classification'?"),
    ("task list", "task: text-classification", "task: [a]", 2, "found a list"),
    ("empty model", "org/tiny", "", 1, "model: found nothing"),
    ("model missing folder", "org/tiny", "./nowhere", 1, "there is no folder"),
    ("model is a file", "org/tiny", "./tones.jsonl", 1, "is a file, expected the folder"),
    ("model no form", "org/tiny", "tiny", 1, "neither a folder nor a hub id"),
    ("pypi no version", "org/tiny", "pypi:pkg/model", 1, "needs an exact version"),
    ("pypi no member", "org/tiny", "pypi:pkg==1.0", 1, "names nothing inside the package"),
    ("pypi sha", "org/tiny", "'pypi:pkg==1.0/m#sha256=12'", 1, "64 hex digits"),
    ("pypi climbs out", "org/tiny", "pypi:pkg==1.0/../m", 1, "leads out of the package"),
    ("name with slash", "model: org", "name: a/b\nmodel: org", 1, "found 'a/b'"),
    # YAML
    ("duplicate key", "task: text", "model: a/b\ntask: text", 2, "the first is on line 1"),
    ("tab", "      max_steps", "\tmax_steps", 11, "a tab; YAML indents with spaces"),
    ("unclosed list", "[minimize latency, maximize accuracy]", "[minimize", 22, "not closed"),
    ("unclosed quote", "memory: 4GB", "memory: '4GB", 27, "a quote that is not closed"),
    ("indentation", "  label: tone", " label: tone", 6, "indentation"),
    ("two colons", "label: tone", "label: tone: x", 6, "a colon where none fits"),
    ("at sign", "org/tiny", "@org", 1, "quote the text"),
    ("second document", "search:", "---\nsearch:", 25, "a second document"),
    ("number key", "search:", "1: x\nsearch:", 25, "a key is text; found the number 1"),
    ("list key", "search:", "[a]: x\nsearch:", 25, "a key is text; found a list"),
    ("tag", "org/tiny", "!!python/name:os.system x", 1, "has no meaning here"),
    ("undefined alias", "org/tiny", "*x", 1, "no &x before it"),
    ("recursive alias", "data:\n", "data: &d\n  seed: *d\n", 4, "inside of what it repeats"),
    ("bad merge", "limits: {time: 10m", "limits: {<<: 3, time: 10m", 26, "<< takes a mapping"),
    ("control character", "org/tiny", "org/\x07tiny", 1, "U+0007"),
    # Data
    ("data key", "  label:", "  lable:", 6, "did you mean 'label'?"),
    ("data no label", "  label: tone\n", "", 3, "the key 'label' is missing"),
    ("data no files", "  files: tones.jsonl\n", "", 3, "the key 'files' is missing"),
    ("data missing file", "tones.jsonl", "tone.jsonl", 4, "did you mean 'tones.jsonl'?"),
    ("data is a folder", "files: tones.jsonl", "files: .", 4, "is a folder"),
    ("data without dev", "tones.jsonl", "{train: tones.jsonl}", 4, "the key 'dev' is missing"),
    ("data role typo", "tones.jsonl", "{trian: tones.jsonl}", 4, "did you mean 'train'?"),
    ("template plain", '"Text: {phrase}\\nTone: {tone}"', "{phrase}", 5, "needs quotes"),
    ("template no column", "Text: {phrase}\\nTone: {tone}", "x", 5, "no {column} placeholder"),
    ("template brace", "{phrase}", "{phrase", 5, "data.template:"),
    ("template format", "{phrase}", "{phrase!r}", 5, "cannot have a format"),
    ("label not last", "Tone: {tone}", "{tone} {x}", 5, "as the last placeholder"),
    ("label twice", "{phrase}", "{phrase} {tone}", 5, "it comes once"),
    ("label unknown", "label: tone", "label: tones", 6, "did you mean 'tone'?"),
    ("label boolean", "label: tone", "label: no", 6, "quote it: 'no'"),
    ("split sum", "label: tone", "label: tone\n  split: {dev: 0.9}", 7, "add up to 1.1"),
    ("split share", "label: tone", "label: tone\n  split: {dev: 2}", 7, "between 0 and 1"),
    ("split role", "label: tone", "label: tone\n  split: {train: 0.2}", 7, "unknown key 'train'"),
    ("no data", SPACE[SPACE.index("data:") : SPACE.index("pipeline:")], "", 4, "learns from data"),
    # Pipeline
    ("unknown pass", "- session:", "- sesion:", 17, "did you mean 'session'?"),
    ("pass list", "- session:", "- quark:", 17, "expected lora, merge_adapter, genai_builder or"),
    ("unknown parameter", "      r:", "      rank:", 9, "unknown key 'rank' in lora"),
    ("parameter typo", "max_steps", "max_step", 11, "did you mean 'max_steps'?"),
    ("not indented", "{choices: [1, 2]}", "1\n    mode: parallel", 19, "indent it below session:"),
    ("two passes", "  - session:", "    session:", 17, "a step names one pass"),
    ("step key typo", "optional: true", "optinal: true", 12, "did you mean 'optional'?"),
    ("optional text", "optional: true", "optional: maybe", 12, "expected true or false"),
    ("pipeline mapping", "  - merge_adapter", "  - []", 13, "the name of a pass"),
    ("text for int", "max_steps: 100", "max_steps: many", 11, "found the text 'many'"),
    ("quoted int", "max_steps: 100", "max_steps: '100'", 11, "without quotes"),
    ("float for int", "max_steps: 100", "max_steps: 1.5", 11, "expected a whole number"),
    ("octal", "max_steps: 100", "max_steps: 010", 11, "found the text '010'"),
    ("bool for int", "max_steps: 100", "max_steps: true", 11, "a whole number"),
    ("too small", "max_steps: 100", "max_steps: 0", 11, "of at least 1"),
    ("list for int", "max_steps: 100", "max_steps: [1, 2]", 11, "write {choices: [...]}"),
    ("too large choice", "[4, 16, 64]", "[4, 1000]", 9, "from 1 to 512"),
    ("null choice", "[4, 16, 64]", "[4, null]", 9, "found nothing"),
    ("duplicate choice", "[4, 16, 64]", "[4, 16, 4]", 9, "4 comes twice"),
    ("empty choices", "[4, 16, 64]", "[]", 9, "an empty list"),
    ("choices not a list", "[4, 16, 64]", "4", 9, "expected a list of values"),
    ("closed choice", "[fp32, int8, int4]", "[fp32, int5]", 15, "expected fp32, int8 or int4"),
    ("closed choice hint", "[fp32, int8, int4]", "[fp32, itn8]", 15, "did you mean 'int8'?"),
    ("domain key", "{choices: [4", "{choice: [4", 9, "did you mean 'choices'?"),
    ("two domains", "64]}", "64], value: 4}", 9, "found choices and value"),
    ("no domain", "{choices: [4, 16, 64]}", "{when: lora}", 9, "one of choices, range or value"),
    ("log with choices", "64]}", "64], log: true}", 9, "log goes with range"),
    ("range order", "[1e-4, 2.0e-3]", "[1, 0.1]", 10, "not below the high end"),
    ("range length", "[1e-4, 2.0e-3]", "[1e-4]", 10, "expected [low, high]"),
    ("range bound", "[1e-4, 2.0e-3]", "[1e-4, 3]", 10, "from 0 to 1"),
    ("log from zero", "[1e-4, 2.0e-3]", "[0, 0.1]", 10, "starts above zero"),
    ("log and step", "log: true", "log: true, step: 0.1", 10, "either log or step"),
    ("step negative", "log: true", "step: -1", 10, "expected above 0"),
    ("step for int", "{choices: [4, 16, 64]}", "{range: [1, 9], step: 0.5}", 9, "whole number"),
    ("range of text", "{choices: [fp32, int8, int4]}", "{range: [1, 2]}", 15, "write choices"),
    ("range of closed", "[32, 128], when", "[32, 128], x: 1, when", 16, "unknown key 'x'"),
    ("unavailable", "threads: {choices: [1, 2]}", "thread: 1", 18, "did you mean 'threads'?"),
    ("number for text", "threads: {choices: [1, 2]}", "tag: 7", 18, "quote it: '7'"),
    ("boolean for text", "threads: {choices: [1, 2]}", "tag: off", 18, "quote it: 'off'"),
    ("list with number", "max_steps: 100", "target_modules: [q, 1]", 11, "found the number 1"),
    ("one alternative", "- merge_adapter", "- one_of: [merge_adapter]", 13, "two or more"),
    ("nested one_of", "- merge_adapter", "- one_of: [none, {one_of: [a]}]", 13, "inside of one_of"),
    (
        "one_of key",
        "- merge_adapter",
        "- {one_of: [[merge_adapter], merge_adapter], when: x}",
        13,
        "key 'when' in one_of",
    ),
    ("none twice", "- merge_adapter", "- one_of: [none, none]", 13, "none comes twice"),
    # Conditions
    ("condition syntax", "precision == 'int4'", "precision = 'int4'", 16, "write == to compare"),
    ("condition call", "precision == 'int4'", "len(precision)", 16, "a call cannot be part"),
    ("condition name", "precision ==", "precison ==", 16, "did you mean 'precision'?"),
    ("condition value", "'int4'\"", "'int5'\"", 16, "never 'int5'"),
    ("condition type", "precision == 'int4'", "lora.r == 'x'", 16, "lora.r is never 'x'"),
    ("condition unquoted", "'int4'\"", 'int4"', 16, "write it in quotes"),
    ("condition constant", "precision == 'int4'", "1 < 2", 16, "asks about no step"),
    ("condition self", "precision == 'int4'", "block_size > 1", 16, "which it decides"),
    ("condition later", "precision == 'int4'", "session.threads > 1", 16, "is decided later"),
    ("condition unset", "precision == 'int4'", "lora.alpha > 1", 16, "is not in the space"),
    ("condition bool", "\"precision == 'int4'\"", "true", 16, "expected a condition such as"),
    ("condition bare", "precision == 'int4'", "r > 4", 16, "did you mean 'lora.r'?"),
    ("condition step", "optional: true", "when: lora", 12, "which it decides"),
    # Formats
    ("no merge", "  - merge_adapter\n", "", 13, "takes hf, not adapter, which lora gives"),
    ("no merge cure", "  - merge_adapter\n", "", 13, "merge_adapter before genai_builder"),
    (
        "optional merge",
        "- merge_adapter",
        "- {merge_adapter: null, optional: true}",
        14,
        "it must not be left out",
    ),
    ("twice built", "- session:", "- genai_builder\n  - session:", 17, "not genai, which"),
    ("early session", "- merge_adapter", "- session", 13, "session takes genai, not adapter"),
    # Metrics, objectives, constraints
    ("evaluator typo", "  latency: {", "  latencies: {", 20, "did you mean 'latency'?"),
    ("metric of another", "  latency: {", "  ttft: {", 20, "ttft is measured by latency"),
    ("metrics list", "\n  latency: {prompt_tokens: 32}", " [latency]", 19, "found a list"),
    ("option typo", "prompt_tokens", "prompt_token", 20, "did you mean 'prompt_tokens'?"),
    ("option value", "prompt_tokens: 32", "prompt_tokens: 0", 20, "from 1 to 4096"),
    ("option tuned", ": 32}", ": {choices: [1]}}", 20, "it is not tuned"),
    ("no objective", "[minimize latency, maximize accuracy]", "[]", 21, "found none"),
    ("objective word", "minimize latency", "minimise latency", 21, "did you mean 'minimize'?"),
    ("objective metric", "minimize latency", "minimize latncy", 21, "did you mean 'latency'?"),
    (
        "objective sense",
        "maximize accuracy",
        "minimize accuracy",
        21,
        "accuracy is better when higher",
    ),
    ("objective twice", "maximize accuracy", "minimize latency.p50", 21, "comes twice"),
    ("statistic", "minimize latency", "minimize latency.p99", 21, "no statistic 'p99'"),
    ("no statistics", "maximize accuracy", "maximize accuracy.p50", 21, "has no statistics"),
    ("no unit", "latency<50ms", "latency<50", 23, "did you mean latency<50ms?"),
    ("unknown unit", "latency<50ms", "latency<50mss", 23, "unknown unit 'mss'"),
    ("other dimension", "latency<50ms", "latency<50MB", 23, "a time: ns, us, ms or s"),
    ("equals", "latency<50ms", "latency==50ms", 23, "write latency<=50ms"),
    ("turned", "latency<50ms", "50ms>latency", 23, "latency<50ms"),
    ("two operators", "latency<50ms", "1ms<latency<50ms", 23, "compares more than once"),
    ("no operator", "latency<50ms", "latency", 23, "compares nothing"),
    ("baseline typo", "baseline-2%", "baselne-2%", 24, "did you mean 'baseline'?"),
    ("over 100 %", "baseline-2%", "120%", 24, "between 0 and 1"),
    ("negative time", "latency<50ms", "latency<-1ms", 23, "always above zero"),
    ("contradiction", "accuracy>=baseline-2%", "latency>60ms", 24, "contradicts latency<50ms"),
    ("touching", "accuracy>=baseline-2%", "latency>=0.05s", 24, "contradicts"),
    (
        "tolerance",
        "- latency<50ms",
        "- {constraint: latency<50ms, tolerance: 5}",
        23,
        "did you mean 5ms?",
    ),
    ("tolerance zero", "- latency<50ms", "- {constraint: latency<5s, tolerance: 0s}", 23, "above"),
    ("no constraint", "- latency<50ms", "- {tolerance: 5ms}", 23, "without `constraint:`"),
    ("constraints map", "  - latency<50ms", "  latency: 50ms\nx:", 23, "expected a list"),
    # Search and limits
    ("strategy", "strategy: tpe", "strategy: tpee", 25, "did you mean 'tpe'?"),
    ("trials zero", "trials: 30", "trials: 0", 25, "at least 1"),
    ("trials text", "trials: 30", "trials: many", 25, "found the text 'many'"),
    ("seed", "seed: 7", "seed: -1", 25, "from 0 to 4294967295"),
    ("grid continuous", "strategy: tpe", "strategy: grid", 10, "cannot list a continuous range"),
    ("max_time", "trials: 30", "max_time: 1:30", 25, "is not a duration"),
    ("max_time unit", "trials: 30", "max_time: 3w", 25, "unknown unit 'w'"),
    ("memory unit", "memory: 4GB", "memory: 4", 26, "did you mean 4GB?"),
    ("memory dimension", "memory: 4GB", "memory: 4ms", 26, "a size: B, KB"),
    ("limits key", "memory: 4GB", "ram: 4GB", 26, "expected time, memory, fidelity or faults"),
    ("fidelity", "memory: 4GB", "fidelity: some", 26, "found the text 'some', expected true or"),
    ("search list", "{strategy: tpe, trials: 30, seed: 7}", "[tpe]", 25, "found a list"),
]

WORDS = re.compile(r"[A-Za-z_][\w-]*")
SCRAPS = (
    "null",
    "[]",
    "{}",
    "true",
    "-1",
    "1e999",
    "'\\0'",
    '"\\0"',
    "~",
    "*a",
    "&a x",
    "x: y",
    "'",
)


def mutated(rng: random.Random) -> str:
    """The valid space with one to three lines deleted, doubled, moved, misspelt or overwritten."""
    lines = SPACE.splitlines()
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(lines))
        line = lines[at]
        kind = rng.randrange(6)
        if kind == 0:
            del lines[at]
        elif kind == 1:
            lines.insert(rng.randrange(len(lines)), line)
        elif kind == 2:
            lines[at] = " " * rng.randint(0, 8) + line.lstrip()
        elif kind == 3 and (words := list(WORDS.finditer(line))):
            word = rng.choice(words)
            letters = list(word[0])
            rng.shuffle(letters)
            lines[at] = line[: word.start()] + "".join(letters) + line[word.end() :]
        elif kind == 4 and ":" in line:
            lines[at] = line[: line.index(":") + 1] + " " + rng.choice(SCRAPS)
        else:
            cut = rng.randint(0, len(line))
            lines[at] = line[:cut] + rng.choice("[]{}:,-'\"&*!|>%@\t#=<5") + line[cut:]
    return "\n".join(lines) + "\n"
