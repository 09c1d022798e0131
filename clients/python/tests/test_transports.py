"""Both clients and the worker over a Unix socket and over TLS, against a fake server."""

from __future__ import annotations

import asyncio
import logging
import shutil
import ssl
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import Any, Optional

from fake_server import FakeServer
from support import entry, in_thread, job, within
from test_subscribe import HELLO, events
from worker_test import serving

import cortado


class Transports(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="cortado-python-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.server = await FakeServer().__aenter__()
        self.addAsyncCleanup(self.server.__aexit__)

    async def use_everything(self, url: str, tls: Optional[ssl.SSLContext]) -> None:
        threads, client = cortado.Client(url, tls=tls), cortado.AsyncClient(url, tls=tls)
        self.addCleanup(threads.close)
        self.addAsyncCleanup(client.close)
        for start in (lambda: in_thread(threads.get, "j"), lambda: asyncio.ensure_future(client.get("j"))):
            call = start()
            (await self.server.request("/j")).answer(200, job(id="j"))
            self.assertEqual((await within(call)).id, "j")
        blocking, waiting = threads.subscribe(), client.subscribe()
        self.addCleanup(blocking.close)
        self.addAsyncCleanup(waiting.close)
        for start in (lambda: in_thread(next, blocking), lambda: asyncio.ensure_future(waiting.__anext__())):
            item = start()
            socket = await self.server.socket()
            socket.send(HELLO)
            socket.send(events(41))
            self.assertEqual((await within(item)).seq, 41)
        worker = cortado.Worker(url, tls=tls)
        worker.add("resize", lambda payload, context: payload)
        async with serving(worker):
            socket, _ = await self.server.worker()
            socket.send({"type": "jobs", "leases": [entry("L", 1)]})
            self.assertEqual((await socket.receive())["settle"][0]["result"], 1)

    async def listen(self, listener: Any) -> None:
        self.addCleanup(listener.close)

    @unittest.skipUnless(hasattr(asyncio, "start_unix_server"), "this system has no Unix sockets")
    async def test_over_a_unix_socket(self) -> None:
        path = str(self.directory / "cortado.sock")
        await self.listen(await asyncio.start_unix_server(self.server._serve, path))
        await self.use_everything(f"unix:{path}", None)

    @unittest.skipUnless(shutil.which("openssl"), "openssl makes the certificate")
    async def test_over_tls(self) -> None:
        cert, key = self.directory / "cert.pem", self.directory / "key.pem"
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
        command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
        subprocess.run(command, check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        listener = await asyncio.start_server(self.server._serve, "127.0.0.1", 0, ssl=context)
        await self.listen(listener)
        url = f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        await self.use_everything(url, ssl.create_default_context(cafile=str(cert)))
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # of the server, whose certificate is refused
        self.addCleanup(logging.getLogger("asyncio").setLevel, logging.NOTSET)
        with self.assertRaises(cortado.ConnectionFailed) as raised:
            await within(cortado.AsyncClient(url, retry_for=0).get("j"))
        self.assertIn("CERTIFICATE_VERIFY_FAILED", str(raised.exception))
        with self.assertRaises(cortado.ConnectionFailed):
            await within(in_thread(cortado.Client(url, retry_for=0).get, "j"))


if __name__ == "__main__":
    unittest.main()
