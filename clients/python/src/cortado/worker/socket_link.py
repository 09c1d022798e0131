"""The transport over WebSocket: jobs are pushed, as many as this side has given credit for."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from typing import Any, Optional

from .._websocket.frames import TOO_BIG
from .._websocket.handshake import Handshake
from .._websocket.protocol import AsyncSocket
from ..errors import ApiError, ConnectionFailed, WorkerReplaced
from . import messages
from .link import NOTE_DELAY, Delays, Parts, apply, is_permanent

log = logging.getLogger("cortado.worker")

SUBPROTOCOL = "cortado.worker.v1+json"
#: How long the server may take to accept a connection, and to greet.
CONNECT_TIME = 10.0
#: The largest message of the server: many jobs with large payloads.
MAX_MESSAGE = 256 * 1024 * 1024
#: Reports that may wait for their answers at once. Beyond that, what ends meanwhile is collected for the next one.
MAX_IN_FLIGHT = 4
#: How long the server may take to answer a report before the connection counts as broken.
ANSWER_TIME = 30.0
#: The codes of errors that mean that something in the message itself is wrong. After any other one, such as
#: `store_unavailable`, the same message may succeed on the next connection.
REFUSED_CONTENT = frozenset(
    (
        "body_too_large",
        "invalid_fields",
        "json_too_deep",
        "json_too_many_values",
        "malformed_message",
        "payload_too_large",
    )
)
#: The close code when another worker takes over the name.
REPLACED = 4409


class SocketLink:
    """Keeps one WebSocket open, and opens another one when it is lost."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._loop = asyncio.get_running_loop()
        self._delays = Delays("connect", 10.0)
        self._socket: Optional[AsyncSocket] = None
        # What the server refused before it greeted.
        self._refusal: Optional[ApiError] = None
        # Done when the server has greeted on the current connection.
        self._greeted: Optional[asyncio.Future[None]] = None
        self._was_greeted = False
        self._has_left = False
        self._heartbeat = parts.settings.lease_ms / 3000
        self._retry_within: Optional[float] = None
        # Slots that have become free since the last update; the server has given up their credit.
        self._freed = 0
        self._is_flushing = False
        self._are_notes_due = False
        self._note_timer: Optional[asyncio.TimerHandle] = None
        # Done when the server has confirmed everything, and when it has confirmed the end.
        self._flushed: Optional[asyncio.Future[None]] = None
        self._signed_off: asyncio.Future[None] = self._loop.create_future()

    async def run(self) -> None:
        """Connects again and again, until the worker has signed off. Raises `ApiError` if the server refuses the first
        connection, and `WorkerReplaced`."""
        while True:
            why = await self._serve_connection()
            if self._has_left:
                return
            if is_permanent(why) and not self._was_greeted:
                raise why
            if isinstance(why, ConnectionFailed) and why.close_code == REPLACED:
                raise WorkerReplaced(f"another worker has connected as {self._parts.settings.name}") from why
            await asyncio.sleep(self._next_delay(why))

    def finished(self) -> None:
        self._freed += 1
        self._flush_soon()

    def noted(self) -> None:
        if self._note_timer is None:
            self._note_timer = self._loop.call_later(NOTE_DELAY, self._notes_are_due)

    def stop_claiming(self) -> None:
        """Takes back the credit."""
        if self._is_greeted:
            self._send_credit()

    async def sign_off(self) -> None:
        """Waits until everything is confirmed, and signs off."""
        if not self._parts.outbox.is_empty:
            self._are_notes_due = True
            self._flushed = self._loop.create_future()
            self._flush_soon()
            await self._flushed
        socket = self._socket
        if socket is not None and self._is_greeted:
            socket.send(messages.BYE)
            self._has_left = True
            await _any_of(self._signed_off, socket.closed)
            socket.close()

    def close(self) -> None:
        """Ends the connection, and all timers."""
        if self._note_timer is not None:
            self._note_timer.cancel()
        if self._socket is not None:
            self._socket.close()

    @property
    def _is_greeted(self) -> bool:
        return self._greeted is not None and self._greeted.done()

    async def _serve_connection(self) -> Exception:
        """Opens one connection and uses it while it lasts. Returns why it ended."""
        settings, outbox = self._parts.settings, self._parts.outbox
        self._retry_within = None
        handshake = Handshake(settings.address, settings.path("/ws"), SUBPROTOCOL, settings.token)
        try:
            socket = await AsyncSocket.connect(
                settings.address, handshake, self._on_text, CONNECT_TIME, settings.tls, MAX_MESSAGE
            )
        except (ApiError, ConnectionFailed) as error:
            return error
        self._socket = socket
        self._refusal = None
        try:
            await self._use(socket)
        finally:
            self._socket, self._greeted = None, None
            socket.close()
        why = await socket.closed
        if why.close_code == TOO_BIG:
            outbox.replace_large("the message was too big")
        outbox.take_back_all()
        return self._refusal or why

    async def _use(self, socket: AsyncSocket) -> None:
        settings, attempts = self._parts.settings, self._parts.attempts
        greeted = self._greeted = self._loop.create_future()
        socket.on_room = self._flush_soon
        held = [*attempts.running, *self._parts.outbox.unconfirmed]
        free = 0 if attempts.is_stopping else attempts.free_slots
        lists = (list(settings.queues), list(settings.kinds))
        socket.send(messages.ready(free, *lists, settings.lease_ms, settings.about, held))
        self._freed = 0
        await _any_of(greeted, socket.closed, timeout=CONNECT_TIME)
        if not greeted.done():
            socket.abort()  # it does not speak
        while not socket.closed.done():
            await asyncio.wait({socket.closed}, timeout=self._heartbeat)
            if not socket.closed.done():
                self._beat(socket)

    def _beat(self, socket: AsyncSocket) -> None:
        silence = self._loop.time() - socket.last_received
        if silence > 2.5 * self._heartbeat:
            log.warning("the server has been silent for %.1f s", silence)
            socket.abort()
            return
        oldest = self._parts.outbox.oldest_sent_at
        if oldest is not None and self._loop.time() - oldest > ANSWER_TIME:
            log.warning("the server does not answer reports")
            socket.abort()
            return
        leases = list(self._parts.attempts.running)
        if not leases:
            socket.send(messages.PING)
        while leases:
            self._send_report(socket, leases)

    def _on_text(self, text: bytes) -> None:
        try:
            message = json.loads(text.decode())
            self._on_message(message)
        except UnicodeDecodeError:
            raise  # the connection is closed with the code for it
        except Exception:
            log.exception("a message of the server could not be handled")
            if self._socket is not None:
                self._socket.abort()

    def _on_message(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "jobs":
            self._parts.attempts.start(message["leases"])
        elif kind == "updated":
            self._on_updated(message)
        elif kind in ("cancel", "lost"):
            self._parts.attempts.answer(message["lease"], kind)
        elif kind == "hello":
            self._on_hello(message)
        elif kind == "command":
            self._parts.on_command(message["command"])
        elif kind == "error":
            self._on_error(message)
        elif kind == "bye":
            self._on_bye(message)

    def _on_hello(self, message: dict[str, Any]) -> None:
        self._was_greeted = True
        if self._greeted is not None and not self._greeted.done():
            self._greeted.set_result(None)
        self._delays.reset()
        lease_ms = message.get("lease_ms", self._parts.settings.lease_ms)
        self._heartbeat = min(message["heartbeat_ms"], lease_ms / 3) / 1000
        for item in message.get("held") or ():
            self._parts.attempts.answer(item["lease"], item["status"])
        if message.get("command"):
            self._parts.on_command(message["command"])
        if self._parts.attempts.is_stopping:
            self._send_credit()  # the stop may have begun since the message `ready`
        self._flush_soon()

    def _on_updated(self, message: dict[str, Any]) -> None:
        apply(self._parts, message, message["id"])
        self._after_answer()

    def _after_answer(self) -> None:
        outbox = self._parts.outbox
        if outbox.has_settles or self._are_notes_due:
            self._flush_soon()
        if self._flushed is not None and outbox.is_empty and not self._flushed.done():
            self._flushed.set_result(None)

    def _on_error(self, message: dict[str, Any]) -> None:
        detail = message.get("message", "")
        log.error("the server refused a message: %s: %s", message["code"], detail)
        if not self._is_greeted:
            self._refusal = ApiError(message["code"], 0, detail)
            if self._socket is not None:
                self._socket.close()
            return
        if message["code"] not in REFUSED_CONTENT:
            return  # what was not answered is sent again by the next connection
        outbox = self._parts.outbox
        if "id" in message:
            report = outbox.refuse(message["id"], detail)
            if report is not None and not self._parts.attempts.is_stopping:
                self._freed += report.free
        else:
            outbox.refuse_all(detail)
            self._send_credit()  # the refused message may have had some
        self._flush_soon()
        self._after_answer()

    def _on_bye(self, message: dict[str, Any]) -> None:
        if message.get("why") == "signed_off":
            if not self._signed_off.done():
                self._signed_off.set_result(None)
        else:
            self._retry_within = message.get("retry_ms", 0) / 1000

    def _send_credit(self) -> None:
        attempts, settings = self._parts.attempts, self._parts.settings
        self._freed = 0
        free = 0 if attempts.is_stopping else attempts.free_slots
        if self._socket is not None:
            self._socket.send(messages.ready(free, list(settings.queues), list(settings.kinds)))

    def _notes_are_due(self) -> None:
        self._note_timer = None
        self._are_notes_due = True
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._is_flushing:
            self._is_flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Sends what is ready. It runs once in a turn of the loop, so everything that has ended in this turn is in one
        message."""
        self._is_flushing = False
        socket, outbox = self._socket, self._parts.outbox
        if socket is None or not self._is_greeted:
            return
        while outbox.in_flight < MAX_IN_FLIGHT and not socket.is_full:
            is_due = outbox.has_settles or (self._are_notes_due and outbox.has_notes)
            if not is_due or not self._send_report(socket):
                break
        if self._freed and not outbox.has_settles and not self._parts.attempts.is_stopping:
            self._send_freed(socket)
        if not outbox.has_notes:
            self._are_notes_due = False

    def _send_report(self, socket: AsyncSocket, extend: Optional[list[str]] = None) -> bool:
        report = self._parts.outbox.next_report(extend)
        if report is None:
            return False
        report.free = 0 if self._parts.attempts.is_stopping else self._freed
        report.sent_at = self._loop.time()
        self._freed = 0
        socket.send(messages.update(report.number, report.members(), report.free))
        return True

    def _send_freed(self, socket: AsyncSocket) -> None:
        """Gives credit for slots whose lease was lost, so that there is nothing to settle."""
        report = self._parts.outbox.empty_report()
        report.free, report.sent_at = self._freed, self._loop.time()
        socket.send(messages.update(report.number, (), self._freed))
        self._freed = 0

    def _next_delay(self, why: Exception) -> float:
        if self._retry_within is None:
            return self._delays.after(why)
        delay = random.uniform(0.0, self._retry_within)
        log.warning("the server has closed the connection, connecting again in %.1f s: %s", delay, why)
        return delay


async def _any_of(*futures: asyncio.Future[Any], timeout: Optional[float] = None) -> None:
    await asyncio.wait(futures, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
