"""Jobs as the API returns them, and as they are submitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Optional

from ._json import Duration, milliseconds, parse_time

FINAL_STATES = frozenset(("completed", "discarded", "cancelled"))


@dataclass(frozen=True)
class Backoff:
    """The bounds of the delay between attempts. Both are optional, but not both at once."""

    base: Optional[Duration] = None
    cap: Optional[Duration] = None

    def to_json(self) -> dict[str, int]:
        """Returns the member `backoff` of a submission."""
        bounds = {"base_ms": self.base, "cap_ms": self.cap}
        return {name: milliseconds(bound) for name, bound in bounds.items() if bound is not None}


@dataclass(frozen=True)
class Submission:
    """A job to be submitted. What is left out has the default of its kind."""

    kind: str
    payload: Any = None
    queue: Optional[str] = None
    priority: Optional[int] = None
    #: The time until the first attempt. Cannot be combined with `run_at`.
    delay: Optional[Duration] = None
    #: The time of the first attempt, with a time zone.
    run_at: Optional[datetime] = None
    max_attempts: Optional[int] = None
    backoff: Optional[Backoff] = None
    #: How long one attempt may take.
    timeout: Optional[Duration] = None
    #: Submissions with the same key create only one job. A random key by default, so that the client can repeat a
    #: request whose answer was lost.
    idempotency_key: Optional[str] = None
    tags: Optional[Sequence[str]] = None

    def to_json(self) -> dict[str, Any]:
        """Returns the submission as the API takes it."""
        if self.run_at is not None and self.run_at.tzinfo is None:
            raise ValueError("run_at has no time zone; use datetime.now(timezone.utc), for example")
        members = {
            "kind": self.kind,
            "payload": self.payload,
            "queue": self.queue,
            "priority": self.priority,
            "delay_ms": None if self.delay is None else milliseconds(self.delay),
            "run_at": None if self.run_at is None else self.run_at.isoformat(),
            "max_attempts": self.max_attempts,
            "backoff": None if self.backoff is None else self.backoff.to_json(),
            "timeout_ms": None if self.timeout is None else milliseconds(self.timeout),
            "idempotency_key": self.idempotency_key,
            "tags": None if self.tags is None else list(self.tags),
        }
        return {name: value for name, value in members.items() if value is not None}


@dataclass(frozen=True)
class Progress:
    """How far a running job is."""

    done: int
    total: Optional[int] = None
    message: Optional[str] = None


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed. `error_class` is `error`, `timeout`, `panic` or `lost`."""

    error_class: str
    message: str
    #: The line that says what happened, if that is not the first one of `message`.
    summary: Optional[str] = None


@dataclass(frozen=True)
class Status:
    """The status of a job after a request that changes it."""

    id: str
    state: str
    attempt: int
    max_attempts: int
    #: Whether the job is running and was asked to end.
    cancel_asked: bool = False

    @property
    def is_final(self) -> bool:
        """Whether the job has ended for good."""
        return self.state in FINAL_STATES

    @classmethod
    def from_json(cls, members: dict[str, Any]) -> Status:
        """Reads the status that the API returns."""
        return cls(
            members["id"],
            members["state"],
            members["attempt"],
            members["max_attempts"],
            members.get("cancel_asked", False),
        )


@dataclass(frozen=True)
class Job(Status):
    """A job as it was when the server answered.

    Payload, result, timeout and attempts are missing in the answer to a submission that did not wait.
    """

    kind: str = ""
    queue: str = ""
    priority: int = 0
    tags: tuple[str, ...] = ()
    enqueued_at: Optional[datetime] = None
    run_at: Optional[datetime] = None
    finished_at: Optional[datetime] = None
    progress: Optional[Progress] = None
    #: The error of the last attempt that failed.
    error: Optional[Failure] = None
    payload: Any = None
    result: Any = None
    timeout_ms: Optional[int] = None
    idempotency_key: Optional[str] = None
    #: Whether the submission was a repetition, and this is the job of the first one.
    existing: bool = False
    #: The number of the event that changed the job last.
    seq: int = 0
    #: All members as the server sent them, also those that this version of the client does not know.
    raw: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_json(cls, members: dict[str, Any]) -> Job:
        """Reads a job that the API returns."""
        progress, error = members.get("progress"), members.get("error")
        return cls(
            id=members["id"],
            state=members["state"],
            attempt=members["attempt"],
            max_attempts=members["max_attempts"],
            cancel_asked=members.get("cancel_asked", False),
            kind=members["kind"],
            queue=members["queue"],
            priority=members.get("priority", 0),
            tags=tuple(members.get("tags", ())),
            enqueued_at=_time(members.get("enqueued_at")),
            run_at=_time(members.get("run_at")),
            finished_at=_time(members.get("finished_at")),
            progress=progress and Progress(progress["done"], progress.get("total"), progress.get("message")),
            error=error and Failure(error["class"], error["message"], error.get("summary")),
            payload=members.get("payload"),
            result=members.get("result"),
            timeout_ms=members.get("timeout_ms"),
            idempotency_key=members.get("idempotency_key"),
            existing=members.get("existing", False),
            seq=members.get("seq", 0),
            raw=members,
        )


def _time(text: Optional[str]) -> Optional[datetime]:
    return None if text is None else parse_time(text)
