"""What the tests of the worker share."""

from __future__ import annotations

import asyncio
import unittest
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fake_server import FakeServer

import cortado


@asynccontextmanager
async def serving(worker: cortado.Worker) -> AsyncIterator[asyncio.Task[None]]:
    """Runs a worker for the duration of a block, and then ends it at once."""
    task = asyncio.get_running_loop().create_task(worker.serve())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class WorkerTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.server = await FakeServer().__aenter__()
        self.addAsyncCleanup(self.server.__aexit__)

    def worker(self, **options: Any) -> cortado.Worker:
        return cortado.Worker(self.server.url, "cortado_secret", **{"name": "web-1", **options})
