"""The client for programs that use asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar

from . import _calls
from ._calls import Call, Retries, document
from ._client import ClientBase, SubscriptionBase
from ._http.async_pool import AsyncPool
from ._websocket.protocol import AsyncSocket
from .errors import ApiError, ConnectionFailed
from .events import MAX_MESSAGE, Item, is_final

if TYPE_CHECKING:
    from typing_extensions import Concatenate, ParamSpec

    P = ParamSpec("P")

T = TypeVar("T")


class AsyncSubscription(SubscriptionBase, AsyncIterator[Item]):
    """An endless asynchronous iterator over `Event` and `Gap`. Only one task may use it."""

    _socket: Optional[AsyncSocket] = None
    # Done when a message has arrived or the connection has ended.
    _news: Optional[asyncio.Future[None]] = None
    # What was wrong with a message; raised where the items are read.
    _error: Optional[Exception] = None

    async def __anext__(self) -> Item:
        while True:
            item = self._log.next_item()
            if item is not None:
                return item
            try:
                if self._socket is None:
                    self._socket = await self._connect()
                await self._wait_for_news(self._socket)
                self._backoff.reset()
            except (ApiError, ConnectionFailed) as error:
                await self.close()
                if is_final(error):
                    raise
                await asyncio.sleep(self._delay_after(error))
            except Exception:  # not a cancellation: the next call goes on waiting
                await self.close()
                raise

    async def close(self) -> None:
        """Closes the connection. A later item opens another one, and continues at the cursor."""
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.close()

    async def __aenter__(self) -> AsyncSubscription:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _connect(self) -> AsyncSocket:
        access = self._access
        handshake = self._next_handshake()
        self._error = None
        socket = await AsyncSocket.connect(
            access.address, handshake, self._on_text, access.timeout, access.tls, MAX_MESSAGE
        )
        socket.closed.add_done_callback(lambda _: self._wake())
        socket.pause_reading()  # until the first item is asked for
        return socket

    async def _wait_for_news(self, socket: AsyncSocket) -> None:
        if not self._log.has_items and self._error is None and not socket.closed.done():
            socket.resume_reading()
            self._news = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._news}, timeout=2 * self._log.heartbeat + 5.0)
            if not self._news.done():
                raise ConnectionFailed("the server has fallen silent")
        if self._log.has_items:
            return
        if self._error is not None:
            raise self._error
        if socket.closed.done():
            raise socket.closed.result()

    def _on_text(self, text: bytes) -> None:
        try:
            self._log.add(text.decode())
        except UnicodeDecodeError:
            raise  # the connection is closed with the code for it
        except Exception as error:
            self._error = self._error or error
        if self._socket is not None:
            self._socket.pause_reading()  # until the items are read, so that they do not pile up
        self._wake()

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


def _performs(describe: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    """Makes an asynchronous method of a call."""

    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._perform(describe(*args, **kwargs))

    return document(method, describe)


class AsyncClient(ClientBase[AsyncSubscription]):
    """Submits, reads, awaits and cancels jobs. All methods are for the tasks of one event loop."""

    _subscription = AsyncSubscription

    submit = _performs(_calls.submit)
    submit_many = _performs(_calls.submit_many)
    get = _performs(_calls.get)
    wait = _performs(_calls.wait)
    cancel = _performs(_calls.cancel)

    def _open_pool(self) -> None:
        self._pool = AsyncPool(self._access)

    async def close(self) -> None:
        """Closes the connections of this client."""
        await self._pool.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _perform(self, call: Call[T]) -> T:
        while True:
            answer = await self._send(call)
            pause = call.pause_after(answer)
            if pause is None:
                return answer
            await asyncio.sleep(pause)

    async def _send(self, call: Call[T]) -> T:
        request = call.next_request()
        retries = Retries(self._retry_for)
        while True:
            try:
                return call.read(await self._pool.send(request))
            except (ApiError, ConnectionFailed) as error:
                await asyncio.sleep(retries.delay_after(error))
