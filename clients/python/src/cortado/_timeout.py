"""A timeout that never swallows a cancellation, as `asyncio.wait_for` may do before Python 3.12."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def run_within(seconds: float, coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine, and cancels it and raises `asyncio.TimeoutError` when it takes too long."""
    task = asyncio.get_running_loop().create_task(coroutine)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
    if task.cancelled():
        raise asyncio.TimeoutError
    return task.result()
