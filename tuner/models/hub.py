"""Takes a model from the Hugging Face hub, or from its local cache where there is no network.

Only weights, configuration and tokenizer are taken; code that a repository ships is not. Knows
nothing of the store.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from search_spaces.references import Reference
from tuner.models.errors import ModelError
from tuner.models.links import link_or_copy

_WANTED = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "*.tiktoken"]
_BESIDE = ["*/*"]  # other formats of the same model lie in folders of their own


def resolve_commit(reference: Reference) -> str:
    """The commit that the reference's revision is now, 40 hex digits.

    Asked of the hub, or of its local cache where the hub cannot be reached; ModelError where
    neither knows.
    """
    revision = reference.revision or "main"
    if re.fullmatch(r"[0-9a-f]{40}", revision):
        return revision
    return _snapshot(reference, revision, ["config.json"]).name


def config_of(reference: Reference) -> Path:
    """The config.json of a repository, in the hub's cache; ModelError where it cannot be had."""
    revision = reference.revision or "main"
    path = _snapshot(reference, revision, ["config.json"]) / "config.json"
    if not path.is_file():
        raise ModelError(f"{reference.text} has no config.json: it is no transformers checkpoint")
    return path


def fetch_hub(reference: Reference, output: Path) -> None:
    """Write the repository's checkpoint into `output`, sharing files with the hub's cache."""
    for path in sorted(_snapshot(reference, resolve_commit(reference), _WANTED).iterdir()):
        if path.is_file():
            link_or_copy(path, output / path.name)


def _snapshot(reference: Reference, revision: str, wanted: list[str]) -> Path:
    """The folder of the hub's cache with the wanted files; its name is the commit."""
    from huggingface_hub import snapshot_download

    with _explained(reference):
        return Path(
            snapshot_download(
                str(reference.repo),
                revision=revision,
                allow_patterns=wanted,
                ignore_patterns=_BESIDE,
            )
        )


@contextmanager
def _explained(reference: Reference) -> Iterator[None]:
    """Turn the hub's errors into a sentence that says what can be done."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    name, where = reference.text, "the Hugging Face hub"
    try:
        yield
    except GatedRepoError:
        raise ModelError(
            f"{name} is gated: ask for access on its page at {where}, then log in (hf auth login)"
        ) from None
    except RevisionNotFoundError:
        raise ModelError(f"{name}: {where} has no revision {reference.revision!r} of it") from None
    except RepositoryNotFoundError:
        raise ModelError(f"{name}: {where} has no such model, or shows it to others only") from None
    except HFValidationError as error:
        raise ModelError(f"{name} is no name of a model at {where}: {error}") from None
    except OSError as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"{name} cannot be had from {where}, nor from its cache: {reason}"
        ) from error
