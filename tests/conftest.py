"""Fixtures that many tests share: tiny models and data, each made once for a session."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "plugins")]
# Models this small gain nothing from more threads, and on a busy machine threads wait for another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell makes what it starts in the background deaf to Ctrl-C, and all that this starts in turn.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import tiny_models  # noqa: E402  # found on the path set above
from storage_servers import azure, gcs, s3  # noqa: E402, F401  # fixtures
from study.postgres import postgres, postgres_url  # noqa: E402, F401  # fixtures


@pytest.fixture(scope="session", autouse=True)
def _own_device(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Jobs of these tests wait for nobody else's measurements, and disturb nobody else's jobs."""
    os.environ["TUNER_DEVICE_LOCK"] = str(tmp_path_factory.mktemp("device"))


@pytest.fixture(scope="session")
def tiny_phi3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformers folder: Phi-3 architecture, random weights, fp32. Read only."""
    return tiny_models.save_phi3(tmp_path_factory.mktemp("tiny_phi3"))


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformers folder: Llama architecture, tied embeddings, random weights. Read only."""
    return tiny_models.save_llama(tmp_path_factory.mktemp("tiny_llama"))


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformers folder: BERT architecture, no head, random weights, fp32. Read only."""
    return tiny_models.save_bert(tmp_path_factory.mktemp("tiny_bert"))


@pytest.fixture(scope="session")
def tiny_genai(tiny_phi3: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX Runtime GenAI folder, fp32, built from `tiny_phi3`. Read only."""
    return tiny_models.save_genai(tiny_phi3, tmp_path_factory.mktemp("tiny_genai") / "model")


@pytest.fixture(scope="session")
def tone_rows() -> list[dict[str, str]]:
    """64 rows {"phrase", "tone"} over four tones."""
    return tiny_models.tone_rows()


@pytest.fixture(scope="session")
def tone_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows as a JSON-lines file. Read only."""
    return tiny_models.write_tones(tmp_path_factory.mktemp("tones") / "tones.jsonl")
