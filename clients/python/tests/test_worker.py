"""How a worker runs its handlers and tells them to stop, over WebSocket, against a fake server."""

from __future__ import annotations

import asyncio
import os
import threading
import unittest
from typing import Any, Callable

from support import entry, within
from worker_test import WorkerTest, serving

import cortado


class Running(WorkerTest):
    async def test_a_worker_introduces_itself_and_authenticates(self) -> None:
        worker = self.worker(queues=["mail", "default"], concurrency=3, lease=12)
        worker.add("resize", lambda payload, context: None)
        worker.add("send-receipt", lambda payload, context: None)
        async with serving(worker):
            socket, ready = await self.server.worker()
            self.assertEqual(socket.path, "/api/v1/workers/web-1/ws")
            self.assertEqual(socket.headers["authorization"], "Bearer cortado_secret")
            self.assertEqual(socket.headers["sec-websocket-protocol"], "cortado.worker.v1+json")
            about = ready.pop("about")
            expected = {"type": "ready", "free": 3, "queues": ["mail", "default"], "kinds": ["resize", "send-receipt"]}
            self.assertEqual(ready, {**expected, "lease_ms": 12000, "held": []})
            self.assertEqual((about["client"], about["concurrency"]), ("cortado-python", 3))
            self.assertRegex(about["instance"], "^[0-9a-f]{16}$")

    async def test_all_jobs_that_end_in_one_turn_are_settled_by_one_update(self) -> None:
        worker = self.worker(concurrency=50)

        @worker.handler("resize")
        async def resize(payload: Any, context: cortado.Context) -> Any:
            return {"doubled": payload * 2, "attempt": context.attempt}

        async with serving(worker):
            socket, _ = await self.server.worker()
            socket.send({"type": "jobs", "leases": [entry(f"L{n}", n) for n in range(50)]})
            update = await socket.receive()
            settles = [
                {"lease": f"L{n}", "outcome": "done", "result": {"doubled": n * 2, "attempt": 1}} for n in range(50)
            ]
            self.assertEqual(update["settle"], settles)
            self.assertEqual(update["free"], 50)

    async def test_a_handler_that_is_not_asynchronous_runs_in_a_thread(self) -> None:
        worker = self.worker()
        threads = []

        @worker.handler("resize")
        def resize(payload: Any, context: cortado.Context) -> Any:
            threads.append(threading.current_thread())
            return payload

        async with serving(worker):
            socket, _ = await self.server.worker()
            socket.send({"type": "jobs", "leases": [entry("L", "x")]})
            update = await socket.receive()
            self.assertEqual(update["settle"], [{"lease": "L", "outcome": "done", "result": "x"}])
            self.assertIsNot(threads[0], threading.main_thread())

    async def test_blocking_handlers_run_at_the_same_time(self) -> None:
        worker = self.worker(concurrency=5)
        meeting = threading.Barrier(5, timeout=20)
        worker.add("resize", lambda payload, context: meeting.wait() >= 0)
        async with serving(worker):
            socket, _ = await self.server.worker()
            socket.send({"type": "jobs", "leases": [entry(f"L{n}") for n in range(5)]})
            settled = 0
            while settled < 5:
                update = await socket.receive()
                self.assertTrue(all(it["result"] is True for it in update["settle"]))
                settled += len(update["settle"])

    async def test_every_exception_has_its_outcome(self) -> None:
        worker = self.worker()

        @worker.handler("resize")
        async def resize(payload: str, context: cortado.Context) -> Any:
            if payload == "retry":
                raise cortado.Retry("429 Too Many Requests", after=60)
            if payload == "snooze":
                raise cortado.Snooze(5)
            if payload == "discard":
                raise cortado.Discard("not a PNG")
            if payload == "no JSON":
                return object()
            if payload == "no text":
                return "\ud800"
            if payload == "no number":
                return float("nan")
            if payload == "cancelled":
                raise asyncio.CancelledError
            raise ValueError("out of \udcff paper")

        payloads = ["retry", "snooze", "discard", "no JSON", "no text", "no number", "cancelled", "bug"]
        async with serving(worker):
            socket, _ = await self.server.worker()
            socket.send({"type": "jobs", "leases": [entry(payload, payload) for payload in payloads]})
            settles = {it.pop("lease"): it for it in (await socket.receive())["settle"]}
            retry = {"outcome": "retry", "error": "429 Too Many Requests", "after_ms": 60000}
            self.assertEqual(settles["retry"], retry)
            self.assertEqual(settles["snooze"], {"outcome": "snooze", "delay_ms": 5000})
            self.assertEqual(settles["discard"], {"outcome": "discard", "error": "not a PNG"})
            for payload in ("no JSON", "no text", "no number"):
                self.assertEqual(settles[payload]["outcome"], "retry", payload)
                self.assertIn("is not JSON", settles[payload]["error"])
            self.assertIn("CancelledError", settles["cancelled"]["error"])
            error = settles["bug"]["error"].splitlines()
            self.assertEqual(error[0], "Traceback (most recent call last):")
            self.assertIn("test_worker.py", error[1], "the frames of the client are left out")
            self.assertEqual(error[-1], "ValueError: out of \\udcff paper")

    async def test_notes_come_before_the_end_of_their_attempt(self) -> None:
        worker = self.worker()

        @worker.handler("resize")
        def resize(payload: Any, context: cortado.Context) -> None:
            context.log("first\nsecond")
            context.progress(1, 3)
            context.progress(2, 3, "encoding")
            context.log("careful", stream="stderr")

        async with serving(worker):
            socket, _ = await self.server.worker()
            socket.send({"type": "jobs", "leases": [entry("L")]})
            update = await socket.receive()
            (note,) = update["note"]
            self.assertEqual([it["text"] for it in note["lines"]], ["first", "second", "careful"])
            self.assertEqual(note["lines"][2]["stream"], "stderr")
            self.assertRegex(note["lines"][0]["at"], r"^20\d\d-\d\d-\d\dT.*\.\d\d\dZ$")
            self.assertEqual(note["progress"], {"done": 2, "total": 3, "message": "encoding"})
            self.assertEqual(update["settle"], [{"lease": "L", "outcome": "done"}])

    async def test_notes_of_a_running_handler_do_not_wait_for_the_heartbeat(self) -> None:
        worker = self.worker()

        @worker.handler("resize")
        async def resize(payload: Any, context: cortado.Context) -> None:
            context.log("begun")
            await asyncio.Event().wait()

        async with serving(worker):
            socket, _ = await self.server.worker()
            socket.send({"type": "jobs", "leases": [entry("L")]})
            update = await socket.receive_update()
            self.assertEqual(update["note"][0]["lines"][0]["text"], "begun")
            self.assertNotIn("settle", update)

    async def test_running_leases_are_extended_and_an_idle_worker_pings(self) -> None:
        worker = self.worker()
        ended = asyncio.Event()

        @worker.handler("resize")
        async def resize(payload: Any, context: cortado.Context) -> None:
            await ended.wait()

        async with serving(worker):
            socket, _ = await self.server.worker(heartbeat_ms=20)
            self.assertEqual(await socket.receive(), {"type": "ping"})
            socket.send({"type": "pong"})
            socket.send({"type": "jobs", "leases": [entry("L")]})
            message = await socket.receive()
            while message["type"] == "ping":
                message = await socket.receive()
            self.assertEqual(message["extend"], ["L"])
            self.assertNotIn("free", message)

    async def test_a_ping_of_the_server_is_answered(self) -> None:
        worker = self.worker()
        worker.add("resize", lambda payload, context: None)
        async with serving(worker):
            socket, _ = await self.server.worker()
            socket.send_frame(0x89, b"there?")
            self.assertEqual(await socket.receive_control(), (0xA, b"there?"))

    async def test_a_job_of_a_kind_without_handler_is_given_back(self) -> None:
        worker = self.worker()
        worker.add("resize", lambda payload, context: None)
        async with serving(worker):
            socket, _ = await self.server.worker()
            socket.send({"type": "jobs", "leases": [entry("L", kind="shrink")]})
            update = await socket.receive()
            self.assertEqual(update["settle"], [{"lease": "L", "outcome": "returned"}])

    async def test_large_results_arrive_whole(self) -> None:
        worker = self.worker()

        @worker.handler("resize")
        async def resize(payload: Any, context: cortado.Context) -> Any:
            return payload[::-1]

        text = "ä€x" * 100_000
        async with serving(worker):
            socket, _ = await self.server.worker()
            socket.send({"type": "jobs", "leases": [entry("L", text)]})
            update = await socket.receive()
            self.assertEqual(update["settle"][0]["result"], text[::-1])


