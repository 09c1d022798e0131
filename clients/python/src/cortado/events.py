"""The event stream: its items, and what both kinds of subscriptions share."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Optional, Union
from urllib.parse import urlencode

from ._json import parse_time
from .errors import ApiError, ConnectionFailed

SUBPROTOCOL = "cortado.v1+json"
#: The largest message of the server; it sends much smaller ones.
MAX_MESSAGE = 64 * 1024 * 1024
#: The close codes after which reconnecting would have the same end.
_FINAL_CLOSE_CODES = (1002, 1003, 1007, 1008, 1009)

#: One value of a filter, or several of which any may match.
Values = Union[str, Iterable[str], None]


@dataclass(frozen=True)
class EventJob:
    """The job of an event, with its state after the event."""

    id: str
    queue: str
    kind: str
    state: str
    attempt: int
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Event:
    """One change, as the server stored it."""

    seq: int
    at: datetime
    type: str
    job: Optional[EventJob] = None
    queue: Optional[str] = None
    #: Who caused it, such as `{"user": "anna"}`.
    by: Optional[dict[str, str]] = None
    #: All members as the server sent them, also those that depend on the type.
    raw: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_json(cls, members: dict[str, Any]) -> Event:
        """Reads an event of any transport."""
        job = members.get("job")
        if job is not None:
            tags = tuple(job.get("tags", ()))
            job = EventJob(job["id"], job["queue"], job["kind"], job["state"], job["attempt"], tags)
        at = parse_time(members["at"])
        return cls(members["seq"], at, members["type"], job, members.get("queue"), members.get("by"), members)


@dataclass(frozen=True)
class Gap:
    """The log does not reach back to the cursor: events are missing. Read again what you keep; the events after
    `end` follow."""

    start: str
    end: str


Item = Union[Event, Gap]


class EventLog:
    """The items that have arrived and were not yet handed out, and the position after those that were."""

    def __init__(self, cursor: Optional[str], conditions: Mapping[str, Values]) -> None:
        #: Where to continue after the items that were handed out. If several events came in one message, it moves
        #: with the last of them.
        self.cursor = cursor
        #: The longest time between two messages of the server, in seconds.
        self.heartbeat = 10.0
        #: The longest time to wait before a reconnect, if the server said so.
        self.reconnect_within: Optional[float] = None
        self._query = _query(conditions)
        self._items: deque[tuple[Optional[Item], Optional[str]]] = deque()

    def path(self) -> str:
        """Returns the path and the query of the WebSocket that continues at the cursor."""
        query = [*self._query, ("after", self.cursor)] if self.cursor else self._query
        return "/api/v1/ws" + ("?" + urlencode(query) if query else "")

    def restart(self) -> None:
        """Forgets what was not handed out, because the next connection sends it again."""
        self._items.clear()
        self.reconnect_within = None

    def add(self, text: Union[str, bytes]) -> None:
        """Takes a message of the server. Unknown ones are ignored."""
        message = json.loads(text)
        kind = message.get("type")
        if kind == "events":
            events = message["events"]
            for at, members in enumerate(events, 1):
                cursor = message["cursor"] if at == len(events) else None
                self._items.append((Event.from_json(members), cursor))
        elif kind == "gap":
            self._items.append((Gap(message["from"], message["to"]), message["to"]))
        elif kind == "mark":
            self._items.append((None, message["cursor"]))
        elif kind == "hello":
            self.heartbeat = message["heartbeat_ms"] / 1000
            self._items.append((None, message["cursor"]))
        elif kind == "bye":
            self.reconnect_within = message.get("retry_ms", 0) / 1000
        elif kind == "error":
            raise ApiError(message["code"], 0, message.get("message", ""))

    @property
    def has_items(self) -> bool:
        """Whether a message has arrived that was not looked at yet."""
        return bool(self._items)

    def next_item(self) -> Optional[Item]:
        """Returns the next item, or None if another message is needed."""
        while self._items:
            item, cursor = self._items.popleft()
            self.cursor = cursor or self.cursor
            if item is not None:
                return item
        return None


def is_final(error: Exception) -> bool:
    """Whether a subscription cannot continue after this error."""
    if isinstance(error, ApiError):
        return not error.is_temporary
    return isinstance(error, ConnectionFailed) and error.close_code in _FINAL_CLOSE_CODES


def _query(conditions: Mapping[str, Values]) -> list[tuple[str, str]]:
    query = []
    for name, values in conditions.items():
        if values is not None:
            query += [(name, value) for value in ([values] if isinstance(values, str) else values)]
            if not query or query[-1][0] != name:
                raise ValueError(f"{name}=[] would select nothing; leave it out to select everything")
    return query
