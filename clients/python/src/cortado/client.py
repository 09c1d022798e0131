"""The client for programs that use threads."""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Optional, TypeVar

from . import _calls
from ._address import Address
from ._backoff import Backoff as ReconnectBackoff
from ._calls import Call, Retries, Wait
from ._http.pool import Pool
from ._json import Duration, seconds
from ._websocket.blocking import BlockingSocket
from ._websocket.handshake import Handshake
from .errors import ApiError, ConnectionFailed, WaitTimeout
from .events import MAX_MESSAGE, SUBPROTOCOL, EventLog, Item, Values, is_final
from .jobs import Backoff, Job, Status, Submission

T = TypeVar("T")


class Client:
    """Submits, reads, awaits and cancels jobs. All methods may be called from any thread.

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
        self._pool = Pool(self._address, token, timeout, tls)

    def submit(
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
        return self._send(_calls.submit(submission, seconds(wait)))

    def submit_many(self, submissions: Iterable[Submission]) -> list[Job]:
        """Submits several jobs at once, and returns them in their order. All are accepted, or none."""
        return self._send(_calls.submit_many(submissions))

    def get(self, job_id: str) -> Job:
        """Reads a job."""
        return self._send(_calls.get(job_id, 0.0))

    def wait(self, job_id: str, timeout: Optional[Duration] = None) -> Job:
        """Returns a job, with its result, once it has ended. Raises `WaitTimeout` if it does not in time."""
        wait = Wait(None if timeout is None else seconds(timeout))
        while True:
            job = self._send(_calls.get(job_id, wait.next_wait()))
            if job.is_final:
                return job
            if wait.is_over():
                raise WaitTimeout(job)
            time.sleep(wait.pause())

    def cancel(self, job_id: str) -> Status:
        """Cancels a job. One that is running is asked to end, and its state is still `running`."""
        return self._send(_calls.cancel(job_id))

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
    ) -> Subscription:
        """Returns an iterator over the events after the cursor `after`, or from now on. It reconnects by itself."""
        conditions = {"queue": queue, "kind": kind, "job": job, "tag": tag, "type": type, "by": by}
        log = EventLog(after, conditions)
        return Subscription(log, self._address, self._token, self._timeout, self._tls)

    def close(self) -> None:
        """Closes the connections of this client."""
        self._pool.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, call: Call[T]) -> T:
        retries = Retries(self._retry_for)
        while True:
            try:
                return call.read(self._pool.send(call.request))
            except (ApiError, ConnectionFailed) as error:
                time.sleep(retries.delay_after(error))


class Subscription(Iterator[Item]):
    """An endless iterator over `Event` and `Gap`. Only one thread may use it."""

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
        self._socket: Optional[BlockingSocket] = None

    @property
    def cursor(self) -> Optional[str]:
        """Where another subscription continues after the items of this one. If several events came in one message of
        the server, it moves with the last of them."""
        return self._log.cursor

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
        handshake = Handshake(self._address, self._log.path(), SUBPROTOCOL, self._token)
        self._log.restart()
        return BlockingSocket(self._address, handshake, self._timeout, self._tls, MAX_MESSAGE)

    def _delay_after(self, error: Exception) -> float:
        if self._log.reconnect_within is not None:
            return random.uniform(0.0, self._log.reconnect_within)
        retry_after = error.retry_after if isinstance(error, ApiError) else None
        return max(self._backoff.next_delay(), retry_after or 0.0)
