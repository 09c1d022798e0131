"""The worker over HTTP, against a fake server."""

from __future__ import annotations

import asyncio
import unittest
from typing import Any
from unittest.mock import patch

from support import entry, refused_delays, until, within
from worker_test import WorkerTest, serving

import cortado


class OverHttp(WorkerTest):
    def worker(self, **options: Any) -> cortado.Worker:
        return super().worker(transport="http", **options)

    async def test_a_worker_claims_as_many_jobs_as_it_has_slots_and_settles_them_together(self) -> None:
        worker = self.worker(concurrency=3, queues=["mail"])

        @worker.handler("resize")
        async def resize(payload: Any, context: cortado.Context) -> Any:
            return payload + 1

        async with serving(worker):
            claim = await self.server.request("/claim")
            self.assertEqual(claim.path, "/api/v1/workers/web-1/claim")
            self.assertEqual(claim.headers["authorization"], "Bearer cortado_secret")
            self.assertEqual((claim.body["max"], claim.body["queues"]), (3, ["mail"]))
            self.assertEqual(claim.body["kinds"], ["resize"])
            claim.answer(200, {"leases": [entry("L1", 1), entry("L2", 2)]})
            report = await self.server.request("/leases")
            self.assertEqual([it["result"] for it in report.body["settle"]], [2, 3])
            claim = await self.server.request("/claim")
            self.assertEqual(claim.body["max"], 3)

    async def test_no_claim_is_made_without_a_slot(self) -> None:
        worker = self.worker(concurrency=1, lease=0.06)
        ended = asyncio.Event()

        @worker.handler("resize")
        async def resize(payload: Any, context: cortado.Context) -> Any:
            await ended.wait()

        async with serving(worker):
            (await self.server.request("/claim")).answer(200, {"leases": [entry("L")]})
            beat = await self.server.request("/leases")
            self.assertEqual((beat.body["extend"], beat.body["lease_ms"]), (["L"], 60))
            self.assertFalse(self.server.has_request("/claim"))
            beat.answer(200, {"extend": [{"lease": "L", "status": "kept"}], "settle": []})
            ended.set()
            await self.server.request("/claim")

    async def test_the_answer_to_a_heartbeat_cancels(self) -> None:
        worker = self.worker(lease=0.06)

        @worker.handler("resize")
        async def resize(payload: Any, context: cortado.Context) -> Any:
            await asyncio.Event().wait()

        async with serving(worker):
            (await self.server.request("/claim")).answer(200, {"leases": [entry("L")]})
            beat = await self.server.request("/leases")
            beat.answer(200, {"extend": [{"lease": "L", "status": "cancel"}], "settle": []})
            report = await self.server.request("/leases")
            self.assertEqual(report.body["settle"], [{"lease": "L", "outcome": "cancelled"}])

    async def test_a_settle_is_sent_until_it_is_answered(self) -> None:
        worker = self.worker()
        worker.add("resize", lambda payload, context: "r")
        async with serving(worker):
            (await self.server.request("/claim")).answer(200, {"leases": [entry("L")]})
            first = await self.server.request("/leases")
            first.drop()
            second = await self.server.request("/leases")
            second.refuse(503, "store_unavailable")
            third = await self.server.request("/leases")
            self.assertEqual(first.body, third.body)

    async def test_one_wrong_settle_does_not_keep_others_from_being_settled(self) -> None:
        worker = self.worker()

        @worker.handler("resize")
        async def resize(payload: Any, context: cortado.Context) -> Any:
            return payload

        async with serving(worker):
            (await self.server.request("/claim")).answer(200, {"leases": [entry(f"L{n}", n) for n in range(3)]})
            (await self.server.request("/leases")).refuse(422, "invalid_fields")
            outcomes = {}
            while len(outcomes) < 3:
                report = await self.server.request("/leases")
                (settle,) = report.body["settle"]
                if settle["lease"] == "L1" and settle["outcome"] == "done":
                    report.refuse(413, "body_too_large")
                    continue
                outcomes[settle["lease"]] = settle["outcome"]
                report.answer(200, {"extend": [], "settle": [{"lease": settle["lease"], "status": "settled"}]})
            self.assertEqual(outcomes, {"L0": "done", "L1": "retry", "L2": "done"})

    async def test_a_server_that_stops_is_asked_again(self) -> None:
        worker = self.worker()
        worker.add("resize", lambda payload, context: None)
        async with serving(worker):
            (await self.server.request("/claim")).refuse(503, "draining", Retry_After="0")
            (await self.server.request("/claim")).drop()
            await self.server.request("/claim")

    async def test_a_wrong_token_ends_the_worker(self) -> None:
        worker = self.worker()
        worker.add("resize", lambda payload, context: None)
        async with serving(worker) as task:
            (await self.server.request("/claim")).refuse(403, "forbidden")
            with self.assertRaises(cortado.ApiError):
                await within(task)

    async def test_a_token_that_is_revoked_later_is_tried_again_and_logged_once_by_claims_and_reports(self) -> None:
        worker = self.worker()
        worker.add("resize", lambda payload, context: "r")
        with patch("cortado.worker.link.REFUSED_FIRST", 0.001), self.assertLogs("cortado.worker") as logs:
            async with serving(worker):
                (await self.server.request("/claim")).answer(200, {"leases": [entry("L")]})
                for _ in range(3):
                    (await self.server.request("/leases")).refuse(401, "unauthorized")
                    (await self.server.request("/claim")).refuse(403, "forbidden")
                report = await self.server.request("/leases")
                self.assertEqual(report.body["settle"], [{"lease": "L", "outcome": "done", "result": "r"}])
                report.answer(200, {"settle": [{"lease": "L", "status": "settled"}]})
                (await self.server.request("/claim")).answer(200, {"leases": []})
        said = [line for line in logs.output if "no longer accepts the token" in line]
        self.assertEqual(sorted("could not claim" in line for line in said), [False, True], logs.output)

    async def test_a_refused_token_is_tried_again_after_a_long_time(self) -> None:
        worker = self.worker()
        worker.add("resize", lambda payload, context: "r")
        with self.assertLogs("cortado.worker") as logs:
            async with serving(worker):
                (await self.server.request("/claim")).answer(200, {"leases": [entry("L")]})
                (await self.server.request("/leases")).refuse(401, "unauthorized")
                (await self.server.request("/claim")).refuse(401, "unauthorized")
                await until(lambda: len(refused_delays(logs.output)) == 2)
        self.assertGreaterEqual(min(refused_delays(logs.output)), 5.0)

    async def test_a_report_that_a_proxy_refuses_is_sent_again_unchanged(self) -> None:
        worker = self.worker()
        worker.add("resize", lambda payload, context: "r")
        async with serving(worker):
            (await self.server.request("/claim")).answer(200, {"leases": [entry("L")]})
            first = await self.server.request("/leases")
            first.refuse(404, "not_found")
            self.assertEqual((await self.server.request("/leases")).body, first.body)

    async def test_a_stop_settles_what_ends_and_signs_off(self) -> None:
        worker = self.worker()
        ended = asyncio.Event()

        @worker.handler("resize")
        async def resize(payload: Any, context: cortado.Context) -> Any:
            context.log("bye")
            await ended.wait()

        async with serving(worker) as task:
            (await self.server.request("/claim")).answer(200, {"leases": [entry("L")]})
            claim = await self.server.request("/claim")
            with self.assertLogs("cortado.worker", "INFO") as logs:
                worker.stop()
                await until(lambda: any("stopping: 1 jobs" in line for line in logs.output))
            claim.answer(200, {"leases": [entry("late")]})  # nobody waits for it: the sign-off gives it back
            ended.set()
            settled: list[str] = []
            while not settled:
                report = await self.server.request("/leases")
                settled = [it["lease"] for it in report.body.get("settle", ())]
                report.answer(200, {"settle": [{"lease": lease, "status": "settled"} for lease in settled]})
            self.assertEqual(settled, ["L"])
            goodbye = await self.server.request("/web-1")
            self.assertEqual((goodbye.method, goodbye.path), ("DELETE", "/api/v1/workers/web-1"))
            goodbye.answer(200, {"returned": 0})
            await within(task)

    async def test_a_quiet_worker_asks_with_pauses_until_it_is_resumed(self) -> None:
        worker = self.worker()
        worker.add("resize", lambda payload, context: None)
        pauses = []

        class Recorded(cortado.worker.http_link.Backoff):
            def next_delay(self) -> float:
                pauses.append(super().next_delay())
                return 0.0

        with patch("cortado.worker.http_link.Backoff", Recorded):
            async with serving(worker):
                for _ in range(4):
                    (await self.server.request("/claim")).answer(200, {"leases": [], "command": "quiet"})
                (await self.server.request("/claim")).answer(200, {"leases": [entry("L")]})
                await self.server.request("/leases")
        self.assertEqual(len(pauses), 4)
        self.assertGreater(pauses[3], pauses[0])


if __name__ == "__main__":
    unittest.main()
