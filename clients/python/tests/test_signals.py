"""A worker as a process: signals end it in an orderly way, whatever its handlers do."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import unittest
from typing import Any

from fake_server import FakeServer
from support import HERE, entry, within


@unittest.skipIf(os.name == "nt", "Windows has no SIGTERM")
class Signals(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.server = await FakeServer().__aenter__()
        self.addAsyncCleanup(self.server.__aexit__)

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        program = str(HERE / "example_worker.py")
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, program, self.server.url, *arguments, stdout=pipe, stderr=pipe
        )
        self.addAsyncCleanup(self.end, process)
        return process

    async def end(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is None:
            process.kill()
        await process.communicate()

    async def exited(self, process: asyncio.subprocess.Process) -> None:
        out, err = await within(process.communicate())
        self.assertEqual((process.returncode, out.split()[-1:]), (0, [b"stopped"]), err.decode())

    async def goodbye(self, socket: Any) -> None:
        self.assertEqual(await socket.receive(), {"type": "bye"})
        socket.send({"type": "bye", "why": "signed_off"})

    async def test_sigterm_lets_handlers_finish(self) -> None:
        process = await self.start("w")
        socket, _ = await self.server.worker()
        socket.send({"type": "jobs", "leases": [entry("L", kind="py-until-stopped")]})
        socket.confirm(await socket.receive_update())  # it has begun
        process.send_signal(signal.SIGTERM)
        self.assertEqual((await socket.receive())["free"], 0)
        socket.send({"type": "cancel", "lease": "L"})
        update = await socket.receive_update()
        self.assertEqual(update["settle"], [{"lease": "L", "outcome": "cancelled"}])
        socket.confirm(update)
        await self.goodbye(socket)
        await self.exited(process)

    async def test_a_second_signal_gives_back_what_does_not_end(self) -> None:
        process = await self.start("w")
        socket, _ = await self.server.worker()
        socket.send({"type": "jobs", "leases": [entry("L", kind="py-stubborn")]})
        socket.confirm(await socket.receive_update())
        process.send_signal(signal.SIGINT)
        self.assertEqual((await socket.receive())["free"], 0)
        process.send_signal(signal.SIGTERM)
        update = await socket.receive_update()
        self.assertEqual(update["settle"], [{"lease": "L", "outcome": "returned"}])
        socket.confirm(update)
        await self.goodbye(socket)
        await self.exited(process)

    async def test_over_http_sigterm_ends_a_waiting_claim(self) -> None:
        process = await self.start("w", "http")
        await self.server.request("/claim")
        process.send_signal(signal.SIGTERM)
        (await self.server.request("/w")).answer(200, {"returned": 0})
        await self.exited(process)


if __name__ == "__main__":
    unittest.main()
