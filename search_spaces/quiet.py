"""Silence for libraries that report their retries and progress while they fetch."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

_LOUD = (
    *("azure", "botocore", "aiobotocore", "s3fs", "adlfs", "gcsfs", "fsspec", "google"),
    *("asyncio", "aiohttp", "huggingface_hub", "httpx", "httpcore"),
)


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing below a critical message of these libraries is shown meanwhile."""
    before = {name: logging.getLogger(name).level for name in _LOUD}
    for name in before:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
