"""The worker that the crash test of the server kills at random moments: ADDRESS NAME FILE.

It appends to the file which attempts it has begun, and which ends the server has confirmed.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import cortado
from cortado.worker.outbox import Outbox

url, name, path = sys.argv[1:4]
file = open(path, "a", buffering=1)
count = itertools.count(1)
#: The jobs of attempts that the server has not confirmed, by lease.
jobs: dict[str, str] = {}

confirm = Outbox.confirm


def record_and_confirm(self: Outbox, number: int, answers: list[dict[str, Any]]) -> None:
    for answer in answers:
        job = jobs.pop(answer["lease"], None)
        if job is not None and answer["status"] == "settled":
            file.write(f"confirmed {job}\n")
    confirm(self, number, answers)


Outbox.confirm = record_and_confirm  # type: ignore[method-assign]
worker = cortado.Worker(url, name=name, concurrency=4, lease=2, grace=0.1)


@worker.handler("work")
async def work(payload: dict, context: cortado.Context) -> str:
    mark = f"{name}-{next(count)}"
    jobs[context.lease] = context.job_id
    file.write(f"began {context.job_id} {context.attempt} {mark}\n")
    await asyncio.sleep(payload["ms"] / 1000)
    if context.attempt <= payload["fails"]:
        raise ValueError("it fails on purpose")
    return mark


worker.run()
