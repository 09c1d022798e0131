"""The calls of the API: each is described here once, with its parameters, the request, and how the answer is read.
`Client` and `AsyncClient` only perform them."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import time
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Callable, Generic, Optional, TypeVar
from urllib.parse import quote

from ._backoff import Backoff as RetryBackoff
from ._http.message import Request, Response
from ._json import Duration, encode, seconds
from .errors import ApiError, CortadoError, WaitTimeout
from .jobs import Backoff, Job, Status, Submission

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

#: The longest time for which one request asks the server to wait; `http.max_wait` of the server may be shorter.
MAX_WAIT = 60.0


class Call(Generic[T]):
    """A request that may be repeated, and how its answer is read."""

    def __init__(self, request: Request, read: Callable[[Response], T]) -> None:
        self._request = request
        #: Returns the answer, or raises the error that it is.
        self.read = read

    def next_request(self) -> Request:
        """Returns the request to send now."""
        return self._request

    def pause_after(self, answer: T) -> Optional[float]:
        """Returns the seconds after which the call is made again, or None if this answer is the last one."""
        return None


def submit(
    kind: str,
    payload: Any = None,
    *,
    queue: Optional[str] = None,
    priority: Optional[int] = None,
    delay: Optional[Duration] = None,
    run_at: Optional[datetime] = None,
    max_attempts: Optional[int] = None,
    backoff: Optional[Backoff] = None,
    timeout: Optional[Duration] = None,
    idempotency_key: Optional[str] = None,
    tags: Optional[Sequence[str]] = None,
    wait: Duration = 0.0,
) -> Call[Job]:
    """Submits a job and returns it when it is on disk. With `wait`, returns the whole job once it has ended, or as it
    is after that time (at most a minute). The other parameters are those of `Submission`."""
    submission = Submission(
        kind,
        payload,
        queue=queue,
        priority=priority,
        delay=delay,
        run_at=run_at,
        max_attempts=max_attempts,
        backoff=backoff,
        timeout=timeout,
        idempotency_key=idempotency_key,
        tags=tags,
    )
    body = encode(_with_key(submission).to_json())
    return Call(Request("POST", "/api/v1/jobs" + _wait_query(seconds(wait)), body, seconds(wait)), _read_job)


def submit_many(submissions: Iterable[Submission]) -> Call[list[Job]]:
    """Submits several jobs at once, and returns them in their order. All are accepted, or none."""
    body = encode([_with_key(it).to_json() for it in submissions])
    request = Request("POST", "/api/v1/jobs", body)
    return Call(request, lambda response: [Job.from_json(job) for job in response.json()["jobs"]])


def get(job_id: str) -> Call[Job]:
    """Reads a job."""
    return Call(Request("GET", _job_path(job_id)), _read_job)


def wait(job_id: str, timeout: Optional[Duration] = None) -> Call[Job]:
    """Returns a job, with its result, once it has ended. Raises `WaitTimeout` if it does not in time."""
    return _Wait(_job_path(job_id), None if timeout is None else seconds(timeout))


def cancel(job_id: str) -> Call[Status]:
    """Cancels a job. One that is running is asked to end, and its state is still `running`."""
    request = Request("POST", _job_path(job_id) + "/cancel")
    return Call(request, lambda response: Status.from_json(response.json()))


class _Wait(Call[Job]):
    """Reads a job until it has ended; the server answers each request when that happens, or after a time."""

    def __init__(self, path: str, timeout: Optional[float]) -> None:
        super().__init__(Request("GET", path), _read_job)
        self._path = path
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._asked_at = 0.0
        self._backoff = RetryBackoff(0.1, 2.0)

    def next_request(self) -> Request:
        self._asked_at = time.monotonic()
        wait = MAX_WAIT
        if self._deadline is not None:
            wait = min(MAX_WAIT, max(0.0, self._deadline - self._asked_at))
        return Request("GET", self._path + _wait_query(wait), wait=wait)

    def pause_after(self, answer: Job) -> Optional[float]:
        if answer.is_final:
            return None
        now = time.monotonic()
        if self._deadline is not None and now >= self._deadline:
            raise WaitTimeout(answer)
        if now - self._asked_at > 1.0:
            self._backoff.reset()
            return 0.0
        return self._backoff.next_delay()  # the server answers early when it is stopping


class Retries:
    """Decides whether and when a request is sent again."""

    def __init__(self, retry_for: float) -> None:
        self._deadline = time.monotonic() + retry_for
        self._backoff = RetryBackoff(0.1, 5.0)

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


def document(method: F, described: Callable[..., Any]) -> F:
    """Gives the method that performs a call the name, the documentation and the parameters of the call."""
    functools.update_wrapper(method, described)
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    signature = inspect.signature(described)
    answer = re.sub(r"^Call\[(.*)\]$", r"\1", str(signature.return_annotation))
    parameters = [this, *signature.parameters.values()]
    method.__signature__ = inspect.Signature(parameters, return_annotation=answer)  # type: ignore[attr-defined]
    method.__annotations__ = {**described.__annotations__, "return": answer}
    return method


def _read_job(response: Response) -> Job:
    return Job.from_json(response.json())


def _job_path(job_id: str) -> str:
    return f"/api/v1/jobs/{quote(job_id, safe='')}"


def _wait_query(wait: float) -> str:
    return f"?wait={max(1, round(wait * 1000))}ms" if wait > 0 else ""


def _with_key(submission: Submission) -> Submission:
    if submission.idempotency_key is not None:
        return submission
    return dataclasses.replace(submission, idempotency_key=uuid.uuid4().hex)
