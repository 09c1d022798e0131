"""The client for programs that use threads."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Callable, Optional, TypeVar

from . import _calls
from ._calls import Call, Retries, document
from ._client import ClientBase, SubscriptionBase
from ._http.pool import Pool
from ._websocket.blocking import BlockingSocket
from .errors import ApiError, ConnectionFailed
from .events import MAX_MESSAGE, Item, is_final

if TYPE_CHECKING:
    from typing_extensions import Concatenate, ParamSpec

    P = ParamSpec("P")

T = TypeVar("T")


class Subscription(SubscriptionBase, Iterator[Item]):
    """An endless iterator over `Event` and `Gap`. Only one thread may use it."""

    _socket: Optional[BlockingSocket] = None

    def __next__(self) -> Item:
        while True:
            item = self._log.next_item()
            if item is not None:
                return item
            try:
                if self._socket is None:
                    self._socket = self._connect()
                self._log.add(self._socket.receive(2 * self._log.heartbeat + 5.0))
                self._backoff.reset()
            except (ApiError, ConnectionFailed) as error:
                self.close()
                if is_final(error):
                    raise
                time.sleep(self._delay_after(error))
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Closes the connection. A later `next` opens another one, and continues at the cursor."""
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.close()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connect(self) -> BlockingSocket:
        access = self._access
        return BlockingSocket(access.address, self._next_handshake(), access.timeout, access.tls, MAX_MESSAGE)


def _performs(describe: Callable[P, Call[T]]) -> Callable[Concatenate[Client, P], T]:
    """Makes a method of a call."""

    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._perform(describe(*args, **kwargs))

    return document(method, describe)


class Client(ClientBase[Subscription]):
    """Submits, reads, awaits and cancels jobs. All methods may be called from any thread."""

    _subscription = Subscription

    submit = _performs(_calls.submit)
    submit_many = _performs(_calls.submit_many)
    get = _performs(_calls.get)
    wait = _performs(_calls.wait)
    cancel = _performs(_calls.cancel)

    def _open_pool(self) -> None:
        self._pool = Pool(self._access)

    def close(self) -> None:
        """Closes the connections of this client."""
        self._pool.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _perform(self, call: Call[T]) -> T:
        while True:
            answer = self._send(call)
            pause = call.pause_after(answer)
            if pause is None:
                return answer
            time.sleep(pause)

    def _send(self, call: Call[T]) -> T:
        request = call.next_request()
        retries = Retries(self._retry_for)
        while True:
            try:
                return call.read(self._pool.send(request))
            except (ApiError, ConnectionFailed) as error:
                time.sleep(retries.delay_after(error))
