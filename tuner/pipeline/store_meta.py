"""How `meta.json` is written and read: sealed with its own hash, as a number in it is nowhere else.

Knows nothing of folders or keys.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

_SEAL = re.compile(rb'\{"seal": "([0-9a-f]{64})", ')  # how it begins; the hash of the rest


def sealed(meta: Mapping[str, Any]) -> bytes:
    """JSON with its own hash in front. TypeError where `meta` is none."""
    rest = json.dumps(meta)[1:].encode()
    return b'{"seal": "%s", %s' % (hashlib.sha256(rest).hexdigest().encode(), rest)


def opened(content: bytes) -> dict[str, Any]:
    """What was sealed; ValueError where that is not what is there.

    What earlier versions wrote has no seal, and is taken as it is.
    """
    seal = _SEAL.match(content)
    if seal and hashlib.sha256(content[seal.end() :]).hexdigest().encode() != seal[1]:
        raise ValueError("its content is not what was stored")
    meta = json.loads(content)
    if not isinstance(meta, dict) or not isinstance(meta.get("files"), dict):
        raise ValueError("it does not describe an entry")
    meta.pop("seal", None)
    return meta
