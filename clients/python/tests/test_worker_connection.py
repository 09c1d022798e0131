"""How a worker reconnects and stops, over WebSocket, against a fake server."""

from __future__ import annotations

import asyncio
import threading
import unittest
from typing import Any

from support import entry, until, within
from worker_test import WorkerTest, serving

import cortado


class Reconnecting(WorkerTest):
    async def test_a_worker_says_the_same_about_itself_as_long_as_it_runs(self) -> None:
        def introduction(about: dict[str, Any]) -> tuple[Any, ...]:
            return (about["host"], about["pid"], about["instance"])

        instances = set()
        for _ in range(2):
            worker = self.worker()
            worker.add("resize", lambda payload, context: None)
            async with serving(worker):
                socket, ready = await self.server.worker()
                socket.drop()
                _, again = await self.server.worker()
                self.assertEqual(introduction(again["about"]), introduction(ready["about"]))
                instances.add(ready["about"]["instance"])
            worker = self.worker(transport="http")
            worker.add("resize", lambda payload, context: None)
            async with serving(worker):
                first = await self.server.request("/claim")
                first.drop()
                second = await self.server.request("/claim")
                self.assertEqual(introduction(second.body["about"]), introduction(first.body["about"]))
                instances.add(first.body["about"]["instance"])
        self.assertEqual(len(instances), 4, "each worker is another one")

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

    async def test_a_server_that_is_overloaded_is_asked_again(self) -> None:
        worker = self.worker()
        worker.add("resize", lambda payload, context: None)
        self.server.refuses_sockets = True
        async with serving(worker):
            exchange = await self.server.request("/ws")
            self.server.refuses_sockets = False
            exchange.refuse(503, "sockets_full", Retry_After="0")
            await self.server.worker()

    async def test_the_delay_that_a_stopping_server_names_counts_once(self) -> None:
        worker = self.worker()
        worker.add("resize", lambda payload, context: None)
        with self.assertLogs("cortado.worker") as logs:
            async with serving(worker):
                socket, _ = await self.server.worker()
                self.server.refuses_sockets = True
                socket.send({"type": "bye", "why": "stopping", "retry_ms": 1})
                socket.close(1001)
                for _ in range(3):
                    (await self.server.request("/ws")).drop()
                await self.server.request("/ws")
        self.assertEqual(sum("could not connect" in line for line in logs.output), 3, logs.output)

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


if __name__ == "__main__":
    unittest.main()
