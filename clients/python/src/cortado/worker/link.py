"""What both transports share: the settings of the connection, and what the answers of the server mean."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any, Callable, Optional
from urllib.parse import quote

from .._address import Address
from ..errors import ApiError
from .attempts import Attempts
from .outbox import Outbox

#: Notes are sent together, this many seconds after the first of them.
NOTE_DELAY = 0.2


@dataclass(frozen=True)
class Settings:
    """What does not change while a worker runs."""

    address: Address
    token: Optional[str]
    tls: Optional[ssl.SSLContext]
    name: str
    queues: tuple[str, ...]
    kinds: tuple[str, ...]
    lease_ms: int
    about: dict[str, Any]

    def path(self, rest: str) -> str:
        """Returns a path below that of the worker."""
        return f"/api/v1/workers/{quote(self.name, safe='')}{rest}"


@dataclass(frozen=True)
class Parts:
    """What a transport works with."""

    settings: Settings
    attempts: Attempts
    outbox: Outbox
    #: Called with `quiet`, `stop` and `resume`.
    on_command: Callable[[str], None]


def apply(parts: Parts, answer: dict[str, Any], number: int) -> None:
    """Handles the answer to a report."""
    parts.outbox.confirm(number, answer.get("settle") or [])
    for member in ("extend", "note"):
        for item in answer.get(member) or ():
            if item["status"] != "kept":
                parts.attempts.answer(item["lease"], item["status"])


def is_permanent(error: Exception) -> bool:
    """Whether the server would refuse the same again, as when the token is wrong."""
    return isinstance(error, ApiError) and not error.is_temporary and error.status < 500
