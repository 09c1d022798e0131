"""The client for programs that use asyncio."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Any, Optional, TypeVar

from . import _calls
from ._address import Address
from ._backoff import Backoff as ReconnectBackoff
from ._calls import Call, Retries, Wait
from ._http.async_pool import AsyncPool
from ._json import Duration, seconds
from ._websocket.handshake import Handshake
from ._websocket.protocol import AsyncSocket
from .errors import ApiError, ConnectionFailed, WaitTimeout
from .events import MAX_MESSAGE, SUBPROTOCOL, EventLog, Item, Values, is_final
from .jobs import Backoff, Job, Status, Submission

T = TypeVar("T")


class AsyncClient:
    """Submits, reads, awaits and cancels jobs. All methods are for the tasks of one event loop.

    Requests that fail because the server is away or overloaded are repeated for `retry_for` seconds. `timeout` bounds
    one request, without the time for which the server is asked to wait.
    """

    def __init__(
        self,
        url: str,
        token: Optional[str] = None,
        *,
        timeout: float = 30.0,
        retry_for: float = 30.0,
        tls: Optional[ssl.SSLContext] = None,
    ) -> None:
        self._address = Address.parse(url)
        self._token = token
        self._timeout = timeout
        self._retry_for = retry_for
        self._tls = tls
        self._pool = AsyncPool(self._address, token, timeout, tls)

    async def submit(
        self,
        kind: str,
        payload: Any = None,
        *,
        queue: Optional[str] = None,
        priority: Optional[int] = None,
        delay: Optional[Duration] = None,
        run_at: Optional[datetime] = None,
        max_attempts: Optional[int] = None,
        backoff: Optional[Backoff] = None,
        timeout: Optional[Duration] = None,
        idempotency_key: Optional[str] = None,
        tags: Optional[Sequence[str]] = None,
        wait: Duration = 0.0,
    ) -> Job:
        """Submits a job and returns it when it is on disk. With `wait`, returns the whole job once it has ended, or as
        it is after that time (at most a minute). The other parameters are those of `Submission`."""
        submission = Submission(
            kind,
            payload,
            queue=queue,
            priority=priority,
            delay=delay,
            run_at=run_at,
            max_attempts=max_attempts,
            backoff=backoff,
            timeout=timeout,
            idempotency_key=idempotency_key,
            tags=tags,
        )
        return await self._send(_calls.submit(submission, seconds(wait)))

    async def submit_many(self, submissions: Iterable[Submission]) -> list[Job]:
        """Submits several jobs at once, and returns them in their order. All are accepted, or none."""
        return await self._send(_calls.submit_many(submissions))

    async def get(self, job_id: str) -> Job:
        """Reads a job."""
        return await self._send(_calls.get(job_id, 0.0))

    async def wait(self, job_id: str, timeout: Optional[Duration] = None) -> Job:
        """Returns a job, with its result, once it has ended. Raises `WaitTimeout` if it does not in time."""
        wait = Wait(None if timeout is None else seconds(timeout))
        while True:
            job = await self._send(_calls.get(job_id, wait.next_wait()))
            if job.is_final:
                return job
            if wait.is_over():
                raise WaitTimeout(job)
            await asyncio.sleep(wait.pause())

    async def cancel(self, job_id: str) -> Status:
        """Cancels a job. One that is running is asked to end, and its state is still `running`."""
        return await self._send(_calls.cancel(job_id))

    def subscribe(
        self,
        *,
        after: Optional[str] = None,
        queue: Values = None,
        kind: Values = None,
        job: Values = None,
        tag: Values = None,
        type: Values = None,
        by: Values = None,
    ) -> AsyncSubscription:
        """Returns an asynchronous iterator over the events after the cursor `after`, or from now on. It reconnects by
        itself."""
        conditions = {"queue": queue, "kind": kind, "job": job, "tag": tag, "type": type, "by": by}
        log = EventLog(after, conditions)
        return AsyncSubscription(log, self._address, self._token, self._timeout, self._tls)

    async def close(self) -> None:
        """Closes the connections of this client."""
        await self._pool.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _send(self, call: Call[T]) -> T:
        retries = Retries(self._retry_for)
        while True:
            try:
                return call.read(await self._pool.send(call.request))
            except (ApiError, ConnectionFailed) as error:
                await asyncio.sleep(retries.delay_after(error))


class AsyncSubscription(AsyncIterator[Item]):
    """An endless asynchronous iterator over `Event` and `Gap`. Only one task may use it."""

    def __init__(
        self,
        log: EventLog,
        address: Address,
        token: Optional[str],
        timeout: float,
        tls: Optional[ssl.SSLContext],
    ) -> None:
        self._log = log
        self._address = address
        self._token = token
        self._timeout = timeout
        self._tls = tls
        self._backoff = ReconnectBackoff(0.1, 10.0)
        self._socket: Optional[AsyncSocket] = None
        # Done when a message has arrived or the connection has ended.
        self._news: Optional[asyncio.Future[None]] = None
        # What was wrong with a message; raised where the items are read.
        self._error: Optional[Exception] = None

    @property
    def cursor(self) -> Optional[str]:
        """Where another subscription continues after the items of this one. If several events came in one message of
        the server, it moves with the last of them."""
        return self._log.cursor

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
        handshake = Handshake(self._address, self._log.path(), SUBPROTOCOL, self._token)
        self._log.restart()
        self._error = None
        socket = await AsyncSocket.connect(
            self._address, handshake, self._on_text, self._timeout, self._tls, MAX_MESSAGE
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

    def _delay_after(self, error: Exception) -> float:
        if self._log.reconnect_within is not None:
            return random.uniform(0.0, self._log.reconnect_within)
        retry_after = error.retry_after if isinstance(error, ApiError) else None
        return max(self._backoff.next_delay(), retry_after or 0.0)
