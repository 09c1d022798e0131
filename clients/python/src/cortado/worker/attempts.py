"""The attempts that run in this worker: their handlers are started, told to stop, and turned into settles."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Callable, Optional, Protocol

from ..outcomes import Cancelled, Discard, Retry, Snooze
from . import messages
from .context import CANCEL, LOST, STOPPING, Context
from .outbox import Outbox
from .threads import Threads

log = logging.getLogger("cortado.worker")

#: How many seconds handlers may take to end when the time for a graceful stop is over.
LAST_MOMENT = 1.0

HandlerFunction = Callable[[Any, Context], Any]


@dataclass(frozen=True)
class Handler:
    """The function for one kind of jobs."""

    function: HandlerFunction
    is_async: bool

    @classmethod
    def of(cls, function: HandlerFunction) -> Handler:
        """Finds out whether a function, or an object that can be called, is asynchronous."""
        call = getattr(type(function), "__call__", None)  # noqa: B004
        return cls(function, inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call))


class Link(Protocol):
    """The connection to the server, as the attempts see it. All methods are called in the event loop."""

    def finished(self) -> None:
        """An attempt has ended: its slot is free, and its settle is in the outbox unless its lease was lost."""

    def noted(self) -> None:
        """An attempt has lines or progress to send, soon."""


class Attempts:
    """Runs attempts. It belongs to one event loop; threads only run handlers."""

    def __init__(self, handlers: dict[str, Handler], outbox: Outbox, threads: Threads, concurrency: int) -> None:
        #: By lease.
        self.running: dict[str, Context] = {}
        self.link: Optional[Link] = None
        #: Whether new jobs are given back.
        self.is_stopping = False
        self._handlers = handlers
        self._outbox = outbox
        self._threads = threads
        self._concurrency = concurrency
        self._loop = asyncio.get_running_loop()
        self._idle = asyncio.Event()
        # What threads have finished, and whether the loop was told to look.
        self._finished: deque[tuple[Context, Optional[bytes]]] = deque()
        self._is_collecting = False
        self._is_noting = False

    @property
    def free_slots(self) -> int:
        """How many more jobs may run at the same time."""
        return max(0, self._concurrency - len(self.running))

    def start(self, leases: list[dict[str, Any]]) -> None:
        """Starts the handlers of the jobs that the server has sent."""
        for entry in leases:
            lease, job = entry["lease"], entry["job"]
            handler = self._handlers.get(job["kind"])
            if lease in self.running:
                continue
            if handler is None or self.is_stopping:
                self._outbox.settle(lease, messages.returned(lease))
                if self.link is not None:
                    self.link.finished()
                continue
            context = Context(lease, job, self._on_note)
            self.running[lease] = context
            if handler.is_async:
                task = _start(self._run_async(handler.function, context), self._loop)
                context.task = task
            else:
                self._threads.submit(_Call(self, handler.function, context))

    def answer(self, lease: str, status: str) -> None:
        """Handles what the server says about a lease: `kept`, `cancel` or `lost`. Leases of attempts that have ended
        are ignored."""
        context = self.running.get(lease)
        if context is not None and status in (CANCEL, LOST):
            self._stop(context, status)

    async def drain(self, grace: float, hurry: asyncio.Event) -> None:
        """Starts nothing more, and waits until all handlers have ended: for `grace` seconds, or until `hurry` is set.
        After that they are told to stop, and the jobs of those that do not are given back."""
        self.is_stopping = True
        if await self._all_end(grace, hurry):
            return
        log.warning("%d jobs are still running, and are given back", len(self.running))
        for context in list(self.running.values()):
            self._stop(context, STOPPING)
        if not await self._all_end(LAST_MOMENT):
            for context in list(self.running.values()):
                self._finish(context, messages.returned(context.lease))

    def abort(self) -> None:
        """Stops all handlers, and reports nothing."""
        self.is_stopping = True
        for context in list(self.running.values()):
            self._stop(context, LOST)

    async def _all_end(self, seconds: float, hurry: Optional[asyncio.Event] = None) -> bool:
        self._idle.clear()
        if not self.running:
            return True
        waits = [self._loop.create_task(event.wait()) for event in (self._idle, hurry) if event is not None]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return not self.running

    def _stop(self, context: Context, reason: str) -> None:
        if context.stop_reason == LOST or context.stop_reason == reason:
            return
        is_first = context.stop_reason is None
        context.stop_reason = reason
        if context.task is not None and not context.has_begun:
            # A task that is cancelled before its first step never runs.
            context.task.cancel()
            self._finish(context, _early_end(context))
        elif context.task is not None and is_first:
            context.task.cancel()

    async def _run_async(self, function: HandlerFunction, context: Context) -> None:
        context.has_begun = True
        try:
            result = await function(context.payload, context)
        except BaseException as error:  # also `CancelledError` and `SystemExit`, of which the server must hear
            settle = _settle_of(context, error)
            self._finish(context, settle)
            if isinstance(error, KeyboardInterrupt):
                raise  # it is meant for the program, and came while the handler was running
            return
        self._finish(context, _settle_done(context, result))

    def _finish(self, context: Context, settle: Optional[bytes]) -> None:
        if self.running.pop(context.lease, None) is None:
            return  # it was given back already
        if settle is not None:
            self._outbox.settle(context.lease, settle)
        if not self.running:
            self._idle.set()
        if self.link is not None:
            self.link.finished()

    def _finished_in_thread(self, context: Context, settle: Optional[bytes]) -> None:
        self._finished.append((context, settle))
        if not self._is_collecting:
            self._is_collecting = True
            self._call_in_loop(self._collect)

    def _collect(self) -> None:
        self._is_collecting = False
        while self._finished:
            self._finish(*self._finished.popleft())

    def _on_note(self, context: Context) -> None:
        self._outbox.note(context)
        if not self._is_noting:
            self._is_noting = True
            self._call_in_loop(self._pass_note_on)

    def _pass_note_on(self) -> None:
        self._is_noting = False
        if self.link is not None:
            self.link.noted()

    def _call_in_loop(self, function: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            pass  # the loop is closed: the worker has given the job back and ended


class _Call:
    """The call of a handler in a thread."""

    __slots__ = ("_attempts", "_function", "_context")

    def __init__(self, attempts: Attempts, function: HandlerFunction, context: Context) -> None:
        self._attempts = attempts
        self._function = function
        self._context = context

    def __call__(self) -> None:
        context = self._context
        settle: Optional[bytes]
        try:
            context.check_cancelled()
            result = self._function(context.payload, context)
        except BaseException as error:  # a thread that ended would be missing in the pool
            settle = _settle_of(context, error)
        else:
            settle = _settle_done(context, result)
        self._attempts._finished_in_thread(context, settle)


if sys.version_info >= (3, 12):

    def _start(coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
        # Runs up to the first real wait at once: a handler that does not wait never visits the event loop.
        return asyncio.Task(coroutine, loop=loop, eager_start=True)

else:

    def _start(coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
        return loop.create_task(coroutine)


def _settle_done(context: Context, result: Any) -> Optional[bytes]:
    if context.stop_reason == LOST:
        return None
    try:
        return messages.done(context.lease, result)
    except Exception as error:
        return messages.retry(context.lease, f"the result of the handler is not JSON: {error}")


def _settle_of(context: Context, error: BaseException) -> Optional[bytes]:
    """Returns how an attempt ended whose handler has raised, or None if nobody wants to know."""
    if context.stop_reason == LOST:
        return None
    if context.stop_reason is not None and isinstance(error, (asyncio.CancelledError, Cancelled)):
        return _early_end(context)
    lease = context.lease
    try:
        if isinstance(error, Retry):
            return messages.retry(lease, error.error, error.after)
        if isinstance(error, Snooze):
            return messages.snooze(lease, error.delay)
        if isinstance(error, Discard):
            return messages.discard(lease, error.error)
        return messages.retry(lease, error)
    except Exception as wrong:  # a delay that is no number, for example
        return messages.retry(lease, wrong)


def _early_end(context: Context) -> Optional[bytes]:
    if context.stop_reason == LOST:
        return None
    if context.stop_reason == STOPPING:
        return messages.returned(context.lease)
    return messages.cancelled(context.lease)
