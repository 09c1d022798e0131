"""A WebSocket for threads."""

from __future__ import annotations

import socket
import ssl
import time
from collections import deque
from typing import Optional

from .._address import Address
from ..errors import ConnectionFailed
from .frames import (
    ABNORMAL,
    CLOSE,
    INVALID_TEXT,
    NORMAL,
    PING,
    TEXT,
    UNSUPPORTED,
    FrameError,
    FrameReader,
    close_payload,
    frame,
)
from .handshake import Handshake

CHUNK = 64 * 1024


class BlockingSocket:
    """An open WebSocket. Only one thread may use it."""

    def __init__(
        self,
        address: Address,
        handshake: Handshake,
        timeout: float,
        tls: Optional[ssl.SSLContext],
        max_message: int,
    ) -> None:
        self._reader = FrameReader(max_message)
        self._messages: deque[tuple[int, bytes]] = deque()
        try:
            self._socket = _connect(address, timeout, tls)
        except OSError as error:
            raise ConnectionFailed(f"the server cannot be reached: {error}") from error
        try:
            self._socket.sendall(handshake.request)
            rest = None
            while rest is None:
                chunk = self._socket.recv(CHUNK)
                if not chunk:
                    handshake.at_end()
                rest = handshake.feed(chunk)
            self._feed(rest)
        except BaseException as error:
            self._socket.close()
            if isinstance(error, OSError) and not isinstance(error, ConnectionFailed):
                raise ConnectionFailed(f"the WebSocket handshake failed: {error!r}") from error
            raise

    def send(self, text: bytes) -> None:
        """Sends a text message."""
        self._send(frame(TEXT, text))

    def receive(self, timeout: float) -> str:
        """Returns the next text message. Raises `ConnectionFailed` when the connection has ended, or when nothing
        arrives in time."""
        deadline = time.monotonic() + timeout
        while True:
            while self._messages:
                opcode, payload = self._messages.popleft()
                if opcode == TEXT:
                    try:
                        return payload.decode()
                    except UnicodeDecodeError as error:
                        raise self._broken(INVALID_TEXT, "a message is not UTF-8") from error
                if opcode == PING:
                    self._send(frame(0xA, payload))
                elif opcode == CLOSE:
                    raise self._closed_by_server(payload)
                elif opcode != 0xA:
                    raise self._broken(UNSUPPORTED, "a message is not a text")
            try:
                self._socket.settimeout(max(0.001, deadline - time.monotonic()))
                chunk = self._socket.recv(CHUNK)
            except OSError as error:
                raise ConnectionFailed(f"the connection broke: {error!r}", ABNORMAL) from error
            if not chunk:
                raise ConnectionFailed("the connection was closed without a close frame", ABNORMAL)
            self._feed(chunk)

    def close(self) -> None:
        """Closes the connection, and does not wait for the answer of the server."""
        try:
            self._socket.sendall(frame(CLOSE, close_payload(NORMAL)))
        except OSError:
            pass  # it is closed already
        self._socket.close()

    def _feed(self, chunk: bytes) -> None:
        try:
            self._messages.extend(self._reader.feed(chunk))
        except FrameError as error:
            raise self._broken(error.code, str(error)) from error

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise ConnectionFailed(f"the connection broke: {error!r}", ABNORMAL) from error

    def _broken(self, code: int, message: str) -> ConnectionFailed:
        self._send(frame(CLOSE, close_payload(code)))
        self._socket.close()
        return ConnectionFailed(message, code)

    def _closed_by_server(self, payload: bytes) -> ConnectionFailed:
        try:
            self._send(frame(CLOSE, payload[:2]))
        except ConnectionFailed:
            pass  # the server did not wait for the answer
        self._socket.close()
        return closed_by_server(payload)


def closed_by_server(payload: bytes) -> ConnectionFailed:
    """Returns the error that a close frame of the server stands for."""
    code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
    reason = payload[2:].decode(errors="replace")
    return ConnectionFailed(f"the server closed the connection: {code} {reason}".rstrip(), code)


def _connect(address: Address, timeout: float, tls: Optional[ssl.SSLContext]) -> socket.socket:
    if address.unix_path is not None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout)
        connection.connect(address.unix_path)
        return connection
    connection = socket.create_connection((address.host, address.port), timeout)
    if not address.uses_tls:
        return connection
    try:
        return (tls or ssl.create_default_context()).wrap_socket(connection, server_hostname=address.host)
    except BaseException:
        connection.close()
        raise
