"""What both transports share: the settings of the connection, and what the answers of the server mean."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from typing import Any, Callable, Optional
from urllib.parse import quote

from .._address import Address
from .._backoff import Backoff
from ..errors import ApiError
from .attempts import Attempts
from .outbox import Outbox

log = logging.getLogger("cortado.worker")

#: The first and the longest delay while the server refuses the token, in seconds. Each try is a failed login,
#: which the server counts and logs.
REFUSED_FIRST, REFUSED_LONGEST = 10.0, 300.0
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


class Delays:
    """The delays between attempts to reach the server: short ones while it is away, long ones while it refuses the
    token, as after it was revoked."""

    def __init__(self, verb: str, longest: float) -> None:
        self._verb = verb
        self._away = Backoff(0.1, longest)
        self._refused = Backoff(REFUSED_FIRST, REFUSED_LONGEST)
        # Whether the refusal was logged.
        self._is_refused = False

    def after(self, error: Exception) -> float:
        """Returns the seconds until the next attempt, and logs why. A token that stays refused is logged once."""
        if _is_access_refused(error):
            delay = self._refused.next_delay()
            if not self._is_refused:
                text = "could not %s, because the server no longer accepts the token of this worker; "
                text += "trying again in %.1f s, and then less and less often: %s"
                log.error(text, self._verb, delay, error)
            self._is_refused = True
            return delay
        retry_after = error.retry_after if isinstance(error, ApiError) else None
        delay = max(self._away.next_delay(), retry_after or 0.0)
        log.warning("could not %s, trying again in %.1f s: %s", self._verb, delay, error)
        return delay

    def reset(self) -> None:
        """Begins again with the first delays, after a success."""
        self._away.reset()
        self._refused.reset()
        self._is_refused = False


def apply(parts: Parts, answer: dict[str, Any], number: int) -> None:
    """Handles the answer to a report."""
    parts.outbox.confirm(number, answer.get("settle") or [])
    for member in ("extend", "note"):
        for item in answer.get(member) or ():
            if item["status"] != "kept":
                parts.attempts.answer(item["lease"], item["status"])


def _is_access_refused(error: Exception) -> bool:
    """Whether the server refused who asked, and not what was asked."""
    return isinstance(error, ApiError) and (error.status in (401, 403) or error.code in ("unauthorized", "forbidden"))


def is_permanent(error: Exception) -> bool:
    """Whether the server would refuse the same again, as when the token is wrong."""
    return isinstance(error, ApiError) and not error.is_temporary and error.status < 500
