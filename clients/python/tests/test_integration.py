"""The clients and the worker against the real server. They run if `CORTADO_BIN` names the program."""

from __future__ import annotations

import asyncio
import signal
import sys
import unittest
from typing import Any, Optional
from unittest.mock import patch

from real_server import PROGRAM, RealServer
from support import HERE, in_thread, refused_delays, until, within
from worker_test import serving

import cortado


@unittest.skipUnless(PROGRAM, "CORTADO_BIN does not name the server")
class ServerTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.server = await RealServer().__aenter__()
        self.addAsyncCleanup(self.server.__aexit__)
        self.client = cortado.AsyncClient(self.server.url)
        self.addAsyncCleanup(self.client.close)
        first = await within(self.client.submit("echo", "first", wait=20))
        self.news = self.client.subscribe(after=first.raw["cursor"])
        self.addAsyncCleanup(self.news.close)

    async def event(self, *types: str, job_id: Optional[str] = None) -> cortado.Event:
        """Waits for the next event of one of these types."""
        while True:
            item = await within(self.news.__anext__())
            assert isinstance(item, cortado.Event)
            if item.type in types and job_id in (None, item.job and item.job.id):
                return item


class Clients(ServerTest):
    async def test_both_clients_submit_read_wait_and_cancel(self) -> None:
        threads = cortado.Client(self.server.url)
        self.addCleanup(threads.close)
        payload = {"text": "ä €", "numbers": [1, 2.5, None, True]}
        for call in (lambda m, *a, **o: in_thread(getattr(threads, m), *a, **o), self.call):
            done = await within(call("submit", "echo", payload, wait=20, tags=["a"]))
            self.assertEqual((done.state, done.result, done.tags), ("completed", payload, ("a",)))
            many = await within(call("submit_many", [cortado.Submission("echo", n) for n in range(5)]))
            results = [(await within(call("wait", job.id, timeout=20))).result for job in many]
            self.assertEqual(results, list(range(5)))
            late = await within(call("submit", "echo", delay=3600))
            with self.assertRaises(cortado.WaitTimeout):
                await within(call("wait", late.id, timeout=0.05))
            self.assertEqual((await within(call("cancel", late.id))).state, "cancelled")
            self.assertEqual((await within(call("get", late.id))).state, "cancelled")

    async def call(self, method: str, *args: Any, **options: Any) -> Any:
        return await getattr(self.client, method)(*args, **options)

    async def test_a_repeated_submission_is_the_same_job(self) -> None:
        first = await within(self.client.submit("echo", 1, idempotency_key="k"))
        again = await within(self.client.submit("echo", 1, idempotency_key="k"))
        self.assertEqual((again.id, again.existing, first.existing), (first.id, True, False))

    async def test_errors_have_their_code_and_their_fields(self) -> None:
        with self.assertRaises(cortado.ApiError) as raised:
            await within(self.client.submit("echo", queue="a/b", max_attempts=0))
        self.assertEqual((raised.exception.code, raised.exception.status), ("invalid_fields", 422))
        self.assertEqual({error.field for error in raised.exception.errors}, {"queue", "max_attempts"})
        with self.assertRaises(cortado.ApiError) as raised:
            await within(self.client.get("019ab001-7c3e-7d10-8a55-0242ac120002"))
        self.assertEqual(raised.exception.code, "no_such_job")

    async def test_a_subscription_sees_every_event_once_although_the_server_is_killed(self) -> None:
        threads = cortado.Client(self.server.url)
        subscription = threads.subscribe(after=self.news.cursor, type="job.completed")
        self.addCleanup(subscription.close)
        expected = []
        for _ in range(3):
            expected.append((await within(self.client.submit("echo", wait=20))).id)
            self.assertEqual((await within(in_thread(next, subscription))).job.id, expected[-1])
            self.assertEqual((await self.event("job.completed")).job.id, expected[-1])
            await self.server.end(signal.SIGKILL)
            await self.server.start()


