"""Messages over a socket: whole, in order, and never half."""

from __future__ import annotations

import json
import socket
import struct
import threading

import pytest

from tuner.execution.channel import Channel, ChannelClosed, Message


def test_messages_arrive_whole_and_in_order() -> None:
    left, right = (Channel(end) for end in socket.socketpair())
    left.send({"n": 1}, b"body\x00")
    left.send({"n": 2})
    assert right.receive() == Message({"n": 1}, b"body\x00")
    assert right.receive(0) == Message({"n": 2}, b"")
    assert right.receive(0) is None


def test_a_message_larger_than_the_socket_buffer_arrives() -> None:
    left, right = (Channel(end) for end in socket.socketpair())
    body = b"0123456789" * 1_000_000
    sender = threading.Thread(target=left.send, args=({}, body))
    sender.start()
    assert right.receive() == Message({}, body)
    sender.join()


def test_half_a_message_is_kept_until_the_rest_comes() -> None:
    raw, end = socket.socketpair()
    channel = Channel(end)
    head = json.dumps({"a": 1}).encode()
    data = struct.pack("!IQ", len(head), 2) + head + b"xy"
    for at in range(len(data) - 1):
        raw.sendall(data[at : at + 1])
        assert channel.receive(0.0) is None
    raw.sendall(data[-1:])
    assert channel.receive(1.0) == Message({"a": 1}, b"xy")


def test_a_closed_end_is_noticed_on_both_sides() -> None:
    left, right = (Channel(end) for end in socket.socketpair())
    left.close()
    with pytest.raises(ChannelClosed):
        right.receive()
    with pytest.raises(ChannelClosed):
        right.send({}, b"x" * 10_000_000)
