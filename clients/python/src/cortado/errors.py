"""The exceptions of this package. Those that a handler raises to end its attempt are in `cortado.outcomes`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from .jobs import Job


class CortadoError(Exception):
    """The base class of what this package raises."""


@dataclass(frozen=True)
class FieldError:
    """One invalid field of a request, such as `[3].payload.to`, and what is wrong with it."""

    field: str
    message: str


class ApiError(CortadoError):
    """The server refused a request, with a problem document (RFC 9457).

    `code` is stable and meant for programs, `detail` is for people, and `errors` names the invalid fields.
    """

    def __init__(
        self,
        code: str,
        status: int,
        detail: str,
        errors: tuple[FieldError, ...] = (),
        retry_after: Optional[float] = None,
    ) -> None:
        super().__init__(f"{code} ({status}): {detail}" if status else f"{code}: {detail}")
        self.code = code
        #: The HTTP status; 0 if the answer came over a WebSocket.
        self.status = status
        self.detail = detail
        self.errors = errors
        #: The seconds after which the server wants to be asked again, if it said so.
        self.retry_after = retry_after

    @property
    def is_temporary(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in (408, 429, 502, 503, 504)


class ConnectionFailed(CortadoError, ConnectionError):
    """The server cannot be reached, or the connection broke. `close_code` is that of a WebSocket."""

    def __init__(self, message: str, close_code: int = 0) -> None:
        super().__init__(message)
        self.close_code = close_code


class WaitTimeout(CortadoError, TimeoutError):
    """A job did not end in time. `job` is the job as it was then."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"job {job.id} is still {job.state}")
        self.job = job


class WorkerReplaced(CortadoError):
    """Another worker has connected under the same name, so this one gets no more jobs."""