class Workers(ServerTest):
    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Starts the worker of `example_worker.py` and waits until the server knows its kinds."""
        pipe = asyncio.subprocess.PIPE
        program = str(HERE / "example_worker.py")
        process = await asyncio.create_subprocess_exec(
            sys.executable, program, self.server.url, *arguments, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
        )
        self.addAsyncCleanup(self.end, process)
        return process

    async def end(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is None:
            process.kill()
        await process.communicate()

    async def submit(self, kind: str, payload: Any = None, **options: Any) -> cortado.Job:
        while True:
            try:
                return await within(self.client.submit(kind, payload, **options))
            except cortado.ApiError as error:
                if error.code != "unknown_kind":
                    raise
                await within(self.news.__anext__())  # until a worker has announced it

    async def outcomes(self, transport: str) -> None:
        await self.start("w", transport)
        added = await self.submit("py-add", {"a": 2, "b": 3})
        added = await within(self.client.wait(added.id, timeout=20))
        self.assertEqual((added.state, added.result), ("completed", {"sum": 5}))
        self.assertEqual(added.progress, cortado.Progress(1, 1))
        failed = await self.submit("py-fail", max_attempts=1, wait=20)
        self.assertEqual(failed.state, "discarded")
        self.assertIn("it fails every time", failed.error.message)
        discarded = await self.submit("py-discard", wait=20)
        self.assertEqual((discarded.state, discarded.attempt), ("discarded", 1))
        running = await self.submit("py-until-stopped")
        await self.event("job.logged", job_id=running.id)
        await within(self.client.cancel(running.id))
        self.assertEqual((await within(self.client.wait(running.id, timeout=20))).state, "cancelled")

    async def test_every_outcome_over_websocket(self) -> None:
        await self.outcomes("websocket")

    async def test_every_outcome_over_http(self) -> None:
        await self.outcomes("http")

    async def test_a_worker_that_is_terminated_gives_back_what_is_not_done(self) -> None:
        for transport in ("websocket", "http"):
            process = await self.start(f"w-{transport}", transport, "0")
            job = await self.submit("py-stubborn")
            await self.event("job.logged", job_id=job.id)
            process.send_signal(signal.SIGTERM)
            await self.event("job.interrupted", job_id=job.id)
            await within(process.wait())
            self.assertEqual(process.returncode, 0)
            found = await within(self.client.get(job.id))
            self.assertEqual((found.state, found.attempt), ("available", 0), "the attempt is not charged")
            await within(self.client.cancel(job.id))

    async def test_a_worker_that_is_killed_loses_its_job_to_another_one(self) -> None:
        process = await self.start("w1")
        job = await self.submit("py-until-stopped")
        await self.event("job.logged", job_id=job.id)
        process.kill()
        await self.event("job.rescued", job_id=job.id)
        await self.start("w2")
        await self.event("job.started", job_id=job.id)

    async def test_a_worker_goes_on_over_a_crash_of_the_server(self) -> None:
        worker = cortado.Worker(self.server.url, name="w", lease=10)
        ended = asyncio.Event()

        @worker.handler("py-slow")
        async def slow(payload: Any, context: cortado.Context) -> Any:
            context.log("begun")
            await ended.wait()
            return context.attempt

        run = asyncio.ensure_future(worker.serve())
        self.addCleanup(run.cancel)
        job = await self.submit("py-slow")
        await self.event("job.logged", job_id=job.id)
        await self.server.end(signal.SIGKILL)
        ended.set()
        await self.server.start()
        found = await within(self.client.wait(job.id, timeout=20))
        self.assertEqual((found.state, found.result, found.attempt), ("completed", 1, 1))
        worker.stop()
        await within(run)

    async def test_a_worker_whose_token_is_refused_goes_on_when_it_is_accepted_again(self) -> None:
        token = "the-token-of-workers"
        for transport in ("websocket", "http"):
            await self.server.end(signal.SIGKILL)
            self.server.token = token
            await self.server.start()
            client = cortado.AsyncClient(self.server.url, token)
            self.addAsyncCleanup(client.close)
            first = await within(client.submit("echo", wait=20))
            news = client.subscribe(after=first.raw["cursor"], type="worker.connected")
            self.addAsyncCleanup(news.close)
            worker = cortado.Worker(self.server.url, token, transport=transport)
            worker.add("py-token", lambda payload, context: payload)
            with patch("cortado.worker.link.REFUSED_FIRST", 0.1), self.assertLogs("cortado.worker") as logs:
                async with serving(worker):
                    await within(news.__anext__())
                    done = await within(client.submit("py-token", 1, wait=20))
                    self.assertEqual((done.state, done.result), ("completed", 1))
                    await self.server.end(signal.SIGKILL)
                    self.server.token = "another-token-of-workers"
                    await self.server.start()
                    await until(lambda: len(refused_delays(logs.output)) == 1)
                    await self.server.end(signal.SIGKILL)
                    self.server.token = token
                    await self.server.start()
                    done = await within(client.submit("py-token", 2, wait=20))
                    self.assertEqual((done.state, done.result), ("completed", 2))
            self.assertEqual(len(refused_delays(logs.output)), 1, logs.output)


if __name__ == "__main__":
    unittest.main()
