"""Olive and `tune` side by side: the same small jobs, in turn, each from an empty cache.

    python benchmarks/olive/compare.py --olive ENVIRONMENT/bin/olive [--model FOLDER] [--limit 600]

Olive lives in an environment of its own:

    python -m venv olive && olive/bin/pip install torch==2.13.0
    olive/bin/pip install olive-ai==0.13.0 onnxruntime==1.31.1 onnxruntime-genai==0.14.1
    olive/bin/pip install peft transformers accelerate datasets requests tabulate

onnxruntime-genai is the newest that olive-ai 0.13.0 works with; `requests` it needs and does not
name. Writes results/olive.json and results/olive.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jobs import Job, jobs  # beside this file, which is run as a script
from page import page
from watching import Watched, watch

from evaluators.machine import cpu_model
from search_spaces import find_space, read_space
from tuner.models.resolver import fetch
from tuner.registry import vocabulary

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
TUNE = Path(sys.executable).with_name("tune")
LIBRARIES = ("olive-ai", "torch", "transformers", "peft", "onnxruntime", "onnxruntime-genai")
SHOWN = 12  # lines of a screen's end that are kept


def main(arguments: list[str]) -> None:
    """Run the jobs, and write what came out."""
    options = parsed(arguments)
    work = Path(tempfile.mkdtemp(prefix="olive-", dir=options.work))
    try:
        model = options.model or _model(work)
        data = ROOT / "search_spaces" / "tones" / "train.jsonl"
        found = [
            record
            for job in jobs(model.resolve(), data)
            if not options.only or job.name in options.only
            for record in _run(job, work, options)
        ]
    finally:
        shutil.rmtree(work, ignore_errors=True)
    result = {"machine": _machine(), "versions": _versions(options.olive), "runs": found}
    options.output.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1, ensure_ascii=False)
    (options.output / "olive.json").write_text(text + "\n", encoding="utf-8")
    (options.output / "olive.md").write_text(page(result), encoding="utf-8")
    print(page(result))


def parsed(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--olive", type=Path, required=True, help="Olive's command")
    parser.add_argument("--model", type=Path, help="a checkpoint's folder (SmolLM2-135M, fetched)")
    parser.add_argument("--limit", type=float, default=600, help="seconds for a job (600)")
    parser.add_argument("--only", nargs="*", help="names of jobs: one, search, ...")
    parser.add_argument("--work", type=Path, help="where there is room for models")
    parser.add_argument("--output", type=Path, default=ROOT / "results", help="a folder")
    return parser.parse_args(arguments)


def _model(work: Path) -> Path:
    """The quick start's model, as an ordinary checkpoint: Olive takes no GGUF files."""
    folder = work / "SmolLM2-135M-Instruct"
    folder.mkdir()
    fetch(read_space(find_space("quickstart"), vocabulary()).space.model, folder)
    return folder


def _run(job: Job, work: Path, options: argparse.Namespace) -> list[Json]:
    """Both programs on a job, in turn."""
    records = []
    for program in ("olive", "tune"):
        folder = work / f"{job.name}-{program}"
        folder.mkdir()
        command = _command(program, job, folder, options)
        for time in range(2 if job.again else 1):
            print(f"{job.name}: {program}{', again' if time else ''} ...", file=sys.stderr)
            seen = watch(command, folder, _environment(program, folder), options.limit)
            records.append(_record(job, program, time, seen, folder, work))
        shutil.rmtree(folder)
    return records


def _command(program: str, job: Job, folder: Path, options: argparse.Namespace) -> list[str]:
    (folder / "config.json").write_text(json.dumps(job.config, indent=1), encoding="utf-8")
    if program == "olive":
        return [str(options.olive.absolute()), "run", "--config", "config.json"]
    if job.space is None:
        return [str(TUNE), "run", "--config", "config.json", "-o", "out"]
    (folder / "space.yaml").write_text(job.space, encoding="utf-8")
    return [str(TUNE), "--space", "space.yaml", "--output", "out"]


def _environment(program: str, folder: Path) -> dict[str, str]:
    shared = {"OMP_NUM_THREADS": str(os.cpu_count()), "COLUMNS": "80", "HF_HUB_OFFLINE": "1"}
    return shared if program == "olive" else shared | {"TUNER_STORE": str(folder / "cache")}


def _record(job: Job, program: str, time: int, seen: Watched, folder: Path, work: Path) -> Json:
    screen = _clean(seen.screen.replace(str(job.model), "MODEL"), work)
    lines = screen.splitlines()
    return {k: v for k, v in asdict(seen).items() if k != "screen"} | {
        "job": job.name,
        "title": job.title,
        "program": program,
        "again": bool(time),
        "models": _models(folder / "out"),
        "lines": len(lines),
        "tracebacks": sum(line.startswith("Traceback") for line in lines),
        "trained": len(re.findall(r"Running pass lora", screen)) if program == "olive" else None,
        "screen": lines[-SHOWN:],
    }


def _models(output: Path) -> list[Json]:
    """The built models that lie in the output's folder, with the bytes of their folders."""
    found = sorted(path.parent for path in output.rglob("genai_config.json"))
    return [
        {
            "folder": str(folder.relative_to(output.parent)),
            "bytes": sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()),
        }
        for folder in found
    ]


def _clean(text: str, work: Path) -> str:
    """The screen without colours, and without this machine's paths."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "\n")
    plain = plain.replace(str(work), "WORK").replace(str(ROOT), "PROJECT")
    plain = plain.replace(str(Path.home()), "~")
    return re.sub(r"(?:/[\w.+-]+)+/(site-packages|lib/python3\.\d+)/", r"\1/", plain)


def _versions(olive: Path) -> dict[str, dict[str, str]]:
    return {
        "olive": _installed(olive.absolute().with_name("python")),
        "tune": _installed(Path(sys.executable)),
    }


def _installed(python: Path) -> dict[str, str]:
    code = (
        "import json, sys\nfrom importlib.metadata import version, PackageNotFoundError\n"
        "found = {}\nfor name in sys.argv[1:]:\n    try: found[name] = version(name)\n"
        "    except PackageNotFoundError: pass\nprint(json.dumps(found))"
    )
    done = subprocess.run(
        [str(python), "-c", code, *LIBRARIES], capture_output=True, text=True, check=True
    )
    versions: dict[str, str] = json.loads(done.stdout)
    return versions


def _machine() -> Json:
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