class Stopping(WorkerTest):
    """Handlers that are told to stop, one at a time."""

    async def start(self, worker: cortado.Worker, **hello: Any) -> Any:
        socket, _ = await self.server.worker(**hello)
        socket.send({"type": "jobs", "leases": [entry("L")]})
        return socket

    async def test_cancel_reaches_an_asynchronous_handler_as_cancellation(self) -> None:
        worker = self.worker()
        begun = asyncio.Event()

        @worker.handler("resize")
        async def resize(payload: Any, context: cortado.Context) -> None:
            begun.set()
            await asyncio.Event().wait()

        async with serving(worker):
            socket = await self.start(worker)
            await within(begun.wait())
            socket.send({"type": "cancel", "lease": "L"})
            update = await socket.receive()
            self.assertEqual(update["settle"], [{"lease": "L", "outcome": "cancelled"}])
            self.assertEqual(update["free"], 1)

    async def test_a_job_that_is_cancelled_before_its_handler_begins_is_settled(self) -> None:
        worker = self.worker()

        @worker.handler("resize")
        async def resize(payload: Any, context: cortado.Context) -> None:
            await asyncio.Event().wait()

        async with serving(worker):
            socket, _ = await self.server.worker()
            # Both arrive in one turn of the loop.
            socket.send({"type": "jobs", "leases": [entry("L")]})
            socket.send({"type": "cancel", "lease": "L"})
            update = await socket.receive()
            self.assertEqual(update["settle"], [{"lease": "L", "outcome": "cancelled"}])

    async def test_cancel_reaches_a_handler_in_a_thread_by_its_context(self) -> None:
        worker = self.worker()
        begun = threading.Event()

        @worker.handler("resize")
        def resize(payload: Any, context: cortado.Context) -> None:
            begun.set()
            while True:
                context.check_cancelled()
                threading.Event().wait(0.001)

        async with serving(worker):
            socket = await self.start(worker)
            await within(asyncio.to_thread(begun.wait))
            socket.send({"type": "cancel", "lease": "L"})
            update = await socket.receive()
            self.assertEqual(update["settle"], [{"lease": "L", "outcome": "cancelled"}])

    async def test_a_handler_may_finish_although_it_was_told_to_stop(self) -> None:
        worker = self.worker()
        begun = asyncio.Event()

        @worker.handler("resize")
        async def resize(payload: Any, context: cortado.Context) -> Any:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return {"cancelled": context.cancelled}

        async with serving(worker):
            socket = await self.start(worker)
            await within(begun.wait())
            socket.send({"type": "cancel", "lease": "L"})
            update = await socket.receive()
            self.assertEqual(update["settle"], [{"lease": "L", "outcome": "done", "result": {"cancelled": True}}])

    async def test_nothing_is_reported_about_a_lost_lease_and_its_slot_is_free(self) -> None:
        worker = self.worker()
        stopped = asyncio.Event()

        @worker.handler("resize")
        async def resize(payload: Any, context: cortado.Context) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()

        async with serving(worker):
            socket = await self.start(worker)
            socket.send({"type": "jobs", "leases": []})
            socket.send({"type": "ping-pong of a newer server"})
            socket.send({"type": "jobs", "leases": [entry("other", kind="shrink")]})
            socket.confirm(await socket.receive())
            socket.send({"type": "lost", "lease": "L"})
            await within(stopped.wait())
            update = await socket.receive()
            self.assertNotIn("settle", update)
            self.assertEqual(update["free"], 1)

    async def test_nothing_is_reported_about_a_lost_lease_however_its_handler_ends(self) -> None:
        def fails() -> Any:
            raise ValueError("the clean-up failed")

        async def outlives(end: Callable[[], Any]) -> None:
            worker = self.worker()
            begun = asyncio.Event()

            @worker.handler("resize")
            async def resize(payload: Any, context: cortado.Context) -> Any:
                begun.set()
                try:
                    return await asyncio.Event().wait()
                except asyncio.CancelledError:
                    return end()

            async with serving(worker):
                socket = await self.start(worker)
                await within(begun.wait())
                socket.send({"type": "lost", "lease": "L"})
                update = await socket.receive()
                self.assertNotIn("settle", update)
                self.assertEqual(update["free"], 1)

        await outlives(fails)
        await outlives(lambda: "done all the same")

    async def test_the_answer_to_an_extension_can_cancel_too(self) -> None:
        worker = self.worker()

        @worker.handler("resize")
        async def resize(payload: Any, context: cortado.Context) -> None:
            await asyncio.Event().wait()

        async with serving(worker):
            socket = await self.start(worker, heartbeat_ms=20)
            message = await socket.receive()
            while message["type"] == "ping":
                message = await socket.receive()
            socket.confirm(message, L="cancel")
            update = await socket.receive_update()
            self.assertEqual(update["settle"], [{"lease": "L", "outcome": "cancelled"}])


class Misuse(unittest.TestCase):
    def test_wrong_settings_are_refused(self) -> None:
        for wrong in (
            {"concurrency": 0},
            {"transport": "pigeon"},
            {"queues": "default"},
            {"queues": []},
        ):
            with self.subTest(wrong), self.assertRaises(ValueError):
                cortado.Worker("http://127.0.0.1:1", **wrong)

    def test_a_worker_without_handlers_does_not_run(self) -> None:
        with self.assertRaises(ValueError):
            cortado.Worker("http://127.0.0.1:1").run()

    def test_a_kind_has_one_handler(self) -> None:
        worker = cortado.Worker("http://127.0.0.1:1")
        worker.add("resize", lambda payload, context: None)
        with self.assertRaises(ValueError):
            worker.add("resize", lambda payload, context: None)

    def test_names_differ_although_host_and_process_are_the_same(self) -> None:
        names = {cortado.Worker("http://127.0.0.1:1").name for _ in range(3)}
        self.assertEqual(len(names), 3)
        for name in names:
            self.assertRegex(name, rf":{os.getpid()}:[0-9a-f]{{6}}$")


if __name__ == "__main__":
    unittest.main()
