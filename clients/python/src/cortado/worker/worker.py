"""The worker as a program uses it."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import signal
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Callable, Optional, TypeVar, Union

from .._address import Address
from .._http.message import VERSION
from .._json import Duration, milliseconds, seconds
from .._timeout import run_within
from .attempts import Attempts, Handler, HandlerFunction
from .http_link import HttpLink
from .link import Parts, Settings
from .outbox import Outbox
from .socket_link import SocketLink
from .threads import Threads

log = logging.getLogger("cortado.worker")

F = TypeVar("F", bound=HandlerFunction)

#: How long the last reports and the sign-off may take, in seconds.
SIGN_OFF_TIME = 3.0
MAX_CONCURRENCY = 10_000


class Worker:
    """Claims jobs of the kinds that have a handler, and runs up to `concurrency` of them at the same time.

    A handler takes the payload and a `Context`, and returns the result of the job. An asynchronous one runs in the
    event loop, and any other one in a thread. An exception means that the attempt has failed; `Retry`, `Snooze` and
    `Discard` say what happens next.

    The worker extends its leases while jobs run; if it vanishes, they run again after `lease` (1 second to 1 hour). A
    graceful stop waits for running handlers for `grace`.
    """

    def __init__(
        self,
        url: str,
        token: Optional[str] = None,
        *,
        name: Optional[str] = None,
        queues: Sequence[str] = ("default",),
        concurrency: int = 10,
        transport: str = "websocket",
        lease: Duration = 30.0,
        grace: Duration = 25.0,
        tls: Optional[ssl.SSLContext] = None,
    ) -> None:
        if not 1 <= concurrency <= MAX_CONCURRENCY:
            raise ValueError(f"concurrency must be from 1 to {MAX_CONCURRENCY}")
        if transport not in ("websocket", "http"):
            raise ValueError('transport must be "websocket" or "http"')
        if isinstance(queues, str) or not queues:
            raise ValueError("queues must be a list of names")
        #: The name under which the server knows this worker.
        self.name = name or _default_name()
        self._address = Address.parse(url)
        self._token = token
        self._queues = tuple(queues)
        self._concurrency = concurrency
        self._transport = transport
        self._lease_ms = milliseconds(lease)
        self._grace = seconds(grace)
        self._tls = tls
        self._handlers: dict[str, Handler] = {}
        self._lock = threading.Lock()
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        # How often a stop was asked for; the second time, it does not wait for handlers.
        self._stops = 0
        self._stop_asked: Optional[asyncio.Event] = None
        self._hurry: Optional[asyncio.Event] = None

    def handler(self, kind: str) -> Callable[[F], F]:
        """Returns a decorator that makes a function the handler of a kind."""

        def register(function: F) -> F:
            self.add(kind, function)
            return function

        return register

    def add(self, kind: str, function: HandlerFunction) -> None:
        """Makes a function the handler of a kind."""
        if kind in self._handlers:
            raise ValueError(f"the kind {kind} already has a handler")
        if self._loop is not None:
            raise RuntimeError("add handlers before the worker runs")
        self._handlers[kind] = Handler.of(function)

    def run(self) -> None:
        """Runs the worker until it is told to stop: by SIGTERM or SIGINT, by `stop`, or from the server. A second
        signal does not wait for running handlers."""
        asyncio.run(self._run_with_signals())

    async def serve(self) -> None:
        """Runs the worker in an event loop that belongs to somebody else, until `stop` is called."""
        if not self._handlers:
            raise ValueError("the worker has no handlers")
        self._begin()
        threads, outbox = Threads(self._concurrency), Outbox()
        attempts = Attempts(self._handlers, outbox, threads, self._concurrency)
        parts = Parts(self._settings(), attempts, outbox, self._on_command)
        link = SocketLink(parts) if self._transport == "websocket" else HttpLink(parts)
        attempts.link = link
        loop = asyncio.get_running_loop()
        running = loop.create_task(link.run())
        stopping = loop.create_task(self._stop(link, attempts))
        try:
            await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
            await stopping
        finally:
            attempts.abort()
            for task in (running, stopping):
                task.cancel()
            await asyncio.gather(running, stopping, return_exceptions=True)
            link.close()
            threads.close()
            with self._lock:
                self._loop = None

    def stop(self) -> None:
        """Begins a graceful stop: claims nothing more, waits for running handlers, and gives back what is not done in
        time. A second call does not wait. May be called from any thread."""
        with self._lock:
            self._stops += 1
            loop, stops = self._loop, self._stops
        if loop is not None:
            try:
                loop.call_soon_threadsafe(self._set_stop_events, stops)
            except RuntimeError:
                pass  # the loop has ended, and the worker with it

    def _begin(self) -> None:
        self._stop_asked, self._hurry = asyncio.Event(), asyncio.Event()
        with self._lock:
            if self._loop is not None:
                raise RuntimeError("the worker is already running")
            self._loop = asyncio.get_running_loop()
            stops = self._stops
        self._set_stop_events(stops)

    def _set_stop_events(self, stops: int) -> None:
        if self._stop_asked is not None and stops > 0:
            self._stop_asked.set()
        if self._hurry is not None and stops > 1:
            self._hurry.set()

    async def _stop(self, link: Union[SocketLink, HttpLink], attempts: Attempts) -> None:
        assert self._stop_asked is not None and self._hurry is not None
        await self._stop_asked.wait()
        log.info("stopping: %d jobs are running", len(attempts.running))
        attempts.is_stopping = True
        link.stop_claiming()
        await attempts.drain(self._grace, self._hurry)
        try:
            await run_within(SIGN_OFF_TIME, link.sign_off())
        except asyncio.TimeoutError:
            log.warning("could not sign off in time: jobs that were not reported run again when their leases expire")

    def _on_command(self, command: str) -> None:
        log.info("the server sent the command %s", command)
        if command == "stop" and self._stops == 0:
            self.stop()

    def _settings(self) -> Settings:
        about: dict[str, Any] = {
            "host": socket.gethostname()[:200],
            "pid": os.getpid(),
            "client": "cortado-python",
            "version": VERSION,
            "concurrency": self._concurrency,
            # tells this process from others with the same name and number, as in containers
            "instance": secrets.token_hex(8),
        }
        kinds = tuple(self._handlers)
        connection = (self._address, self._token, self._tls, self.name)
        return Settings(*connection, self._queues, kinds, self._lease_ms, about)

    async def _run_with_signals(self) -> None:
        with _signals_call(self.stop):
            await self.serve()


@contextmanager
def _signals_call(stop: Callable[[], None]) -> Iterator[None]:
    """Calls `stop` at SIGTERM and SIGINT. Only the main thread can: elsewhere, nothing changes."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    try:
        for number in signals:
            loop.add_signal_handler(number, stop)
    except NotImplementedError:  # on Windows
        previous = [signal.signal(number, lambda *_: stop()) for number in signals]
        try:
            yield
        finally:
            for number, handler in zip(signals, previous):
                signal.signal(number, handler)
        return
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def _default_name() -> str:
    """Returns a name that no other worker has. In containers, host and process can be the same in many of them."""
    host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:60] or "worker"
    return f"{host}:{os.getpid()}:{secrets.token_hex(3)}"
