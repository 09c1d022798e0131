"""A worker as a program of its own, for the tests of signals and of the real server: URL NAME [TRANSPORT [GRACE]]."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import cortado

url, name = sys.argv[1:3]
transport = sys.argv[3] if len(sys.argv) > 3 else "websocket"
grace = float(sys.argv[4]) if len(sys.argv) > 4 else 25.0
worker = cortado.Worker(url, name=name, transport=transport, grace=grace, lease=5)


@worker.handler("py-add")
async def add(payload: dict, context: cortado.Context) -> dict:
    context.log(f"adding {payload['a']} and {payload['b']}")
    context.progress(1, 1)
    return {"sum": payload["a"] + payload["b"]}


@worker.handler("py-fail")
def fail(payload: dict, context: cortado.Context) -> None:
    raise ValueError("it fails every time")


@worker.handler("py-discard")
def discard(payload: dict, context: cortado.Context) -> None:
    raise cortado.Discard("no attempt can succeed")


@worker.handler("py-until-stopped")
def until_stopped(payload: dict, context: cortado.Context) -> None:
    context.log("begun")
    while True:
        context.check_cancelled()
        time.sleep(0.005)


@worker.handler("py-stubborn")
def stubborn(payload: dict, context: cortado.Context) -> None:
    context.log("begun")
    while True:
        time.sleep(60)


print("ready", flush=True)
worker.run()
print("stopped", flush=True)
