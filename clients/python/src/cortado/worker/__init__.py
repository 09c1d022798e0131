"""The worker: claims jobs, runs their handlers, and reports how they ended."""

from .context import Context, WorkerJob
from .worker import Worker

__all__ = ["Context", "Worker", "WorkerJob"]
