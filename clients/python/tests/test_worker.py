"""The worker over WebSocket, against a fake server."""

from __future__ import annotations

import asyncio
import threading
import unittest
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fake_server import FakeServer
from support import entry, until, within

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


class Reconnecting(WorkerTest):
    async def test_a_reconnect_names_the_leases_that_are_held_and_sends_unconfirmed_settles_again(self) -> None:
        worker = self.worker(concurrency=4)
        ended = asyncio.Event()

        @worker.handler("resize")
        async def resize(payload: Any, context: cortado.Context) -> Any:
            if payload == "slow":
                await ended.wait()
            return payload

        async with serving(worker):
            socket, _ = await self.server.worker()
            socket.send({"type": "jobs", "leases": [entry("L1", "fast"), entry("L2", "slow"), entry("L3", "slow")]})
            first = await socket.receive()
            self.assertEqual(first["settle"], [{"lease": "L1", "outcome": "done", "result": "fast"}])
            socket.drop()  # the answer is lost

            socket = await self.server.socket()
            ready = await socket.receive()
            self.assertEqual(sorted(ready["held"]), ["L1", "L2", "L3"])
            self.assertEqual(ready["free"], 2)
            held = [{"lease": "L1", "status": "lost"}, {"lease": "L2", "status": "kept"}]
            socket.greet(held=[*held, {"lease": "L3", "status": "lost"}])
            again = await socket.receive()
            self.assertEqual(again["settle"], first["settle"])
            self.assertNotEqual(again["id"], first["id"])
            socket.confirm(again)
            ended.set()
            last = await socket.receive()
            while "settle" not in last:  # the slot of the lost lease
                last = await socket.receive()
            self.assertEqual([it["lease"] for it in last["settle"]], ["L2"])

    async def test_notes_without_an_answer_are_sent_again(self) -> None:
        worker = self.worker()

        @worker.handler("resize")
        async def resize(payload: Any, context: cortado.Context) -> Any:
            context.log("once")
            context.progress(1)
            await asyncio.Event().wait()

        async with serving(worker):
            socket, _ = await self.server.worker()
            socket.send({"type": "jobs", "leases": [entry("L")]})
            first = await socket.receive_update()
            socket.drop()
            socket, _ = await self.server.worker(held=[{"lease": "L", "status": "kept"}], heartbeat_ms=20)
            again = await socket.receive_update()
            self.assertEqual(again["note"], first["note"])

    async def test_what_ends_while_the_server_is_away_is_settled_later(self) -> None:
        worker = self.worker()
        ended = asyncio.Event()

        @worker.handler("resize")
        async def resize(payload: Any, context: cortado.Context) -> Any:
            await ended.wait()

        async with serving(worker):
            socket, _ = await self.server.worker()
            socket.send({"type": "jobs", "leases": [entry("L")]})
            socket.send({"type": "bye", "why": "stopping", "retry_ms": 1})
            socket.close(1001)
            ended.set()
            socket, ready = await self.server.worker()
            self.assertEqual(ready["held"], ["L"])
            update = await socket.receive()
            self.assertEqual(update["settle"], [{"lease": "L", "outcome": "done"}])

    async def test_a_silent_server_is_given_up(self) -> None:
        worker = self.worker()
        worker.add("resize", lambda payload, context: None)
        async with serving(worker):
            await self.server.worker(heartbeat_ms=20)
            await self.server.worker()

    async def test_a_wrong_token_ends_the_worker(self) -> None:
        worker = self.worker()
        worker.add("resize", lambda payload, context: None)
        self.server.refuses_sockets = True
        async with serving(worker) as task:
            (await self.server.request("/ws")).refuse(401, "unauthorized", "the token is wrong")
            with self.assertRaises(cortado.ApiError) as raised:
                await within(task)
            self.assertEqual((raised.exception.code, raised.exception.status), ("unauthorized", 401))

    async def test_a_refused_first_message_ends_the_worker(self) -> None:
        worker = self.worker(queues=["a/b"])
        worker.add("resize", lambda payload, context: None)
        async with serving(worker) as task:
            socket = await self.server.socket()
            await socket.receive()
            socket.send({"type": "error", "code": "invalid_fields", "field": "queues[0]", "message": "no such name"})
            with self.assertRaises(cortado.ApiError) as raised:
                await within(task)
            self.assertEqual(raised.exception.code, "invalid_fields")

    async def test_a_server_that_is_overloaded_is_asked_again(self) -> None:
        worker = self.worker()
        worker.add("resize", lambda payload, context: None)
        self.server.refuses_sockets = True
        async with serving(worker):
            exchange = await self.server.request("/ws")
            self.server.refuses_sockets = False
            exchange.refuse(503, "sockets_full", Retry_After="0")
            await self.server.worker()

    async def test_a_token_that_is_revoked_later_does_not_end_the_worker(self) -> None:
        worker = self.worker()
        worker.add("resize", lambda payload, context: None)
        async with serving(worker):
            socket, _ = await self.server.worker()
            self.server.refuses_sockets = True
            socket.close(1008, "revoked")
            exchange = await self.server.request("/ws")
            self.server.refuses_sockets = False
            exchange.refuse(401, "unauthorized")
            await self.server.worker()

    async def test_a_worker_that_is_replaced_ends(self) -> None:
        worker = self.worker()
        stopped = asyncio.Event()

        @worker.handler("resize")
        async def resize(payload: Any, context: cortado.Context) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()

        async with serving(worker) as task:
            socket, _ = await self.server.worker()
            socket.send({"type": "jobs", "leases": [entry("L")]})
            socket.close(4409, "replaced")
            with self.assertRaises(cortado.WorkerReplaced):
                await within(task)
            await within(stopped.wait())

    async def test_a_broken_message_costs_one_connection(self) -> None:
        worker = self.worker()
        worker.add("resize", lambda payload, context: None)
        async with serving(worker):
            for broken in (b"{", b"\xff", b"[]"):
                socket, _ = await self.server.worker()
                socket.send_frame(0x81, broken)
            await self.server.worker()


