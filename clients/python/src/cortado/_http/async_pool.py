"""A pool of connections for asyncio: just enough of an HTTP/1.1 client (RFC 9112) for the API."""

from __future__ import annotations

import asyncio
import ssl
from typing import Optional

from .._address import Access, Address
from .._timeout import run_within
from ..errors import ConnectionFailed
from .message import Request, Response, parse_head, request_headers

#: Idle connections that are kept for further requests.
MAX_IDLE = 8
#: The longest head of a response, and the longest line in it.
MAX_HEAD = 64 * 1024

_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def open_stream(address: Address, tls: Optional[ssl.SSLContext]) -> _Connection:
    """Opens a connection to the server."""
    if address.unix_path is not None:
        return await asyncio.open_unix_connection(address.unix_path, limit=MAX_HEAD)
    context = (tls or ssl.create_default_context()) if address.uses_tls else None
    return await asyncio.open_connection(address.host, address.port, ssl=context, limit=MAX_HEAD)


class AsyncPool:
    """Sends requests from the tasks of one event loop, each on a connection of its own."""

    def __init__(self, access: Access) -> None:
        self._address = access.address
        headers = request_headers(access.address, access.token)
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._timeout = access.timeout
        self._tls = access.tls
        self._idle: list[_Connection] = []
        self._is_closed = False

    async def send(self, request: Request) -> Response:
        """Sends a request and returns the answer, whatever its status. Raises `ConnectionFailed`."""
        try:
            return await run_within(self._timeout + request.wait, self._send(request))
        except asyncio.TimeoutError as error:
            raise ConnectionFailed(f"{request.method} {request.path}: no answer in time") from error

    async def _send(self, request: Request) -> Response:
        while True:
            reused = self._idle.pop() if self._idle else None
            try:
                connection = reused or await open_stream(self._address, self._tls)
            except OSError as error:
                raise ConnectionFailed(f"{request.method} {request.path}: {error!r}") from error
            try:
                response = await self._exchange(connection, request)
            except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
                connection[1].close()
                # The server closes connections that were idle for too long: it has not seen the request.
                if reused is None or not isinstance(error, (OSError, EOFError)):
                    raise ConnectionFailed(f"{request.method} {request.path}: {error!r}") from error
            except BaseException:  # a cancelled task must not leave half an answer in the pool
                connection[1].close()
                raise
            else:
                return response

    async def close(self) -> None:
        """Closes all connections that are not in use, and the others once their requests are answered."""
        self._is_closed = True
        while self._idle:
            self._idle.pop()[1].close()
        await asyncio.sleep(0)  # the transports close in the next turn of the loop

    async def _exchange(self, connection: _Connection, request: Request) -> Response:
        reader, writer = connection
        body = request.body
        head = f"{request.method} {self._address.base_path}{request.path} HTTP/1.1\r\n{self._headers}"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        elif request.method != "GET":
            head += "Content-Length: 0\r\n"
        writer.write(f"{head}\r\n".encode("ascii") + (body or b""))
        await writer.drain()
        status = 100
        headers: dict[str, str] = {}
        while 100 <= status < 200:
            head_bytes = await reader.readuntil(b"\r\n\r\n")
            status, headers = parse_head(head_bytes[:-4])
        content = await self._read_body(reader, status, headers)
        has_end = "content-length" in headers or "transfer-encoding" in headers or status in (204, 304)
        closes = "close" in headers.get("connection", "").lower() or not has_end
        if closes or self._is_closed or len(self._idle) >= MAX_IDLE:
            writer.close()
        else:
            self._idle.append(connection)
        return Response(status, headers, content)

    async def _read_body(self, reader: asyncio.StreamReader, status: int, headers: dict[str, str]) -> bytes:
        if status in (204, 304):
            return b""
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return await self._read_chunks(reader)
        if "content-length" in headers:
            return await reader.readexactly(int(headers["content-length"]))
        return await reader.read()

    async def _read_chunks(self, reader: asyncio.StreamReader) -> bytes:
        chunks = []
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            if size == 0:
                break
            chunks.append(await reader.readexactly(size))
            await reader.readexactly(2)
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass  # trailers
        return b"".join(chunks)
