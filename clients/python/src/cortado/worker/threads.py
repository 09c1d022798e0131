"""The threads that run handlers which are not asynchronous."""

from __future__ import annotations

import threading
from collections import deque
from typing import Callable


class Threads:
    """A pool of threads. Unlike those of `concurrent.futures`, they are daemons: a handler that does not end does not
    keep the program from ending. It wakes one thread at a time, which wakes the next one before it begins its call, so
    that many short calls are made by few threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._calls: deque[Callable[[], None]] = deque()
        # Locks on which idle threads wait; the thread that became idle last is woken first.
        self._idle: list[threading.Lock] = []
        self._count = 0
        # Whether a thread was woken or started, and has not taken a call yet.
        self._is_waking = False
        self._is_closed = False

    def submit(self, call: Callable[[], None]) -> None:
        """Makes the call in a thread, as soon as one is free. The call must not raise."""
        self._calls.append(call)
        self._wake()

    def close(self) -> None:
        """Drops the calls that have not begun, and ends the threads when they are idle."""
        with self._lock:
            self._is_closed = True
            self._calls.clear()
            idle, self._idle = self._idle, []
        for bell in idle:
            bell.release()

    def _wake(self) -> None:
        with self._lock:
            if self._is_waking or self._is_closed or not self._calls:
                return
            bell = self._idle.pop() if self._idle else None
            if bell is None:
                if self._count == self._limit:
                    return
                self._count += 1
            self._is_waking = True
        if bell is not None:
            bell.release()
            return
        try:
            threading.Thread(target=self._work, name="cortado-worker", daemon=True).start()
        except RuntimeError:  # the system has no more threads: those that there are do the work
            with self._lock:
                self._count -= 1
                self._is_waking = False
                if self._count == 0:
                    raise

    def _work(self) -> None:
        bell = threading.Lock()
        bell.acquire()
        while True:
            with self._lock:
                self._is_waking = False
            while True:
                try:
                    call = self._calls.popleft()
                except IndexError:
                    break
                self._wake()
                call()
                del call  # what it refers to must not live until the next call
            with self._lock:
                if self._calls:
                    continue
                if self._is_closed:
                    return
                self._idle.append(bell)
            bell.acquire()
