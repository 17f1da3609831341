"""`tune generate`: a model writes an answer, holds a conversation, or tells labels apart.

The text goes to standard output, as it is made; all else to standard error.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tuner.models.errors import ModelError

if TYPE_CHECKING:
    from evaluators.base import Artifact
    from evaluators.runtimes.sampling import Sampling
    from evaluators.runtimes.writers import Writer
    from tuner.generation.answering import Answer
    from tuner.generation.choosing import Chosen

_NEW_TOKENS = 256
_QUIT, _CLEAR = ("/quit", "/exit"), "/clear"
_WRITING = ("max_new_tokens", "temperature", "top_p", "seed", "system")


def generate_command(arguments: argparse.Namespace) -> int:
    """Let the model write; the exit code."""
    from evaluators.base import MeasurementError
    from tuner.generation.answering import PromptError
    from tuner.generation.choosing import choose

    try:
        if arguments.prompt is None and not arguments.chat:
            raise PromptError("nothing to do: give --prompt TEXT, or --chat")
        chosen = choose(arguments.model, arguments.adapter, arguments.base)
        return _generate(arguments, chosen)
    except (ModelError, PromptError) as error:
        print(f"tune generate: {error}", file=sys.stderr)
        return 2
    except MeasurementError as error:
        print(f"tune generate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ntune generate: stopped", file=sys.stderr)
        return 130


def _generate(arguments: argparse.Namespace, chosen: Chosen) -> int:
    from tuner.models.built import is_encoder

    if is_encoder(chosen.model):
        return _classify(arguments, chosen.model)
    template = _uses_template(arguments, chosen.model)
    sampling = _sampling(arguments)
    text = None if arguments.chat else _prompt(arguments.prompt)
    if arguments.dry_run:
        print(_plan(arguments, chosen, template, sampling))
        return 0
    from evaluators.runtimes.writers import open_writer

    with _quiet_libraries():
        writer = open_writer(chosen.model, chosen.adapter)
    most = arguments.max_new_tokens or _NEW_TOKENS
    if text is None:
        return _chat(arguments, writer, chosen, sampling)
    tokens = _tokens(arguments, writer, text, template)
    found = _answer(writer, tokens, most, sampling, arguments.json)
    _report(found, writer, chosen, arguments.json)
    return 130 if found.ended == "stopped" else 0


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Keep what libraries print while they are imported off the screen; what fails is raised."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _uses_template(arguments: argparse.Namespace, model: Artifact) -> bool:
    """Whether the prompt is put into the chat template. PromptError where it must be and cannot."""
    from evaluators.runtimes.writers import has_chat_template
    from tuner.generation.answering import PromptError

    if arguments.raw:
        if arguments.chat or arguments.system is not None:
            other = "--chat" if arguments.chat else "--system"
            raise PromptError(f"{other} needs the chat template, which --raw leaves out")
        return False
    if has_chat_template(model):
        return True
    if arguments.chat or arguments.system is not None:
        other = "--chat" if arguments.chat else "--system"
        raise PromptError(
            f"{other} needs a chat template, and {model.path} has none; --prompt without it "
            "continues a text"
        )
    print("note: the model has no chat template; it continues the prompt as it is", file=sys.stderr)
    return False


def _sampling(arguments: argparse.Namespace) -> Sampling:
    from evaluators.runtimes.sampling import Sampling
    from tuner.generation.answering import PromptError

    if not arguments.temperature:
        for name in ("top_p", "seed"):
            if getattr(arguments, name) is not None:
                option = f"--{name.replace('_', '-')}"
                raise PromptError(f"{option} is of drawing, which needs --temperature above 0")
        return Sampling()
    top_p = 1.0 if arguments.top_p is None else arguments.top_p
    return Sampling(arguments.temperature, top_p, arguments.seed or 0)


def _prompt(text: str) -> str:
    """The prompt, from standard input for `-`. PromptError where it is empty, or no text."""
    from tuner.generation.answering import PromptError

    if text == "-":
        try:
            text = sys.stdin.buffer.read().decode()
        except UnicodeDecodeError as error:
            raise PromptError(f"the input is not UTF-8 text: {error}") from None
    if not text.strip():
        raise PromptError("the prompt is empty; expected a text to answer")
    return text


def _tokens(arguments: argparse.Namespace, writer: Writer, text: str, template: bool) -> list[int]:
    """The prompt's tokens. PromptError where they leave no room for an answer."""
    from tuner.generation.answering import Conversation, PromptError, too_long

    if template:
        return Conversation(writer, arguments.system, 1, []).ask(text)[0]
    tokens = writer.encode(text)
    if writer.context_length is not None and len(tokens) >= writer.context_length:
        raise PromptError(too_long(len(tokens), writer.context_length))
    return tokens