class Refusals(WorkerTest):
    async def test_a_result_that_the_server_refuses_becomes_a_failure(self) -> None:
        worker = self.worker()

        @worker.handler("resize")
        async def resize(payload: Any, context: cortado.Context) -> Any:
            return payload

        async with serving(worker):
            socket, _ = await self.server.worker()
            socket.send({"type": "jobs", "leases": [entry("L1", 1), entry("L2", 2)]})
            update = await socket.receive()
            settles = [{"lease": "L1", "status": "settled", "state": "completed"}]
            settles.append({"lease": "L2", "status": "invalid", "detail": "the result is too deep"})
            socket.send({"type": "updated", "id": update["id"], "extend": [], "settle": settles})
            second = await socket.receive()
            (settle,) = second["settle"]
            self.assertEqual((settle["lease"], settle["outcome"]), ("L2", "retry"))
            self.assertIn("the result is too deep", settle["error"])
            self.assertNotIn("free", second, "the slot was free already")

    async def test_one_wrong_settle_does_not_keep_others_from_being_settled(self) -> None:
        worker = self.worker()

        @worker.handler("resize")
        async def resize(payload: Any, context: cortado.Context) -> Any:
            return payload

        refusal = {"type": "error", "code": "invalid_fields", "field": "settle", "message": "no"}
        async with serving(worker):
            socket, _ = await self.server.worker()
            socket.send({"type": "jobs", "leases": [entry(f"L{n}", n) for n in range(3)]})
            await socket.receive()
            socket.send(refusal)
            settled: dict[str, str] = {}
            credits = []
            while len(settled) < 3:
                message = await socket.receive()
                if message["type"] == "ready":
                    credits.append(message["free"])
                    continue
                (settle,) = message["settle"]
                if settle["lease"] == "L1" and settle["outcome"] == "done":
                    socket.send(refusal)
                else:
                    settled[settle["lease"]] = settle["outcome"]
                    socket.confirm(message)
            self.assertEqual(settled, {"L0": "done", "L1": "retry", "L2": "done"})
            self.assertEqual(credits, [10, 10], "the credit of the refused messages is not lost")

    async def test_a_message_that_is_too_big_is_not_sent_for_ever(self) -> None:
        worker = self.worker()

        @worker.handler("resize")
        async def resize(payload: Any, context: cortado.Context) -> Any:
            return "x" * payload

        async with serving(worker):
            socket, _ = await self.server.worker()
            socket.send({"type": "jobs", "leases": [entry("L1", 1), entry("L2", 200_000)]})
            await socket.receive()
            socket.close(1009, "too big")
            socket, _ = await self.server.worker()
            update = await socket.receive()
            outcomes = {it["lease"]: it["outcome"] for it in update["settle"]}
            self.assertEqual(outcomes, {"L1": "done", "L2": "retry"})


