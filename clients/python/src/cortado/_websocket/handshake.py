"""The opening handshake of a WebSocket, as the client sends and checks it."""

from __future__ import annotations

import base64
import hashlib
import os
from typing import Optional

from .._address import Address
from .._http.message import Response, parse_head, request_headers
from ..errors import ConnectionFailed

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#: The longest answer to a handshake, including the problem document of a refusal.
MAX_ANSWER = 256 * 1024


class Handshake:
    """One handshake: the bytes to send, and the state of the answer, which arrives in chunks."""

    def __init__(self, address: Address, path: str, subprotocol: str, token: Optional[str]) -> None:
        self._subprotocol = subprotocol
        self._key = base64.b64encode(os.urandom(16))
        self._received = b""
        headers = request_headers(address, token)
        headers["Connection"] = "Upgrade"
        headers["Upgrade"] = "websocket"
        headers["Sec-WebSocket-Version"] = "13"
        headers["Sec-WebSocket-Key"] = self._key.decode()
        headers["Sec-WebSocket-Protocol"] = subprotocol
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        #: The request.
        self.request = f"GET {address.base_path}{path} HTTP/1.1\r\n{lines}\r\n".encode("ascii")

    def feed(self, chunk: bytes) -> Optional[bytes]:
        """Adds a chunk of the answer. Returns what follows it once it is complete, and None before. Raises `ApiError`
        if the server refused the handshake, and `ConnectionFailed` if its answer makes no sense."""
        self._received += chunk
        if len(self._received) > MAX_ANSWER:
            raise ConnectionFailed("the answer to the WebSocket handshake is too long")
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return None
        try:
            status, headers = parse_head(head)
            length = int(headers.get("content-length", 0))
        except ValueError as error:
            raise ConnectionFailed(f"the answer to the WebSocket handshake is malformed: {error}") from error
        if status != 101:
            if len(rest) < length:
                return None
            raise Response(status, headers, rest).problem()
        accept = base64.b64encode(hashlib.sha1(self._key + _GUID).digest()).decode()
        if headers.get("sec-websocket-accept") != accept:
            raise ConnectionFailed("the server did not accept the key of the WebSocket handshake")
        if headers.get("sec-websocket-protocol") != self._subprotocol:
            raise ConnectionFailed(f"the server does not speak {self._subprotocol}")
        return rest

    def at_end(self) -> None:
        """Raises the error of an answer that ended with its connection."""
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if end:
            status, headers = parse_head(head)
            if status != 101:
                raise Response(status, headers, rest).problem()
        raise ConnectionFailed("the connection was closed during the WebSocket handshake")
