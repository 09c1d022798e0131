"""What a worker sends, as JSON. Each part is encoded once, when it is known, and joined to messages later.

The protocol is described in docs/workers.md, and `tests/vectors` has an example of every message.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import Any, Optional, Union

from .._json import Duration, encode, encode_text, milliseconds

PING = b'{"type":"ping"}'
BYE = b'{"type":"bye"}'

#: The longest error that is sent; the end of a traceback says most.
MAX_ERROR = 16 * 1024


def done(lease: str, result: Any) -> bytes:
    """The attempt has succeeded. Raises `TypeError` or `ValueError` if the result is not JSON."""
    if result is None:
        return b'{"lease":%b,"outcome":"done"}' % encode_text(lease)
    return b'{"lease":%b,"outcome":"done","result":%b}' % (encode_text(lease), encode(result))


def retry(lease: str, error: Union[str, BaseException], after: Optional[Duration] = None) -> bytes:
    """The attempt has failed."""
    text = encode_text(describe(error))
    if after is None:
        return b'{"lease":%b,"outcome":"retry","error":%b}' % (encode_text(lease), text)
    members = (encode_text(lease), text, milliseconds(after))
    return b'{"lease":%b,"outcome":"retry","error":%b,"after_ms":%d}' % members


def snooze(lease: str, delay: Duration) -> bytes:
    """The job is to be run again later."""
    return b'{"lease":%b,"outcome":"snooze","delay_ms":%d}' % (encode_text(lease), milliseconds(delay))


def discard(lease: str, error: Union[str, BaseException]) -> bytes:
    """No attempt can succeed."""
    text = encode_text(describe(error))
    return b'{"lease":%b,"outcome":"discard","error":%b}' % (encode_text(lease), text)


def cancelled(lease: str) -> bytes:
    """The handler has stopped because its job is being cancelled."""
    return b'{"lease":%b,"outcome":"cancelled"}' % encode_text(lease)


def returned(lease: str) -> bytes:
    """The worker gives the job back, because it is stopping."""
    return b'{"lease":%b,"outcome":"returned"}' % encode_text(lease)


def line(text: str, stream: str, at: Optional[float]) -> bytes:
    """One line of a log. `at` is in seconds since the epoch."""
    members = [b'"text":' + encode_text(text)]
    if stream != "log":
        members.append(b'"stream":' + encode_text(stream))
    if at is not None:
        time = datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds")
        members.append(b'"at":"%b"' % time.replace("+00:00", "Z").encode())
    return b"{%b}" % b",".join(members)


def progress(done: int, total: Optional[int], message: Optional[str]) -> bytes:
    """How far an attempt is."""
    members = [b'"done":%d' % done]
    if total is not None:
        members.append(b'"total":%d' % total)
    if message is not None:
        members.append(b'"message":' + encode_text(message))
    return b"{%b}" % b",".join(members)


def note(lease: str, lines: Sequence[bytes], progress: Optional[bytes]) -> bytes:
    """Log lines and progress of one attempt."""
    members = [b'"lease":' + encode_text(lease)]
    if lines:
        members.append(b'"lines":[%b]' % b",".join(lines))
    if progress is not None:
        members.append(b'"progress":' + progress)
    return b"{%b}" % b",".join(members)


def lists(extend: Sequence[str], notes: Sequence[bytes], settles: Sequence[bytes]) -> list[bytes]:
    """The members that an update over WebSocket and a request over HTTP have in common."""
    members = []
    if extend:
        members.append(b'"extend":[%b]' % b",".join(map(encode_text, extend)))
    if notes:
        members.append(b'"note":[%b]' % b",".join(notes))
    if settles:
        members.append(b'"settle":[%b]' % b",".join(settles))
    return members


def update(number: int, members: Iterable[bytes], free: int) -> bytes:
    """An update over WebSocket. `free` is the credit that it adds."""
    parts = [b'{"type":"update","id":%d' % number, *members]
    if free:
        parts.append(b'"free":%d' % free)
    return b",".join(parts) + b"}"


def leases(members: Iterable[bytes], lease_ms: int) -> bytes:
    """The body of `POST /api/v1/leases`."""
    return b"{%b}" % b",".join([b'"lease_ms":%d' % lease_ms, *members])


def ready(
    free: int,
    queues: Optional[Sequence[str]],
    kinds: Sequence[str],
    lease_ms: Optional[int] = None,
    about: Optional[dict[str, Any]] = None,
    held: Optional[Sequence[str]] = None,
) -> bytes:
    """What the worker can run, and how many jobs it takes now."""
    members: dict[str, Any] = {"type": "ready", "free": free, "queues": queues, "kinds": kinds}
    members.update(lease_ms=lease_ms, about=about, held=held)
    return encode({name: value for name, value in members.items() if value is not None})


def claim(
    queues: Optional[Sequence[str]],
    kinds: Sequence[str],
    max_jobs: Optional[int] = None,
    lease_ms: Optional[int] = None,
    wait_ms: Optional[int] = None,
    about: Optional[dict[str, Any]] = None,
) -> bytes:
    """The body of a claim over HTTP."""
    members: dict[str, Any] = {"queues": queues, "kinds": kinds, "max": max_jobs}
    members.update(lease_ms=lease_ms, wait_ms=wait_ms, about=about)
    return encode({name: value for name, value in members.items() if value is not None})


def describe(error: Union[str, BaseException]) -> str:
    """Returns the text of an error: the traceback of an exception, without the frames of this package."""
    if isinstance(error, str):
        text = error
    else:
        frames = error.__traceback__
        while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith(__package__):
            frames = frames.tb_next
        text = "".join(traceback.format_exception(type(error), error, frames)).rstrip()
    if not text.strip():
        return "the handler failed without a message"
    return text if len(text) <= MAX_ERROR else "… " + text[-MAX_ERROR:]
