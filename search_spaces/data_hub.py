"""Takes a data set from the Hugging Face hub, or from its local cache where there is no network.

The rows are written by `hub_rows` in a process of its own: `datasets` takes seconds to import, and
whether it may ask the hub is decided when it is imported. Code that a data set ships is not run.
Knows nothing of splits made here or of templates.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from search_spaces.data_copies import Copies, Known
from search_spaces.data_files import DataError, DataUnavailable
from search_spaces.data_locations import Fetched, HubDataset, origin_key
from search_spaces.installed import is_installed
from search_spaces.paths import content_digest, is_folder
from search_spaces.quiet import quiet
from search_spaces.secrets import redacted

_ASK_SECONDS = 10.0
_VERSION = 1
"""Part of an origin: raise it when the same data set gives other rows."""


def fetch_dataset(data: HubDataset, copies: Copies) -> Fetched:
    """A copy of the rows as JSON lines; labels that are numbers of names become the names.

    The copy that is known serves where the hub has the same commit, or cannot be reached, which is
    told. DataError where there is none.
    """
    if not is_installed("datasets"):
        raise DataError(
            f"{data.shown} needs datasets, which is not installed; the extra `hub` of this program "
            "brings it: pip install 'tuner[hub]'"
        )
    endpoint = os.environ.get("HF_ENDPOINT")
    key = origin_key("hub", str(_VERSION), *_names(data), endpoint)
    known = copies.known(key)
    commit, reason = _commit(data)
    if known is not None and (commit is None or commit == known.version):
        return Fetched(copies.use(known), None if commit else _old(data, known, reason))
    found = copies.keep(key, data.shown, _file_name(data), lambda file: _write(data, file, commit))
    return Fetched(copies.use(found), None if commit else _from_cache(data, reason))


def _names(data: HubDataset) -> tuple[str, str | None, str, str | None]:
    return data.name, data.subset, data.split, data.revision


def _file_name(data: HubDataset) -> str:
    return f"{data.name.rstrip('/').rpartition('/')[2] or 'rows'}.jsonl"


def _old(data: HubDataset, known: Known, reason: str) -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(known.fetched))
    return f"{data.shown} was read from the copy of {when}: {reason}"


def _from_cache(data: HubDataset, reason: str) -> str:
    return f"{data.shown} was read from the cache of the hub: {reason}"


def _commit(data: HubDataset) -> tuple[str | None, str]:
    """The commit that the revision is now, or None and why nobody says; DataError: there is none.

    Of a folder, the digest of what is in it.
    """
    if is_folder(Path(data.name)):
        return content_digest(data.name), ""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    where = "the Hugging Face hub"
    try:
        with quiet():
            info = HfApi().dataset_info(
                data.name, revision=data.revision, timeout=_ASK_SECONDS, expand=["sha"]
            )
    except GatedRepoError:
        advice = f"ask for access on its page at {where}, then log in (hf auth login)"
        raise DataError(f"{data.shown} is gated: {advice}") from None
    except RevisionNotFoundError:
        text = f"{where} has no revision {data.revision!r} of it"
        raise DataError(f"{data.shown}: {text}") from None
    except RepositoryNotFoundError:
        text = f"{where} has no such data set, or shows it to others only"
        raise DataError(f"{data.shown}: {text}") from None
    except HFValidationError as error:
        raise DataError(f"{data.name!r} is no name of a data set at {where}: {error}") from None
    except Exception as error:  # noqa: BLE001 - whatever the transport raises without a network
        reason = redacted(" ".join(str(error).split()) or type(error).__name__)
        return None, f"{where} cannot be reached ({reason[:120]})"
    return str(info.sha), ""


def _write(data: HubDataset, file: Path, commit: str | None) -> str | None:
    """Have the rows written; the version. Without a commit only the library's cache is asked."""
    folder = is_folder(Path(data.name))
    asked: dict[str, Any] = {
        "name": data.name,
        "subset": data.subset,
        "split": data.split,
        "revision": data.revision if folder or commit is None else commit,
        "file": str(file),
    }
    environment = {**os.environ, "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    if commit is None or folder:
        environment |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "search_spaces.hub_rows"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    answer = _answer(done)
    if "error" not in answer:
        return commit
    reason = redacted(str(answer["error"]))
    if commit is None:
        raise DataUnavailable(
            f"{data.shown} cannot be had: the Hugging Face hub cannot be reached, and its caches "
            f"here have no copy ({reason}); fetch it where there is a network "
            f"(hf download --repo-type dataset {data.name}), or name a local file with the rows"
        )
    raise DataError(f"{data.shown} cannot be read: {reason}")


def _answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What the process said last; it may have been ended from outside."""
    try:
        answer = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        return {"error": f"its process ended with {done.returncode} and said {last[:200]}"}
    return answer if isinstance(answer, dict) else {"error": str(answer)}
