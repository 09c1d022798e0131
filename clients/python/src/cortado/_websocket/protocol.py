"""A WebSocket for asyncio, as a protocol: messages are passed on as they arrive, without a queue or a task."""

from __future__ import annotations

import asyncio
import ssl
from typing import Callable, Optional

from .._address import Address
from .._timeout import run_within
from ..errors import ApiError, ConnectionFailed
from .blocking import closed_by_server
from .frames import (
    ABNORMAL,
    CLOSE,
    INVALID_TEXT,
    NORMAL,
    PING,
    PONG,
    TEXT,
    UNSUPPORTED,
    FrameError,
    FrameReader,
    close_payload,
    frame,
)
from .handshake import Handshake


class AsyncSocket(asyncio.Protocol):
    """A WebSocket. `closed` is done when the connection has ended, and its result is why."""

    def __init__(self, handshake: Handshake, on_text: Callable[[bytes], None], max_message: int) -> None:
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[ConnectionFailed] = loop.create_future()
        #: Whether the transport has more to send than it likes: send nothing that can wait.
        self.is_full = False
        #: Called when it has room again.
        self.on_room: Callable[[], None] = lambda: None
        #: When the last bytes arrived, by the clock of the loop.
        self.last_received = loop.time()
        self._loop = loop
        self._handshake: Optional[Handshake] = handshake
        self._on_text = on_text
        self._reader = FrameReader(max_message)
        self._why: Optional[ConnectionFailed] = None
        self._transport: Optional[asyncio.Transport] = None

    @classmethod
    async def connect(
        cls,
        address: Address,
        handshake: Handshake,
        on_text: Callable[[bytes], None],
        timeout: float,
        tls: Optional[ssl.SSLContext],
        max_message: int,
    ) -> AsyncSocket:
        """Opens a WebSocket. `on_text` gets the UTF-8 of every text message, also of those that arrive before this
        returns. Raises `ApiError` if the server refuses, and `ConnectionFailed` otherwise."""
        loop = asyncio.get_running_loop()
        socket = cls(handshake, on_text, max_message)
        try:
            await run_within(timeout, socket._open(loop, address, tls))
        except asyncio.TimeoutError as error:
            socket.abort()
            raise ConnectionFailed("the WebSocket was not opened in time") from error
        except ApiError:
            socket.abort()
            raise
        except OSError as error:
            socket.abort()
            if isinstance(error, ConnectionFailed):
                raise
            raise ConnectionFailed(f"the server cannot be reached: {error}") from error
        except BaseException:
            socket.abort()
            raise
        return socket

    async def _open(self, loop: asyncio.AbstractEventLoop, address: Address, tls: Optional[ssl.SSLContext]) -> None:
        if address.unix_path is not None:
            await loop.create_unix_connection(lambda: self, address.unix_path)
        else:
            context = (tls or ssl.create_default_context()) if address.uses_tls else None
            await loop.create_connection(lambda: self, address.host, address.port, ssl=context)
        await self.opened

    def send(self, text: bytes) -> None:
        """Sends a text message. Nothing is sent once the connection has ended."""
        self._write(frame(TEXT, text))

    def pause_reading(self) -> None:
        """Stops reading, so that the server notices that this side is slow."""
        if self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Reads on."""
        if self._transport is not None and not self._transport.is_closing() and not self._transport.is_reading():
            self._transport.resume_reading()

    def close(self, code: int = NORMAL) -> None:
        """Sends a close frame and ends the connection."""
        self._write(frame(CLOSE, close_payload(code)))
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Ends the connection at once, as when the server does not answer any more."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._handshake is not None:
            transport.write(self._handshake.request)

    def data_received(self, data: bytes) -> None:
        self.last_received = self._loop.time()
        try:
            if self._handshake is not None:
                rest = self._handshake.feed(data)
                if rest is None:
                    return
                self._handshake, data = None, rest
                if self.opened.done():  # nobody waits for it any more
                    self.abort()
                    return
                self.opened.set_result(None)
            for opcode, payload in self._reader.feed(data):
                if opcode == TEXT:
                    self._on_text(payload)
                else:
                    self._on_other(opcode, payload)
        except FrameError as error:
            self._break(error.code, str(error))
        except UnicodeDecodeError:
            self._break(INVALID_TEXT, "a message is not UTF-8")
        except (ApiError, ConnectionFailed) as error:
            self._fail_to_open(error)
            self.abort()

    def _on_other(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self._write(frame(PONG, payload))
        elif opcode == CLOSE:
            self._why = self._why or closed_by_server(payload)
            self._write(frame(CLOSE, payload[:2]))
            if self._transport is not None:
                self._transport.close()
        elif opcode != PONG:
            self._break(UNSUPPORTED, "a message is not a text")

    def eof_received(self) -> None:
        if self._handshake is not None:
            try:
                self._handshake.at_end()
            except (ApiError, ConnectionFailed) as error:
                self._fail_to_open(error)

    def connection_lost(self, exc: Optional[Exception]) -> None:
        why = self._why or ConnectionFailed(f"the connection broke: {exc!r}" if exc else "the connection was closed")
        why.close_code = why.close_code or ABNORMAL
        self._fail_to_open(why)
        if not self.closed.done():
            self.closed.set_result(why)
        self.on_room()

    def pause_writing(self) -> None:
        self.is_full = True

    def resume_writing(self) -> None:
        self.is_full = False
        self.on_room()

    def _fail_to_open(self, error: Exception) -> None:
        if not self.opened.done():
            self.opened.set_exception(error)
            self.opened.exception()  # nobody may be waiting for it any more, and asyncio would complain

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _break(self, code: int, message: str) -> None:
        self._why = ConnectionFailed(message, code)
        self.close(code)
