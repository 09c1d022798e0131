"""What the tests share. Importing it makes the package of this folder importable, whether it is installed or not."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
import threading
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, TypeVar

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent / "src"
VECTORS = HERE.parents[2] / "tests" / "vectors"
sys.path.insert(0, str(SOURCE))

# The faults that the tests cause are no news, and neither is a slow machine.
logging.getLogger("cortado.worker").setLevel(logging.CRITICAL + 1)
logging.getLogger("asyncio").addFilter(lambda record: not record.getMessage().startswith("Executing "))

T = TypeVar("T")

#: A fact that does not come within this time will not come.
PATIENCE = 20.0


async def within(fact: Awaitable[T]) -> T:
    """Waits for a fact."""
    return await asyncio.wait_for(fact, PATIENCE)


def in_thread(function: Callable[..., T], *args: Any, **options: Any) -> asyncio.Future[T]:
    """Calls a function in a thread that does not keep a failed test from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(method: Callable[[Any], None], value: Any) -> None:
        if not future.done():
            method(value)

    def call() -> None:
        try:
            settled = (future.set_result, function(*args, **options))
        except BaseException as error:
            settled = (future.set_exception, error)
        with suppress(RuntimeError):  # the test is over
            loop.call_soon_threadsafe(settle, *settled)

    threading.Thread(target=call, daemon=True).start()
    return future


async def until(condition: Callable[[], bool]) -> None:
    """Waits until a condition holds that only the event loop of the test changes."""

    async def turn() -> None:
        while not condition():
            await asyncio.sleep(0)

    await within(turn())


def vectors(name: str) -> list[dict[str, Any]]:
    """Reads the vectors of the protocol, which the server and all clients share."""
    return json.loads((VECTORS / f"worker-{name}.json").read_text(encoding="utf-8"))


def with_unknown_members(value: Any) -> Any:
    """Returns a message as a newer server may send it."""
    if isinstance(value, dict):
        return {**{name: with_unknown_members(member) for name, member in value.items()}, "added_later": {"x": [1]}}
    if isinstance(value, list):
        return [with_unknown_members(element) for element in value]
    return value


def entry(lease: str, payload: Any = None, kind: str = "resize", **members: Any) -> dict[str, Any]:
    """Returns a job with its lease, as the server sends it."""
    job = {
        "id": f"id-of-{lease}",
        "kind": kind,
        "queue": "default",
        "payload": payload,
        "attempt": 1,
        "max_attempts": 25,
        "timeout_ms": None,
        "priority": 0,
        "tags": [],
        "enqueued_at": "2026-11-23T08:00:00.000Z",
    }
    return {"lease": lease, "expires_in_ms": 30000, "job": {**job, **members}}


def job(**members: Any) -> dict[str, Any]:
    """Returns a job as the API returns it."""
    return {
        "id": "019ab001-7c3e-7d10-8a55-0242ac120002",
        "kind": "echo",
        "queue": "default",
        "state": "available",
        "priority": 0,
        "tags": [],
        "attempt": 0,
        "max_attempts": 5,
        "enqueued_at": "2026-11-23T08:00:00.000Z",
        "run_at": "2026-11-23T08:00:00.000Z",
        "finished_at": None,
        "progress": None,
        "error": None,
        "cancel_asked": False,
        "idempotency_key": None,
        "seq": 41,
        **members,
    }


def refused_delays(lines: list[str]) -> list[float]:
    """The seconds until the next attempt that the lines about a refused token name."""
    found = (re.search(r"no longer accepts the token.*trying again in ([0-9.]+) s", line) for line in lines)
    return [float(match[1]) for match in found if match]
