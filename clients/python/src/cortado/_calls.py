"""The calls of the API as values: the request, and how its answer is read. Both clients send them."""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections.abc import Iterable
from typing import Callable, Generic, Optional, TypeVar
from urllib.parse import quote

from ._backoff import Backoff
from ._http.message import Request, Response
from ._json import encode
from .errors import ApiError, CortadoError
from .jobs import Job, Status, Submission

T = TypeVar("T")

#: The longest time for which one request asks the server to wait; `http.max_wait` of the server may be shorter.
MAX_WAIT = 60.0


@dataclasses.dataclass(frozen=True)
class Call(Generic[T]):
    """A request that may be repeated, and how its answer is read."""

    request: Request
    read: Callable[[Response], T]


def submit(submission: Submission, wait: float) -> Call[Job]:
    """Submits one job."""
    body = encode(_with_key(submission).to_json())
    request = Request("POST", "/api/v1/jobs" + _wait_query(wait), body, wait)
    return Call(request, _read_job)


def submit_many(submissions: Iterable[Submission]) -> Call[list[Job]]:
    """Submits several jobs, all of them or none."""
    body = encode([_with_key(it).to_json() for it in submissions])
    request = Request("POST", "/api/v1/jobs", body)
    return Call(request, lambda response: [Job.from_json(job) for job in response.json()["jobs"]])


def get(job_id: str, wait: float) -> Call[Job]:
    """Reads one job, and waits for its end if `wait` is not 0."""
    request = Request("GET", f"/api/v1/jobs/{quote(job_id, safe='')}" + _wait_query(wait), wait=wait)
    return Call(request, _read_job)


def cancel(job_id: str) -> Call[Status]:
    """Cancels one job."""
    request = Request("POST", f"/api/v1/jobs/{quote(job_id, safe='')}/cancel")
    return Call(request, lambda response: Status.from_json(response.json()))


class Retries:
    """Decides whether and when a request is sent again."""

    def __init__(self, retry_for: float) -> None:
        self._deadline = time.monotonic() + retry_for
        self._backoff = Backoff(0.1, 5.0)

    def delay_after(self, error: CortadoError) -> float:
        """Returns the seconds to wait before the request is repeated, or raises the error if it is not."""
        delay = self._backoff.next_delay()
        if isinstance(error, ApiError):
            if not error.is_temporary:
                raise error
            delay = max(delay, error.retry_after or 0.0)
        if time.monotonic() + delay > self._deadline:
            raise error
        return delay


class Wait:
    """Decides how long each request of a wait for the end of a job waits."""

    def __init__(self, timeout: Optional[float]) -> None:
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._asked_at = 0.0
        self._backoff = Backoff(0.1, 2.0)

    def next_wait(self) -> float:
        """Returns how long the next request waits; 0 if there is no time left."""
        self._asked_at = time.monotonic()
        if self._deadline is None:
            return MAX_WAIT
        return min(MAX_WAIT, max(0.0, self._deadline - self._asked_at))

    def is_over(self) -> bool:
        """Whether the time is up."""
        return self._deadline is not None and time.monotonic() >= self._deadline

    def pause(self) -> float:
        """Returns the seconds before the next request. The server answers early when it is stopping."""
        if time.monotonic() - self._asked_at > 1.0:
            self._backoff.reset()
            return 0.0
        return self._backoff.next_delay()


def _read_job(response: Response) -> Job:
    return Job.from_json(response.json())


def _wait_query(wait: float) -> str:
    return f"?wait={max(1, round(wait * 1000))}ms" if wait > 0 else ""


def _with_key(submission: Submission) -> Submission:
    if submission.idempotency_key is not None:
        return submission
    return dataclasses.replace(submission, idempotency_key=uuid.uuid4().hex)
