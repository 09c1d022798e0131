"""Client and worker for Cortado, a durable job server."""

from .async_client import AsyncClient, AsyncSubscription
from .client import Client, Subscription
from .errors import ApiError, ConnectionFailed, CortadoError, FieldError, WaitTimeout, WorkerReplaced
from .events import Event, EventJob, Gap
from .jobs import Backoff, Failure, Job, Progress, Status, Submission
from .outcomes import Cancelled, Discard, Retry, Snooze
from .worker import Context, Worker, WorkerJob

__version__ = "0.1.0"

__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncSubscription",
    "Backoff",
    "Cancelled",
    "Client",
    "ConnectionFailed",
    "Context",
    "CortadoError",
    "Discard",
    "Event",
    "EventJob",
    "Failure",
    "FieldError",
    "Gap",
    "Job",
    "Progress",
    "Retry",
    "Snooze",
    "Status",
    "Submission",
    "Subscription",
    "WaitTimeout",
    "Worker",
    "WorkerJob",
    "WorkerReplaced",
]
