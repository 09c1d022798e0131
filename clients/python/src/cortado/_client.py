"""What both clients and both kinds of subscriptions have in common."""

from __future__ import annotations

import random
import ssl
from typing import Generic, Optional, TypeVar

from ._address import Access, Address
from ._backoff import Backoff
from ._websocket.handshake import Handshake
from .errors import ApiError
from .events import SUBPROTOCOL, EventLog, Values


class SubscriptionBase:
    """The state of a subscription, and when it connects again."""

    def __init__(self, log: EventLog, access: Access) -> None:
        self._log = log
        self._access = access
        self._backoff = Backoff(0.1, 10.0)

    @property
    def cursor(self) -> Optional[str]:
        """Where another subscription continues after the items of this one. If several events came in one message of
        the server, it moves with the last of them."""
        return self._log.cursor

    def _next_handshake(self) -> Handshake:
        handshake = Handshake(self._access.address, self._log.path(), SUBPROTOCOL, self._access.token)
        self._log.restart()
        return handshake

    def _delay_after(self, error: Exception) -> float:
        if self._log.reconnect_within is not None:
            return random.uniform(0.0, self._log.reconnect_within)
        retry_after = error.retry_after if isinstance(error, ApiError) else None
        return max(self._backoff.next_delay(), retry_after or 0.0)


S = TypeVar("S", bound=SubscriptionBase)


class ClientBase(Generic[S]):
    """The settings of a client. `S` is its kind of subscriptions."""

    _subscription: type[S]

    def __init__(
        self,
        url: str,
        token: Optional[str] = None,
        *,
        timeout: float = 30.0,
        retry_for: float = 30.0,
        tls: Optional[ssl.SSLContext] = None,
    ) -> None:
        """Requests that fail because the server is away or overloaded are repeated for `retry_for` seconds. `timeout`
        bounds one request, without the time for which the server is asked to wait."""
        self._access = Access(Address.parse(url), token, tls, timeout)
        self._retry_for = retry_for
        self._open_pool()

    def _open_pool(self) -> None:
        raise NotImplementedError

    def subscribe(
        self,
        *,
        after: Optional[str] = None,
        queue: Values = None,
        kind: Values = None,
        job: Values = None,
        tag: Values = None,
        type: Values = None,
        by: Values = None,
    ) -> S:
        """Returns an iterator over the events after the cursor `after`, or from now on; that of an `AsyncClient` is
        asynchronous. It reconnects by itself."""
        conditions = {"queue": queue, "kind": kind, "job": job, "tag": tag, "type": type, "by": by}
        return self._subscription(EventLog(after, conditions), self._access)
