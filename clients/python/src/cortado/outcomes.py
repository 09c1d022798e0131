"""The exceptions by which a handler ends its attempt in another way than by returning a result."""

from __future__ import annotations

from typing import Optional, Union

from ._json import Duration
from .errors import CortadoError


class Outcome(CortadoError):
    """The base class of the exceptions that end an attempt."""


class Retry(Outcome):
    """The attempt failed. The next one starts after the backoff of the job, and not before `after`.

    Any other exception means the same as `Retry` without `after`, and its traceback is the error.
    """

    def __init__(self, error: Union[str, BaseException], after: Optional[Duration] = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.after = after


class Snooze(Outcome):
    """The job has nothing to do yet: run it again after `delay`, without counting this attempt."""

    def __init__(self, delay: Duration) -> None:
        super().__init__(f"snoozed for {delay}")
        self.delay = delay


class Discard(Outcome):
    """No attempt can succeed: the job is discarded at once."""

    def __init__(self, error: Union[str, BaseException]) -> None:
        super().__init__(str(error))
        self.error = error


class Cancelled(Outcome):
    """Raised by `Context.check_cancelled` in a handler that should stop."""
