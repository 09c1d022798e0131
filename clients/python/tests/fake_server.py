"""A server under the control of a test: it does nothing by itself, and the test answers what arrives."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from typing import Any, Optional

from support import within

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Exchange:
    """A request that waits for its answer."""

    def __init__(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        self.method = method
        self.path, _, self.query = target.partition("?")
        self.headers = headers
        self.body = json.loads(body) if body else None
        self.answered: asyncio.Future[Optional[bytes]] = asyncio.get_running_loop().create_future()

    def answer(self, status: int, body: Any = None, **headers: str) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(content)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.answered.set_result("\r\n".join(lines).encode() + b"\r\n\r\n" + content)

    def answer_raw(self, answer: bytes) -> None:
        self.answered.set_result(answer)

    def refuse(self, status: int, code: str, detail: str = "no", **headers: str) -> None:
        self.answer(status, {"status": status, "code": code, "detail": detail}, **headers)

    def drop(self) -> None:
        """Closes the connection without an answer."""
        self.answered.set_result(None)


class ServerSocket:
    """The server's side of a WebSocket."""

    def __init__(self, exchange: Exchange, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.path, self.query, self.headers = exchange.path, exchange.query, exchange.headers
        self.close_code: Optional[int] = None
        self.ended = asyncio.Event()
        self._reader, self._writer = reader, writer

    async def receive(self) -> dict[str, Any]:
        """Returns the next message."""
        while True:
            opcode, payload = await within(self._frame())
            if opcode == 1:
                return json.loads(payload.decode())
            if opcode == 8:
                self.close_code = int.from_bytes(payload[:2], "big")
                self._writer.close()
                raise EOFError("the client has closed the connection")

    async def receive_update(self) -> dict[str, Any]:
        """Returns the next update that settles or notes something, and answers all that extend only."""
        while True:
            message = await self.receive()
            if message["type"] == "ping":
                self.send({"type": "pong"})
            elif message["type"] == "update" and not (message.get("settle") or message.get("note")):
                self.confirm(message)
            else:
                return message

    async def receive_control(self) -> tuple[int, bytes]:
        """Returns the opcode and the payload of the next frame."""
        return await within(self._frame())

    def confirm(self, update: dict[str, Any], **statuses: str) -> None:
        """Answers an update: all is well, or what `statuses` says for a lease."""

        def answers(member: str, status: str) -> list[dict[str, str]]:
            leases = [it if isinstance(it, str) else it["lease"] for it in update.get(member, [])]
            return [{"lease": lease, "status": statuses.get(lease, status)} for lease in leases]

        lists = {"extend": answers("extend", "kept"), "note": answers("note", "noted")}
        self.send({"type": "updated", "id": update["id"], **lists, "settle": answers("settle", "settled")})

    def greet(self, **members: Any) -> None:
        self.send({"type": "hello", "heartbeat_ms": 10000, "lease_ms": 30000, "held": [], **members})

    def send(self, message: Any) -> None:
        self.send_frame(0x81, json.dumps(message).encode())

    def send_frame(self, first: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            head = bytes((first, size))
        elif size < 0x10000:
            head = bytes((first, 126)) + size.to_bytes(2, "big")
        else:
            head = bytes((first, 127)) + size.to_bytes(8, "big")
        self._writer.write(head + payload)

    def close(self, code: int, reason: str = "") -> None:
        self.send_frame(0x88, code.to_bytes(2, "big") + reason.encode())
        self._writer.close()

    def drop(self) -> None:
        """Breaks the connection, as when a cable is cut and the server notices."""
        self._writer.transport.abort()

    async def _frame(self) -> tuple[int, bytes]:
        first, second = await self._reader.readexactly(2)
        assert second & 0x80, "frames of a client are masked"
        size = second & 0x7F
        if size > 125:
            size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8), "big")
        key = await self._reader.readexactly(4)
        payload = await self._reader.readexactly(size)
        return first & 0x0F, bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))


class FakeServer:
    """Listens on a free port of the loopback interface."""

    def __init__(self) -> None:
        self.connections = 0
        self._exchanges: list[Exchange] = []
        self._sockets: list[ServerSocket] = []
        self._arrived = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> FakeServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 24)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def request(self, path_end: str = "") -> Exchange:
        """Waits for a request whose path ends like this, and which nobody has taken yet."""

        def find() -> Optional[Exchange]:
            return next((it for it in self._exchanges if it.path.endswith(path_end)), None)

        exchange = await self._wait_for(find)
        self._exchanges.remove(exchange)
        return exchange

    async def socket(self) -> ServerSocket:
        """Waits for the next WebSocket."""
        socket = await self._wait_for(lambda: self._sockets[0] if self._sockets else None)
        self._sockets.remove(socket)
        return socket

    async def worker(self, **hello: Any) -> tuple[ServerSocket, dict[str, Any]]:
        """Waits for a worker and greets it. Returns its socket and its first message."""
        socket = await self.socket()
        ready = await socket.receive()
        socket.greet(**hello)
        return socket, ready

    def forget(self) -> None:
        """Forgets what the clients of before have sent."""
        self._exchanges.clear()
        self._sockets.clear()

    def has_request(self, path_end: str) -> bool:
        return any(it.path.endswith(path_end) for it in self._exchanges)

    async def _wait_for(self, find: Any) -> Any:
        async def wait() -> Any:
            async with self._arrived:
                await self._arrived.wait_for(lambda: find() is not None)
                return find()

        return await within(wait())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._exchange(reader, writer):
                pass
        except (EOFError, OSError):
            pass  # the client has gone
        except asyncio.CancelledError:
            pass  # the test is over, and asyncio would complain about a cancelled task
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = lines[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        exchange = Exchange(method, target, headers, body)
        if headers.get("upgrade") == "websocket" and not getattr(self, "refuses_sockets", False):
            await self._upgrade(exchange, reader, writer)
            return False
        await self._add(self._exchanges, exchange)
        answer = await exchange.answered
        if answer is None:
            return False
        writer.write(answer)
        return True

    async def _upgrade(self, exchange: Exchange, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        key = exchange.headers["sec-websocket-key"].encode()
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
        protocol = exchange.headers["sec-websocket-protocol"]
        head = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n"
        head += f"Sec-WebSocket-Protocol: {protocol}\r\n"
        writer.write(f"HTTP/1.1 101 Switching Protocols\r\n{head}\r\n".encode())
        socket = ServerSocket(exchange, reader, writer)
        await self._add(self._sockets, socket)
        await writer.wait_closed()

    async def _add(self, items: list[Any], item: Any) -> None:
        async with self._arrived:
            items.append(item)
            self._arrived.notify_all()
