"""What a worker has to report, and what it has reported and the server has not confirmed yet."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from typing import Any, Optional

from . import messages
from .context import Context

log = logging.getLogger("cortado.worker")

#: The most items in each list of one report.
MAX_ITEMS = 1_000
#: About how many bytes of settles and notes one report has. A larger one travels alone.
MAX_BYTES = 256 * 1024
#: A settle that may be the reason when the server closes the connection because a message is too big.
LARGE = 64 * 1024


#: An attempt, and its lines and progress.
Note = tuple[Context, list[bytes], Optional[bytes]]


@dataclass
class Report:
    """One message: what it settles, notes and extends."""

    number: int
    settles: dict[str, bytes]
    notes: list[Note]
    extend: list[str]
    #: The credit that the message adds, and when it was sent over a WebSocket.
    free: int = 0
    sent_at: float = 0.0

    def members(self) -> list[bytes]:
        """Returns the members of the message."""
        notes = [messages.note(context.lease, lines, progress) for context, lines, progress in self.notes]
        return messages.lists(self.extend, notes, list(self.settles.values()))


class Outbox:
    """Keeps every settle until the server has answered it, also across connections. Sending one again is harmless: the
    server gives the same answer as the first time."""

    def __init__(self) -> None:
        self._ready: dict[str, bytes] = {}
        self._noted: dict[str, Context] = {}
        self._sent: dict[int, Report] = {}
        self._last_number = 0
        # Settles of a message that the server refused as a whole. They are sent one at a time, to find the wrong one.
        self._suspects: deque[tuple[str, bytes]] = deque()
        self._suspect_number: Optional[int] = None
        # Leases whose settle was replaced by a failure, because the server did not accept it.
        self._replaced: set[str] = set()

    @property
    def has_settles(self) -> bool:
        """Whether there is something to send at once."""
        return bool(self._ready) or self._has_suspect

    @property
    def has_notes(self) -> bool:
        """Whether there are notes to send."""
        return bool(self._noted)

    @property
    def is_empty(self) -> bool:
        """Whether the server has confirmed everything."""
        return not (self._ready or self._noted or self._sent or self._suspects)

    @property
    def in_flight(self) -> int:
        """The number of reports that were sent and not answered."""
        return len(self._sent)

    @property
    def oldest_sent_at(self) -> Optional[float]:
        """When the oldest report without an answer was sent over a WebSocket."""
        return next((report.sent_at for report in self._sent.values()), None)

    @property
    def unconfirmed(self) -> list[str]:
        """The leases whose settle the server may not have seen."""
        sent = [lease for report in self._sent.values() for lease in report.settles]
        return [*sent, *self._ready, *(lease for lease, _ in self._suspects)]

    def settle(self, lease: str, settle: bytes) -> None:
        """Adds how an attempt ended."""
        self._ready[lease] = settle

    def note(self, context: Context) -> None:
        """Remembers that an attempt has lines or progress to send. May be called from any thread."""
        self._noted[context.lease] = context

    def next_report(self, extend: Optional[list[str]] = None) -> Optional[Report]:
        """Takes the next message, or None if there is nothing to send. Leases that it extends are removed from
        `extend`."""
        if self._has_suspect:
            lease, settle = self._suspects.popleft()
            report = self._new_report({lease: settle}, [], [])
            self._suspect_number = report.number
            return report
        extended = extend[:MAX_ITEMS] if extend else []
        if extend:
            del extend[:MAX_ITEMS]
        notes, size = self._take_notes()
        settles = self._take_settles(size)
        if not (extended or notes or settles):
            return None
        return self._new_report(settles, notes, extended)

    def empty_report(self) -> Report:
        """Returns a message that reports nothing, for what else it can carry."""
        return self._new_report({}, [], [])

    def confirm(self, number: int, answers: list[dict[str, Any]]) -> None:
        """Handles the answers to the settles of a report."""
        report = self._sent.pop(number, None)
        if number == self._suspect_number:
            self._suspect_number = None
        for answer in answers:
            if answer["status"] != "settled":
                self._not_settled(answer, report)

    def refuse(self, number: int, detail: str) -> Optional[Report]:
        """Handles a report that the server refused as a whole, because of something in it. Returns it, if it was
        waiting for its answer."""
        report = self._sent.pop(number, None)
        was_suspect = number == self._suspect_number
        if was_suspect:
            self._suspect_number = None
        if report is None:
            return None
        log.error("the server refused a report: %s", detail)
        if was_suspect or (len(report.settles) == 1 and not report.notes):
            for lease, settle in report.settles.items():
                self._replace(lease, settle, detail)
        else:
            self._suspects.extend(report.settles.items())
        return report

    def refuse_all(self, detail: str) -> None:
        """Handles the refusal of a report when it is not known which one it was. The suspect is the likely one."""
        numbers = list(self._sent) if self._suspect_number is None else [self._suspect_number]
        for number in numbers:
            self.refuse(number, detail)

    def take_back(self, number: int) -> None:
        """Handles a report whose answer cannot come any more: it is sent again."""
        report = self._sent.pop(number, None)
        if number == self._suspect_number:
            self._suspect_number = None
        if report is None:
            return
        self._ready = {**report.settles, **self._ready}
        for context, lines, progress in report.notes:
            context.put_back(lines, progress)
            self._noted[context.lease] = context

    def take_back_all(self) -> None:
        """Handles a lost connection: everything without an answer is sent again, in the same order."""
        for number in sorted(self._sent, reverse=True):
            self.take_back(number)

    def replace_large(self, detail: str) -> None:
        """Handles a connection that was closed because a message was too big."""
        self.take_back_all()
        large = {lease: settle for lease, settle in self._ready.items() if len(settle) > LARGE}
        for lease, settle in large.items():
            del self._ready[lease]
            self._replace(lease, settle, detail)

    @property
    def _has_suspect(self) -> bool:
        return bool(self._suspects) and self._suspect_number is None

    def _take_notes(self) -> tuple[list[Note], int]:
        notes: list[Note] = []
        size = 0
        for lease in list(self._noted):  # a copy, because threads add others meanwhile
            if len(notes) == MAX_ITEMS or size >= MAX_BYTES:
                break
            context = self._noted.pop(lease)
            lines, progress = context.take_notes()
            if lines or progress is not None:
                notes.append((context, lines, progress))
                size += sum(map(len, lines)) + 200
        return notes, size

    def _take_settles(self, size: int) -> dict[str, bytes]:
        ready = self._ready
        total = size + sum(map(len, ready.values()))
        if len(ready) <= MAX_ITEMS and total <= MAX_BYTES and not self._noted:
            self._ready = {}
            return ready
        settles: dict[str, bytes] = {}
        for lease, settle in ready.items():
            if len(settles) == MAX_ITEMS or (size and size + len(settle) > MAX_BYTES):
                break
            if lease not in self._noted:  # the notes of an attempt come before its end
                settles[lease] = settle
                size += len(settle)
        for lease in settles:
            del ready[lease]
        return settles

    def _new_report(
        self,
        settles: dict[str, bytes],
        notes: list[Note],
        extend: list[str],
    ) -> Report:
        self._last_number += 1
        report = Report(self._last_number, settles, notes, extend)
        self._sent[report.number] = report
        return report

    def _not_settled(self, answer: dict[str, Any], report: Optional[Report]) -> None:
        lease, status = answer["lease"], answer["status"]
        if status == "invalid":
            settle = report.settles.get(lease, b"") if report is not None else b""
            self._replace(lease, settle, answer.get("detail", ""))
        else:
            log.warning("the outcome of an attempt was not stored, because its lease was lost (%s)", status)

    def _replace(self, lease: str, settle: bytes, detail: str) -> None:
        """Reports a failure in place of what the server did not accept, so that somebody can see it at the job."""
        if lease in self._replaced:
            self._replaced.discard(lease)
            log.error("an attempt cannot be settled, and ends with its lease: %s", detail)
            return
        log.error("the server refused %d bytes about the end of an attempt: %s", len(settle), detail)
        self._replaced.add(lease)
        error = f"the server did not accept how this attempt ended: {detail}"
        self._ready[lease] = messages.retry(lease, error)
