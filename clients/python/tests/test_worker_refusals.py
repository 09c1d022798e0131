"""What a worker does when the server refuses its token or its messages, over WebSocket, against a fake server."""

from __future__ import annotations

import unittest
from typing import Any
from unittest.mock import patch

from support import entry, refused_delays, until, within
from worker_test import WorkerTest, serving

import cortado
from cortado.errors import ApiError, ConnectionFailed
from cortado.worker.link import Delays


class DelaysOfAttempts(unittest.TestCase):
    def test_a_refused_token_waits_longer_each_time_and_an_outage_does_not(self) -> None:
        revoked, away = ApiError("unauthorized", 401, "no"), ConnectionFailed("gone")
        delays = Delays("connect", 10.0)
        for _ in range(2):
            for attempt in range(10):
                whole = min(300.0, 10.0 * 2**attempt)
                with self.assertLogs("cortado.worker", "INFO") as logs:
                    delay = delays.after(revoked)
                    self.assertTrue(whole / 2 <= delay <= whole, f"{attempt}: {delay}")
                    short = delays.after(away)
                    self.assertTrue(short <= min(10.0, 0.1 * 2**attempt), f"{attempt}: {short}")
                said = [line for line in logs.output if "no longer accepts the token" in line]
                self.assertEqual(len(said), 1 if attempt == 0 else 0)
            delays.reset()


class AtTheConnection(WorkerTest):
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

    async def test_a_token_that_is_revoked_later_is_tried_again_and_logged_once(self) -> None:
        worker = self.worker()
        worker.add("resize", lambda payload, context: None)
        with patch("cortado.worker.link.REFUSED_FIRST", 0.001), self.assertLogs("cortado.worker") as logs:
            async with serving(worker):
                socket, _ = await self.server.worker()
                for times in (1, 2):
                    self.server.refuses_sockets = True
                    socket.close(1008, "revoked")
                    (await self.server.request("/ws")).refuse(401, "unauthorized")
                    (await self.server.request("/ws")).drop()
                    (await self.server.request("/ws")).refuse(403, "forbidden")
                    exchange = await self.server.request("/ws")
                    self.server.refuses_sockets = False
                    exchange.refuse(401, "unauthorized")
                    socket, _ = await self.server.worker()
                    said = [line for line in logs.output if "no longer accepts the token" in line]
                    self.assertEqual(len(said), times, logs.output)

    async def test_a_refused_token_is_tried_again_after_a_long_time_and_a_stop_does_not_wait_for_it(self) -> None:
        worker = self.worker()
        worker.add("resize", lambda payload, context: None)
        with self.assertLogs("cortado.worker") as logs:
            async with serving(worker) as task:
                socket, _ = await self.server.worker()
                self.server.refuses_sockets = True
                socket.close(1008, "revoked")
                (await self.server.request("/ws")).refuse(401, "unauthorized")
                await until(lambda: any("no longer accepts the token" in line for line in logs.output))
                worker.stop()
                await within(task)
        self.assertGreaterEqual(refused_delays(logs.output)[0], 5.0)


class OfMessages(WorkerTest):
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

    async def test_an_error_that_names_its_update_concerns_no_other_one(self) -> None:
        worker = self.worker()

        @worker.handler("resize")
        async def resize(payload: Any, context: cortado.Context) -> Any:
            return payload

        error = {"type": "error", "code": "invalid_fields", "field": "settle[0].result", "message": "no"}
        async with serving(worker):
            socket, _ = await self.server.worker()
            socket.send({"type": "jobs", "leases": [entry("L1", 1)]})
            first = await socket.receive()
            socket.send({"type": "jobs", "leases": [entry("L2", 2)]})
            second = await socket.receive()
            socket.send({**error, "id": second["id"]})
            third = await socket.receive()
            (settle,) = third["settle"]
            self.assertEqual((settle["lease"], settle["outcome"]), ("L2", "retry"))
            self.assertEqual(third["free"], 1, "the server has not counted the credit of what it refused")
            socket.send({**error, "id": 4711})  # an update that is not known changes nothing
            socket.confirm(third)
            socket.confirm(first)
            socket.drop()
            _, ready = await self.server.worker()
            self.assertEqual(ready["held"], [], "nothing is left to be confirmed")

    async def test_an_update_that_a_failing_store_could_not_take_is_sent_again_unchanged(self) -> None:
        worker = self.worker()
        worker.add("resize", lambda payload, context: "done")
        async with serving(worker):
            socket, _ = await self.server.worker()
            socket.send({"type": "jobs", "leases": [entry("L")]})
            for known in ({}, {"id": 0}):
                update = await socket.receive()
                self.assertEqual(update["settle"], [{"lease": "L", "outcome": "done", "result": "done"}])
                error = {"type": "error", "code": "store_unavailable", "message": "the disk is full"}
                socket.send({**error, **{name: update["id"] for name in known}})
                socket.close(1013)
                socket, ready = await self.server.worker()
                self.assertEqual(ready["held"], ["L"])
            update = await socket.receive()
            self.assertEqual(update["settle"], [{"lease": "L", "outcome": "done", "result": "done"}])

    async def test_a_server_that_does_not_answer_reports_is_left(self) -> None:
        worker = self.worker()
        worker.add("resize", lambda payload, context: "done")
        with patch("cortado.worker.socket_link.ANSWER_TIME", 0.0):
            async with serving(worker):
                socket, _ = await self.server.worker(heartbeat_ms=20)
                socket.send({"type": "jobs", "leases": [entry("L")]})
                await socket.receive_update()
                with self.assertRaises((EOFError, ConnectionError)):  # although the server is there: it answers pings
                    await within(socket.receive_update())
                _, ready = await self.server.worker()
                self.assertEqual(ready["held"], ["L"])

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


if __name__ == "__main__":
    unittest.main()