class GracefulStop(WorkerTest):
    async def test_a_worker_that_is_cancelled_at_any_moment_ends(self) -> None:
        for transport in ("websocket", "http"):
            for turns in range(40):
                self.server.forget()
                worker = self.worker(transport=transport)
                worker.add("resize", lambda payload, context: None)
                task = asyncio.get_running_loop().create_task(worker.serve())
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await within(asyncio.wait({task}))
                self.assertTrue(task.cancelled(), f"{transport}, after {turns} turns")

    async def test_a_stop_takes_the_credit_back_waits_for_handlers_and_signs_off(self) -> None:
        worker = self.worker()
        ended = asyncio.Event()

        @worker.handler("resize")
        async def resize(payload: Any, context: cortado.Context) -> Any:
            await ended.wait()
            return "done"

        async with serving(worker) as task:
            socket, _ = await self.server.worker()
            socket.send({"type": "jobs", "leases": [entry("L")]})
            socket.send({"type": "command", "command": "stop"})
            ready = await socket.receive()
            self.assertEqual((ready["type"], ready["free"], ready["kinds"]), ("ready", 0, ["resize"]))
            socket.send({"type": "jobs", "leases": [entry("late")]})
            late = await socket.receive()
            self.assertEqual(late["settle"], [{"lease": "late", "outcome": "returned"}])
            self.assertNotIn("free", late)
            socket.confirm(late)
            ended.set()
            update = await socket.receive()
            self.assertEqual(update["settle"], [{"lease": "L", "outcome": "done", "result": "done"}])
            socket.confirm(update)
            self.assertEqual(await socket.receive(), {"type": "bye"})
            socket.send({"type": "bye", "why": "signed_off"})
            await within(task)

    async def test_what_is_not_done_in_time_is_given_back(self) -> None:
        worker = self.worker(grace=0.0)
        begun, ended = threading.Event(), threading.Event()
        self.addCleanup(ended.set)

        @worker.handler("resize")
        async def resize(payload: Any, context: cortado.Context) -> Any:
            await asyncio.Event().wait()

        @worker.handler("shrink")
        def shrink(payload: Any, context: cortado.Context) -> Any:
            begun.set()
            ended.wait()  # and ignores `context.cancelled`

        async with serving(worker) as task:
            socket, _ = await self.server.worker()
            socket.send({"type": "jobs", "leases": [entry("L1"), entry("L2", kind="shrink")]})
            await within(asyncio.to_thread(begun.wait))
            worker.stop()
            returned = []
            while len(returned) < 2:
                update = await socket.receive_update()
                if update["type"] == "update":
                    returned += update["settle"]
                    socket.confirm(update)
            self.assertEqual({it["outcome"] for it in returned}, {"returned"})
            self.assertEqual(await socket.receive(), {"type": "bye"})
            socket.send({"type": "bye", "why": "signed_off"})
            await within(task)

    async def test_a_second_stop_does_not_wait(self) -> None:
        worker = self.worker(grace=1000)

        @worker.handler("resize")
        async def resize(payload: Any, context: cortado.Context) -> Any:
            await asyncio.Event().wait()

        async with serving(worker) as task:
            socket, _ = await self.server.worker()
            socket.send({"type": "jobs", "leases": [entry("L")]})
            worker.stop()
            self.assertEqual((await socket.receive())["type"], "ready")
            worker.stop()
            update = await socket.receive()
            self.assertEqual(update["settle"], [{"lease": "L", "outcome": "returned"}])
            socket.confirm(update)
            await socket.receive()
            socket.send({"type": "bye", "why": "signed_off"})
            await within(task)

    async def test_a_stop_while_the_server_is_away_ends(self) -> None:
        worker = self.worker()
        worker.add("resize", lambda payload, context: None)
        async with serving(worker) as task:
            socket, _ = await self.server.worker()
            self.server.refuses_sockets = True
            socket.drop()
            await self.server.request("/ws")
            worker.stop()
            await within(task)

    async def test_a_stop_while_the_server_is_about_to_greet_takes_the_credit_back(self) -> None:
        worker = self.worker()

        @worker.handler("resize")
        async def resize(payload: Any, context: cortado.Context) -> Any:
            await asyncio.Event().wait()

        async with serving(worker):
            socket, _ = await self.server.worker()
            socket.send({"type": "jobs", "leases": [entry("L")]})
            socket.send({"type": "bye", "why": "stopping", "retry_ms": 1})
            socket.close(1001)
            socket = await self.server.socket()
            self.assertEqual((await socket.receive())["free"], 9)
            with self.assertLogs("cortado.worker", "INFO") as logs:
                worker.stop()
                await until(lambda: any("stopping: 1 jobs" in line for line in logs.output))
            socket.greet(held=[{"lease": "L", "status": "kept"}])
            message = await socket.receive()
            self.assertEqual((message["type"], message["free"]), ("ready", 0))

    async def test_a_stop_before_the_start_counts(self) -> None:
        worker = self.worker()
        worker.add("resize", lambda payload, context: None)
        worker.stop()
        await within(worker.serve())

    async def test_a_quiet_worker_goes_on_with_what_it_runs(self) -> None:
        worker = self.worker()
        ended = asyncio.Event()

        @worker.handler("resize")
        async def resize(payload: Any, context: cortado.Context) -> Any:
            await ended.wait()

        async with serving(worker) as task:
            socket, _ = await self.server.worker(command="quiet")
            socket.send({"type": "jobs", "leases": [entry("L")]})
            socket.send({"type": "command", "command": "quiet"})
            socket.send({"type": "command", "command": "resume"})
            ended.set()
            update = await socket.receive()
            self.assertEqual(update["settle"], [{"lease": "L", "outcome": "done"}])
            self.assertEqual(update["free"], 1)
            self.assertFalse(task.done())

    async def test_a_worker_that_should_have_stopped_meanwhile_is_told_at_the_greeting(self) -> None:
        worker = self.worker()
        worker.add("resize", lambda payload, context: None)
        async with serving(worker) as task:
            socket, _ = await self.server.worker(command="stop")
            message = await socket.receive()
            while message["type"] != "bye":
                message = await socket.receive()
            socket.send({"type": "bye", "why": "signed_off"})
            await within(task)


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

    def test_names_differ_within_a_process(self) -> None:
        names = {cortado.Worker("http://127.0.0.1:1").name for _ in range(3)}
        self.assertEqual(len(names), 3)


if __name__ == "__main__":
    unittest.main()
