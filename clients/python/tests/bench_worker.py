"""The worker that `cortado-bench workers` measures: ADDRESS TRANSPORT."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import cortado

worker = cortado.Worker(sys.argv[1], name="bench", transport=sys.argv[2], concurrency=256)


@worker.handler("noop")
async def noop(payload: dict, context: cortado.Context) -> None:
    pass


worker.run()
