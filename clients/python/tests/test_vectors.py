"""The vectors of the worker protocol, which the server and all clients share: every message of a worker can be
produced, and every message of a server is understood, also when it has members that this version does not know."""

from __future__ import annotations

import asyncio
import json
import unittest
from datetime import datetime, timezone
from typing import Any

from fake_server import ServerSocket
from support import entry, until, vectors, with_unknown_members, within
from worker_test import WorkerTest, serving

from cortado._json import parse_time
from cortado.worker import messages
from cortado.worker.context import Context

MESSAGES = vectors("messages")


def settle(members: dict[str, Any]) -> bytes:
    lease, outcome = members["lease"], members["outcome"]
    if outcome == "done":
        return messages.done(lease, members.get("result"))
    if outcome == "retry":
        after = members.get("after_ms")
        return messages.retry(lease, members["error"], None if after is None else after / 1000)
    if outcome == "snooze":
        return messages.snooze(lease, members["delay_ms"] / 1000)
    if outcome == "discard":
        return messages.discard(lease, members["error"])
    return {"cancelled": messages.cancelled, "returned": messages.returned}[outcome](lease)


def note(members: dict[str, Any]) -> bytes:
    lines = []
    for line in members.get("lines", ()):
        at = parse_time(line["at"]).timestamp() if "at" in line else None
        lines.append(messages.line(line["text"], line.get("stream", "log"), at))
    progress = members.get("progress")
    if progress is not None:
        progress = messages.progress(progress["done"], progress.get("total"), progress.get("message"))
    return messages.note(members["lease"], lines, progress)


def lists(message: dict[str, Any]) -> list[bytes]:
    notes, settles = map(note, message.get("note", ())), map(settle, message.get("settle", ()))
    return messages.lists(message.get("extend", ()), list(notes), list(settles))


def produce(message: dict[str, Any]) -> bytes:
    kind = message["type"]
    if kind == "ready":
        members = {name: value for name, value in message.items() if name != "type"}
        return messages.ready(**{"queues": None, **members})
    if kind == "update":
        return messages.update(message["id"], lists(message), message.get("free", 0))
    return {"ping": messages.PING, "bye": messages.BYE}[kind]


class Produced(unittest.TestCase):
    def test_every_message_of_a_worker_can_be_produced(self) -> None:
        sent = [vector for vector in MESSAGES if vector["from"] == "worker"]
        self.assertGreaterEqual(len(sent), 10)
        for vector in sent:
            with self.subTest(vector["name"]):
                self.assertEqual(json.loads(produce(vector["message"])), vector["message"])

    def test_every_request_of_a_worker_can_be_produced(self) -> None:
        produced = 0
        for vector in vectors("exchanges"):
            request = vector["request"]
            with self.subTest(vector["name"]):
                body = request.get("body")
                if request["path"].endswith("/claim"):
                    members = {"max_jobs" if name == "max" else name: value for name, value in body.items()}
                    self.assertEqual(json.loads(messages.claim(**{"queues": None, **members})), body)
                elif request["path"] == "/api/v1/leases":
                    self.assertEqual(json.loads(messages.leases(lists(body), body["lease_ms"])), body)
                else:
                    continue  # a callback, or a request without body
                produced += 1
        self.assertEqual(produced, 4)


class Understood(WorkerTest):
    """Sends the messages of the server to a worker that runs jobs, and looks at what it does."""

    async def asyncSetUp(self) -> None:
        await super().asyncSetUp()
        self.started: dict[str, Context] = {}

    async def run_until_stopped(self, payload: Any, context: Context) -> None:
        self.started[context.lease] = context
        await asyncio.Event().wait()

    async def test_every_message_of_a_server_is_understood(self) -> None:
        seen = set()
        for vector in [it for it in MESSAGES if it["from"] == "server"]:
            self.started.clear()
            self.server.forget()
            worker = self.worker(concurrency=20)
            worker.add("resize", self.run_until_stopped)
            message = with_unknown_members(vector["message"])
            seen.add(message["type"])
            with self.subTest(vector["name"]):
                async with serving(worker) as task:
                    await self.understand(message, task)
        self.assertEqual(seen, {"hello", "jobs", "updated", "cancel", "lost", "command", "error", "pong", "bye"})

    async def understand(self, message: dict[str, Any], task: asyncio.Task[None]) -> None:
        kind = message["type"]
        socket = await self.server.socket()
        await socket.receive()
        if kind == "hello":
            socket.send(message)
        else:
            socket.greet()
        leases = [it["lease"] for it in message.get("extend", ())] or [message.get("lease", "L")]
        if kind == "jobs":
            leases = [it["lease"] for it in message["leases"]]
        else:
            socket.send({"type": "jobs", "leases": [entry(lease) for lease in leases]})
        if kind != "hello":
            await self.answers_a_ping(socket)
            socket.send(message)
        if kind == "bye":
            socket.close(1001)
            await self.server.socket()  # it comes back after at most `retry_ms`
            return
        if message.get("command") != "stop":
            await self.answers_a_ping(socket)
        else:
            while (await socket.receive()).get("free") != 0:
                pass  # it takes back its credit
        await until(lambda: len(self.started) == len(leases))
        reasons = {lease: context.stop_reason for lease, context in self.started.items() if context.stop_reason}
        told = {"cancel": {leases[0]: "cancel"}, "lost": {leases[0]: "lost"}}.get(kind, {})
        if kind == "updated":
            told = {it["lease"]: it["status"] for it in message["extend"] if it["status"] != "kept"}
        self.assertEqual(reasons, told)
        if kind == "jobs":
            job = self.started[leases[0]].job
            self.assertEqual((job.kind, job.payload["width"], job.tags), ("resize", 640, ("blue",)))
            self.assertEqual((job.timeout_ms, job.max_attempts, job.attempt), (60000, 25, 1))
            self.assertEqual(job.enqueued_at, datetime(2026, 11, 23, 8, tzinfo=timezone.utc))
        self.assertFalse(task.done())

    async def answers_a_ping(self, socket: ServerSocket) -> None:
        """The worker has handled everything before it answers."""
        socket.send_frame(0x89, b"")
        while (await socket.receive_control())[0] != 0xA:
            pass

    async def test_every_answer_over_http_is_understood(self) -> None:
        for vector in vectors("exchanges"):
            answer = with_unknown_members(vector["response"]["body"])
            path = vector["request"]["path"]
            if path.count("/") == 4:
                continue  # a callback
            self.started.clear()
            self.server.forget()
            worker = self.worker(transport="http", lease=0.05 if path == "/api/v1/leases" else 30)
            worker.add("resize", self.run_until_stopped)
            with self.subTest(vector["name"]):
                async with serving(worker) as task:
                    claim = await self.server.request("/claim")
                    if path.endswith("/claim"):
                        claim.answer(200, answer)
                        await until(lambda: len(self.started) == len(answer["leases"]))  # noqa: B023
                        if answer.get("command") == "stop":
                            (await self.server.request("/web-1")).answer(200, {"returned": 0})
                            await within(task)
                            continue
                    elif path == "/api/v1/leases":
                        lease = answer["extend"][0]["lease"]
                        claim.answer(200, {"leases": [entry(lease)]})
                        (await self.server.request("/leases")).answer(200, answer)
                        await self.server.request("/leases")  # the next heartbeat
                        self.assertIsNone(self.started[lease].stop_reason)
                    else:
                        worker.stop()
                        (await self.server.request("/web-1")).answer(200, answer)
                        await within(task)
                        continue
                    self.assertFalse(task.done())


if __name__ == "__main__":
    unittest.main()
