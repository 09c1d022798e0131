"""Frames of a client: written with a mask, read without one, and joined into messages."""

from __future__ import annotations

import os

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA

NORMAL, GOING_AWAY, PROTOCOL_ERROR, UNSUPPORTED, ABNORMAL, INVALID_TEXT, TOO_BIG = (
    1000,
    1001,
    1002,
    1003,
    1006,
    1007,
    1009,
)


class FrameError(Exception):
    """The server broke RFC 6455. `code` is what the connection is closed with."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def frame(opcode: int, payload: bytes) -> bytes:
    """Returns one whole frame, masked with a fresh key."""
    size = len(payload)
    key = os.urandom(4)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 0x10000:
        head = bytes((0x80 | opcode, 0xFE)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0xFF)) + size.to_bytes(8, "big")
    return head + key + mask(payload, key)


def mask(payload: bytes, key: bytes) -> bytes:
    """Combines a payload with its key. One operation on two large integers takes a fraction of a nanosecond for
    each byte, and a loop over the bytes some fifty."""
    size = len(payload)
    keys = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(keys, "little")).to_bytes(size, "little")


def close_payload(code: int, reason: str = "") -> bytes:
    """Returns the payload of a close frame."""
    return code.to_bytes(2, "big") + reason.encode()[:123]


class FrameReader:
    """Reads frames from chunks of bytes as they arrive, and joins fragments."""

    def __init__(self, max_message: int) -> None:
        self._max_message = max_message
        self._buffer = bytearray()
        # The size of the buffer from which on there may be another frame, so that the chunks of a large frame do not
        # make its head be read again.
        self._needed = 2
        self._fragments: list[bytes] = []
        self._fragment_bytes = 0
        self._fragment_opcode = 0

    def feed(self, chunk: bytes) -> list[tuple[int, bytes]]:
        """Adds a chunk, and returns the opcode and the payload of all messages and control frames that are
        complete now. Raises `FrameError`."""
        buffer = self._buffer
        buffer += chunk
        size = len(buffer)
        if size < self._needed:
            return []
        messages: list[tuple[int, bytes]] = []
        at = 0
        with memoryview(buffer) as view:
            while True:
                if size - at < 2:
                    self._needed = 2
                    break
                first, length = buffer[at], buffer[at + 1]
                start = at + 2
                if length == 126:
                    start = at + 4
                elif length == 127:
                    start = at + 10
                elif length > 127:
                    raise FrameError(PROTOCOL_ERROR, "a frame of the server is masked")
                if size < start:
                    self._needed = start - at
                    break
                if length > 125:
                    length = int.from_bytes(view[at + 2 : start], "big")
                if length + self._fragment_bytes > self._max_message:
                    raise FrameError(TOO_BIG, f"a message has more than {self._max_message} bytes")
                end = start + length
                if size < end:
                    self._needed = end - at
                    break
                self._add(messages, first, bytes(view[start:end]))
                at = end
        del buffer[:at]
        return messages

    def _add(self, messages: list[tuple[int, bytes]], first: int, payload: bytes) -> None:
        if first & 0x70:
            raise FrameError(PROTOCOL_ERROR, "a frame uses an extension that was not agreed on")
        is_final, opcode = first & 0x80, first & 0x0F
        if opcode in (CLOSE, PING, PONG):
            if not is_final or len(payload) > 125:
                raise FrameError(PROTOCOL_ERROR, "a control frame is fragmented or too long")
            messages.append((opcode, payload))
            return
        if opcode not in (0, TEXT, BINARY) or (opcode == 0) != bool(self._fragment_opcode):
            raise FrameError(PROTOCOL_ERROR, f"a frame with opcode {opcode} is not expected here")
        if is_final and opcode:
            messages.append((opcode, payload))
            return
        self._fragments.append(payload)
        self._fragment_bytes += len(payload)
        self._fragment_opcode = self._fragment_opcode or opcode
        if is_final:
            messages.append((self._fragment_opcode, b"".join(self._fragments)))
            self._fragments, self._fragment_bytes, self._fragment_opcode = [], 0, 0
