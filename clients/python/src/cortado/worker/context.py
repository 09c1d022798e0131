"""What a handler gets: its job, and the ways to report and to be stopped."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Callable, Optional

from .._json import parse_time
from ..outcomes import Cancelled
from . import messages

#: The lines of one attempt that wait to be sent. Older ones are dropped, as the server does, too.
MAX_LINES = 1_000

# Guards the notes of all attempts: it is held for moments only, and one lock for each attempt would cost more.
_notes_lock = threading.Lock()

#: Why a handler should stop.
CANCEL, LOST, STOPPING = "cancel", "lost", "stopping"


@dataclass(frozen=True)
class WorkerJob:
    """A job as its worker gets it."""

    id: str
    kind: str
    queue: str
    payload: Any
    attempt: int
    max_attempts: int
    #: The job's own timeout; if it is None, `engine.timeout` of the server bounds the attempt.
    timeout_ms: Optional[int]
    priority: int
    tags: tuple[str, ...]
    enqueued_at: Optional[datetime]
    #: All members as the server sent them.
    raw: dict[str, Any] = field(repr=False, compare=False)


class Context:
    """One attempt of a job. The methods may be called from any thread."""

    # A worker makes thousands of these in a second.
    __slots__ = (
        "lease",
        "task",
        "has_begun",
        "stop_reason",
        "_lines",
        "_dropped",
        "_progress",
        "_raw",
        "_on_note",
    )

    def __init__(self, lease: str, raw: dict[str, Any], on_note: Callable[[Context], None]) -> None:
        self.lease = lease
        #: The task of an asynchronous handler.
        self.task: Optional[asyncio.Task[None]] = None
        #: Whether the handler was called.
        self.has_begun = False
        #: Why the handler should stop, or None.
        self.stop_reason: Optional[str] = None
        self._lines: list[bytes] = []
        self._dropped = 0
        self._progress: Optional[bytes] = None
        self._raw = raw
        self._on_note = on_note

    @property
    def job(self) -> WorkerJob:
        """The job."""
        raw = self._raw
        enqueued_at = raw.get("enqueued_at")
        return WorkerJob(
            raw["id"],
            raw["kind"],
            raw["queue"],
            raw["payload"],
            raw["attempt"],
            raw["max_attempts"],
            raw.get("timeout_ms"),
            raw.get("priority", 0),
            tuple(raw.get("tags", ())),
            None if enqueued_at is None else parse_time(enqueued_at),
            raw,
        )

    @property
    def job_id(self) -> str:
        """The id of the job."""
        return str(self._raw["id"])

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        return int(self._raw["attempt"])

    @property
    def payload(self) -> Any:
        """The payload of the job."""
        return self._raw["payload"]

    @property
    def kind(self) -> str:
        """The kind of the job."""
        return str(self._raw["kind"])

    @property
    def cancelled(self) -> bool:
        """Whether the handler should stop: its job is being cancelled, the worker has lost its lease (the job timed
        out, for example), or the worker is stopping and cannot wait any longer."""
        return self.stop_reason is not None

    def check_cancelled(self) -> None:
        """Raises `Cancelled` if the handler should stop. Call it often in a handler that is not asynchronous; an
        asynchronous one is cancelled by asyncio."""
        if self.stop_reason is not None:
            raise Cancelled(f"the attempt ends early: {self.stop_reason}")

    def log(self, text: str, stream: str = "log") -> None:
        """Adds lines to the log of the job. `stream` is `log`, `stdout` or `stderr`."""
        at = time.time()
        lines = [messages.line(line, stream, at) for line in text.splitlines() or [""]]
        with _notes_lock:
            self._lines += lines
            surplus = len(self._lines) - MAX_LINES
            if surplus > 0:
                del self._lines[:surplus]
                self._dropped += surplus
        self._on_note(self)

    def progress(self, done: int, total: Optional[int] = None, message: Optional[str] = None) -> None:
        """Tells how far the attempt is. Calls in quick succession are sent as one."""
        progress = messages.progress(done, total, message)
        with _notes_lock:
            self._progress = progress
        self._on_note(self)

    @property
    def pending_lines(self) -> int:
        """The number of lines that were not sent yet."""
        return len(self._lines)

    def take_notes(self) -> tuple[list[bytes], Optional[bytes]]:
        """Takes the lines and the progress that are to be sent."""
        with _notes_lock:
            lines, progress, dropped = self._lines, self._progress, self._dropped
            self._lines, self._progress, self._dropped = [], None, 0
        if dropped:
            lines.insert(0, messages.line(f"… {dropped} lines were dropped here", "log", time.time()))
        return lines, progress

    def put_back(self, lines: list[bytes], progress: Optional[bytes]) -> None:
        """Keeps what could not be sent. Newer progress replaces it."""
        with _notes_lock:
            self._lines[:0] = lines
            self._progress = self._progress or progress
