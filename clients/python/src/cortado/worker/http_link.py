"""The transport over HTTP: claims are long polls, and reports are requests. It works where WebSockets do not."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Optional

from .._address import Access
from .._backoff import Backoff
from .._http.async_pool import AsyncPool
from .._http.message import Request
from .._timeout import run_within
from ..errors import ApiError, ConnectionFailed
from . import messages
from .link import NOTE_DELAY, Delays, Parts, apply, is_permanent

log = logging.getLogger("cortado.worker")

#: How long a claim waits for jobs.
CLAIM_WAIT = 20.0
#: The most jobs of one claim.
MAX_CLAIM = 1_000
#: The pause after a claim that was answered early with nothing, as when the worker was quieted.
MAX_PAUSE = 5.0
#: The statuses that mean that something in the report itself is wrong, so that it must not be sent again.
REFUSED_CONTENT = (413, 422)
#: How long one request may take at least, beyond the time that it waits.
MIN_TIMEOUT = 5.0


class HttpLink:
    """Claims whenever there are free slots, and reports at once what has ended."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._loop = asyncio.get_running_loop()
        settings = parts.settings
        self._heartbeat = settings.lease_ms / 3000
        # A request that is stuck must not keep the next heartbeat from being sent.
        timeout = max(MIN_TIMEOUT, self._heartbeat)
        self._pool = AsyncPool(Access(settings.address, settings.token, settings.tls, timeout))
        self._report_delays = Delays("report", MAX_PAUSE)
        self._was_accepted = False
        self._has_slot = asyncio.Event()
        self._has_work = asyncio.Event()
        self._are_notes_due = False
        self._note_timer: Optional[asyncio.TimerHandle] = None
        self._flushed: Optional[asyncio.Future[None]] = None
        self._claims: Optional[asyncio.Task[None]] = None

    async def run(self) -> None:
        """Claims and reports, until it is cancelled. Raises `ApiError` if the server refuses the first claim."""
        self._claims = self._loop.create_task(self._claim_again_and_again())
        reports = self._loop.create_task(self._report_again_and_again())
        try:
            await asyncio.wait({self._claims, reports}, return_when=asyncio.FIRST_EXCEPTION)
            for task in (self._claims, reports):
                if task.done() and not task.cancelled():
                    task.result()
            await reports  # the claims were stopped
        finally:
            self._claims.cancel()
            reports.cancel()

    def finished(self) -> None:
        self._has_slot.set()
        self._has_work.set()

    def noted(self) -> None:
        if self._note_timer is None:
            self._note_timer = self._loop.call_later(NOTE_DELAY, self._notes_are_due)

    def stop_claiming(self) -> None:
        """Ends the claim that is waiting. Jobs that its answer would have had are given back by the sign-off."""
        if self._claims is not None:
            self._claims.cancel()

    async def sign_off(self) -> None:
        """Waits until everything is confirmed, and signs off."""
        if not self._parts.outbox.is_empty:
            self._flushed = self._loop.create_future()
            self._are_notes_due = True
            self._has_work.set()
            await self._flushed
        try:
            (await self._pool.send(Request("DELETE", self._parts.settings.path("")))).json()
        except (ApiError, ConnectionFailed) as error:
            log.warning("could not sign off: %s", error)

    def close(self) -> None:
        """Ends all timers. Connections end with the tasks that use them."""
        if self._note_timer is not None:
            self._note_timer.cancel()
        self._loop.create_task(self._pool.close())

    async def _claim_again_and_again(self) -> None:
        delays, early = Delays("claim", MAX_PAUSE), Backoff(0.1, MAX_PAUSE)
        while not self._parts.attempts.is_stopping:
            free = min(MAX_CLAIM, self._parts.attempts.free_slots)
            if free == 0:
                self._has_slot.clear()
                await self._has_slot.wait()
                continue
            asked_at = self._loop.time()
            try:
                answer = await self._claim(free)
            except (ApiError, ConnectionFailed) as error:
                if is_permanent(error) and not self._was_accepted:
                    raise
                await asyncio.sleep(delays.after(error))
                continue
            self._was_accepted = True
            delays.reset()
            if answer.get("command"):
                self._parts.on_command(answer["command"])
            self._parts.attempts.start(answer["leases"])
            await asyncio.sleep(0)  # handlers that do not wait end now, and their slots are in the next claim
            if answer["leases"] or self._loop.time() - asked_at > CLAIM_WAIT / 2:
                early.reset()
            else:
                await asyncio.sleep(early.next_delay())

    async def _claim(self, free: int) -> dict[str, Any]:
        settings = self._parts.settings
        lists = (list(settings.queues), list(settings.kinds))
        wait_ms = round(CLAIM_WAIT * 1000)
        body = messages.claim(*lists, free, settings.lease_ms, wait_ms, settings.about)
        response = await self._pool.send(Request("POST", settings.path("/claim"), body, CLAIM_WAIT))
        answer: dict[str, Any] = response.json()
        return answer

    async def _report_again_and_again(self) -> None:
        outbox, attempts = self._parts.outbox, self._parts.attempts
        next_beat = self._loop.time() + self._heartbeat
        while True:
            await self._wait_for_work(next_beat)
            leases: list[str] = []
            if self._loop.time() >= next_beat:
                leases = list(attempts.running)
                next_beat = self._loop.time() + self._heartbeat
            while leases or outbox.has_settles or (self._are_notes_due and outbox.has_notes):
                if not await self._report(leases):
                    break
            if not outbox.has_notes:
                self._are_notes_due = False
            if self._flushed is not None and outbox.is_empty and not self._flushed.done():
                self._flushed.set_result(None)

    async def _wait_for_work(self, until: float) -> None:
        try:
            await run_within(max(0.0, until - self._loop.time()), self._has_work.wait())
        except asyncio.TimeoutError:
            pass  # the heartbeat is due
        self._has_work.clear()

    async def _report(self, leases: list[str]) -> bool:
        """Sends one report, as often as it takes. Returns whether there was something to report."""
        outbox, settings = self._parts.outbox, self._parts.settings
        report = outbox.next_report(leases)
        if report is None:
            return False
        body = messages.leases(report.members(), settings.lease_ms)
        while True:
            try:
                response = await self._pool.send(Request("POST", "/api/v1/leases", body))
                apply(self._parts, response.json(), report.number)
                self._report_delays.reset()
                return True
            except (ApiError, ConnectionFailed) as error:
                if isinstance(error, ApiError) and error.status in REFUSED_CONTENT:
                    outbox.refuse(report.number, error.detail)
                    return True
                await asyncio.sleep(self._report_delays.after(error))

    def _notes_are_due(self) -> None:
        self._note_timer = None
        self._are_notes_due = True
        self._has_work.set()