def _plan(arguments: argparse.Namespace, chosen: Chosen, template: bool, sampling: Sampling) -> str:
    how = "greedy" if sampling.greedy else f"drawn at temperature {sampling.temperature:g}"
    return "\n".join(
        [
            f"model: {chosen}",
            f"prompt: {'in the chat template' if template else 'as it is'}",
            f"text: at most {arguments.max_new_tokens or _NEW_TOKENS} tokens, {how}",
        ]
    )


def _answer(
    writer: Writer, tokens: list[int], most: int, sampling: Sampling, quiet: bool
) -> Answer:
    from tuner.generation.answering import answer

    return answer(writer, tokens, most, sampling, _silent if quiet else _show)


def _show(piece: str) -> None:
    """Print a piece of text; a terminal gets no control characters of a model."""
    if sys.stdout.isatty():
        piece = "".join(c for c in piece if c.isprintable() or c in "\n\t\u200d")
    print(piece, end="", flush=True)


def _silent(_piece: str) -> None:
    """Show nothing: the whole answer comes as JSON."""


def _report(found: Answer, writer: Writer, chosen: Chosen, as_json: bool) -> None:
    if as_json:
        answer = asdict(found) | {"tokens_per_second": found.rate, "model": str(chosen.model.path)}
        answer |= {"adapter": chosen.adapter, "conditions": writer.conditions()}
        print(json.dumps(answer, ensure_ascii=False), flush=True)
        return
    print(flush=True)
    print(times(found), file=sys.stderr, flush=True)


def times(found: Answer) -> str:
    """How fast an answer came: `24 tokens, 31.2 tokens/s, the first after 45 ms (...)`."""
    parts = [f"{found.tokens} token{'' if found.tokens == 1 else 's'}"]
    if found.rate is not None:
        parts.append(f"{found.rate:.1f} tokens/s")
    if found.tokens:
        parts.append(f"the first after {1000 * found.first:.0f} ms")
    return f"[{', '.join(parts)}; prompt {found.prompt_tokens}; {found.ended}]"


def _chat(arguments: argparse.Namespace, writer: Writer, chosen: Chosen, sampling: Sampling) -> int:
    """Hold a conversation until its end; the exit code."""
    from tuner.generation.answering import Conversation, PromptError

    most = arguments.max_new_tokens or _NEW_TOKENS
    talk = Conversation(writer, arguments.system, most, [])
    for text in _questions():
        if text == _CLEAR:
            talk.clear()
            continue
        try:
            tokens, forgotten = talk.ask(text)
        except PromptError as error:
            print(f"tune generate: {error}", file=sys.stderr)
            continue
        if forgotten:
            note = f"[the oldest {forgotten} messages no longer fit, and are forgotten]"
            print(note, file=sys.stderr)
        found = _answer(writer, tokens, most, sampling, arguments.json)
        talk.told(found.text)
        _report(found, writer, chosen, arguments.json)
    return 0


def _questions() -> Iterator[str]:
    """What the user types, until the end; Ctrl-C at the prompt begins the line anew."""
    terminal = sys.stdin.isatty()
    if terminal:
        import readline  # noqa: F401  # gives `input` its line editing

        print("Ctrl-C stops an answer; /clear forgets; /quit or Ctrl-D ends.", file=sys.stderr)
    while True:
        try:
            text = (input("> ") if terminal else _line()).strip()
        except EOFError:
            if terminal:
                print(file=sys.stderr)
            return
        except KeyboardInterrupt:
            print(file=sys.stderr)
            if not terminal:
                return
            continue
        if text in _QUIT:
            return
        if text:
            yield text


def _line() -> str:
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line


def _classify(arguments: argparse.Namespace, model: Artifact) -> int:
    """Print the labels of a text with their probabilities; the exit code."""
    from tuner.generation.answering import PromptError

    what = f"{model.path} is an encoder: it tells labels apart, and writes no text"
    if arguments.chat:
        raise PromptError(f"{what}; --prompt TEXT prints the labels")
    for name in _WRITING:
        if getattr(arguments, name) is not None:
            raise PromptError(f"{what}, so --{name.replace('_', '-')} means nothing to it")
    text = _prompt(arguments.prompt)
    if arguments.dry_run:
        print(f"model: {model.path} ({model.format})\nprompt: as it is\nlabels: all")
        return 0
    from evaluators.runtimes.models import open_classifier

    with _quiet_libraries():
        classifier = open_classifier(model)
    rows, cut = classifier.tokenise([text])
    if cut:
        limit = classifier.context_length
        print(f"note: the text was cut to the model's {limit} tokens", file=sys.stderr)
    found = classifier.log_probabilities(rows[0])
    ranked = sorted(found.items(), key=lambda item: -item[1])
    if arguments.json:
        print(json.dumps({name: math.exp(value) for name, value in ranked}, ensure_ascii=False))
        return 0
    for name, value in ranked:
        print(f"{100 * math.exp(value):5.1f} %  {name}")
    return 0
