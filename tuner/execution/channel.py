"""Messages over a stream socket: a small JSON header and a body of bytes, both length-prefixed.

Knows nothing of what the messages mean.
"""

from __future__ import annotations

import json
import select
import socket
import struct
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

_PREFIX = struct.Struct("!IQ")  # length of the header, length of the body
_CHUNK = 1 << 20


class ChannelClosed(Exception):
    """The other end is gone."""


@dataclass(frozen=True, slots=True)
class Message:
    """What one `send` sent."""

    header: Json
    body: bytes


class Channel:
    """One end of a connection. Sending blocks; receiving waits no longer than it is told."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._buffer = bytearray()
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)

    def fileno(self) -> int:
        """The socket's descriptor, so that a poll can wait for it among others."""
        return self._socket.fileno()

    def send(self, header: Json, body: bytes = b"") -> None:
        """Send one message. ChannelClosed when the other end is gone."""
        head = json.dumps(header).encode()
        try:
            self._socket.sendall(_PREFIX.pack(len(head), len(body)) + head)
            self._socket.sendall(body)
        except OSError as error:
            raise ChannelClosed from error

    def receive(self, timeout: float | None = None) -> Message | None:
        """The next message, or None when it is not whole before `timeout` (seconds; None: wait).

        A message that is only partly here is kept for the next call. ChannelClosed when the other
        end is gone.
        """
        while (message := self._whole_message()) is None:
            if not self._poll.poll(None if timeout is None else 1000 * timeout):
                return None
            self._read()
        return message

    def close(self) -> None:
        """Close this end."""
        self._socket.close()

    def _read(self) -> None:
        try:
            data = self._socket.recv(_CHUNK)
        except ConnectionError as error:
            raise ChannelClosed from error
        if not data:
            raise ChannelClosed
        self._buffer += data

    def _whole_message(self) -> Message | None:
        if len(self._buffer) < _PREFIX.size:
            return None
        head_size, body_size = _PREFIX.unpack_from(self._buffer)
        body_at = _PREFIX.size + head_size
        end = body_at + body_size
        if len(self._buffer) < end:
            return None
        header = json.loads(self._buffer[_PREFIX.size : body_at])
        body = bytes(memoryview(self._buffer)[body_at:end])
        del self._buffer[:end]
        return Message(header, body)
