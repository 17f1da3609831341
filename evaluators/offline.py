"""Keeps libraries from asking the network, whatever they are made for.

Knows nothing of what they were asked for.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

_INTERNET = (socket.AF_INET, socket.AF_INET6)


@contextmanager
def no_network(*switches: tuple[Any, str]) -> Iterator[list[str]]:
    """Nothing in this process reaches another machine; gives the list of what was asked for.

    Who tries gets a ConnectionError. `switches`: (module, name) of what tells a library to do
    without, which is true meanwhile: libraries read the environment when they are imported, which
    this process may have done long ago, and without such a switch try again and again.
    """
    refused: list[str] = []

    def refuse(host: object, *_: object, **__: object) -> Any:
        refused.append(str(host))
        raise ConnectionError(f"{host} was asked for, but nothing is downloaded")

    def connect(self: socket.socket, address: Any) -> None:
        if self.family in _INTERNET:
            refuse(address[0])
        plain(self, address)

    plain = socket.socket.connect
    changes = [(socket, "getaddrinfo", refuse), (socket.socket, "connect", connect)]
    with ExitStack() as stack:
        for owner, name, value in [*changes, *((module, name, True) for module, name in switches)]:
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        yield refused
