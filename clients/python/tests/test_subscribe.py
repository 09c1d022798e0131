"""Subscriptions to the event stream, against a fake server. Both clients run the same tests."""

from __future__ import annotations

import asyncio
import unittest
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qsl

from fake_server import FakeServer, ServerSocket
from support import in_thread, within

import cortado


def event(seq: int, kind: str = "job.completed", **members: Any) -> dict[str, Any]:
    job = {"id": "j", "queue": "mail", "kind": "echo", "state": "completed", "attempt": 1, "tags": ["a"]}
    return {"seq": seq, "at": "2026-11-23T08:00:00.250Z", "type": kind, "job": job, **members}


def events(*numbers: int) -> dict[str, Any]:
    return {"type": "events", "events": [event(number) for number in numbers], "cursor": f"e:{numbers[-1]}"}


HELLO = {"type": "hello", "epoch": "e", "cursor": "e:40", "heartbeat_ms": 10000}


class SubscriptionTests:
    server: FakeServer

    def subscribe(self, **options: Any) -> Any:
        raise NotImplementedError

    def next(self, subscription: Any) -> asyncio.Future[Any]:
        raise NotImplementedError

    async def asyncSetUp(self) -> None:
        self.server = await FakeServer().__aenter__()
        self.addAsyncCleanup(self.server.__aexit__)

    async def connect(self, query: list[tuple[str, str]]) -> ServerSocket:
        socket = await self.server.socket()
        self.assertEqual(socket.path, "/api/v1/ws")
        self.assertEqual(parse_qsl(socket.query), query)
        socket.send(HELLO)
        return socket

    async def test_events_are_filtered_and_the_cursor_moves_with_the_last_one_of_a_message(self) -> None:
        subscription = self.subscribe(after="e:40", queue=["mail", "web"], type="job.*")
        item = self.next(subscription)
        socket = await self.connect([("queue", "mail"), ("queue", "web"), ("type", "job.*"), ("after", "e:40")])
        self.assertEqual(socket.headers["sec-websocket-protocol"], "cortado.v1+json")
        self.assertEqual(socket.headers["authorization"], "Bearer cortado_secret")
        socket.send({"type": "stats of a newer server"})
        socket.send(events(41, 43))
        first = await within(item)
        self.assertEqual((first.seq, first.type, first.job.tags), (41, "job.completed", ("a",)))
        self.assertEqual(first.at, datetime(2026, 11, 23, 8, 0, 0, 250_000, tzinfo=timezone.utc))
        self.assertEqual(subscription.cursor, "e:40")
        self.assertEqual((await within(self.next(subscription))).seq, 43)
        self.assertEqual(subscription.cursor, "e:43")

    async def test_a_gap_is_an_item(self) -> None:
        subscription = self.subscribe(after="old:1")
        item = self.next(subscription)
        socket = await self.connect([("after", "old:1")])
        socket.send({"type": "gap", "from": "old:1", "to": "e:45"})
        self.assertEqual(await within(item), cortado.Gap("old:1", "e:45"))
        self.assertEqual(subscription.cursor, "e:45")

    async def test_a_lost_connection_continues_at_the_cursor(self) -> None:
        subscription = self.subscribe()
        item = self.next(subscription)
        socket = await self.connect([])
        socket.send(events(41))
        self.assertEqual((await within(item)).seq, 41)
        item = self.next(subscription)
        socket.send({"type": "mark", "cursor": "e:50"})
        socket.drop()
        socket = await self.server.socket()
        # What was not read before the connection broke comes again.
        self.assertIn(socket.query, ("after=e%3A41", "after=e%3A50"))
        socket.send(HELLO)
        socket.send({"type": "bye", "why": "stopping", "retry_ms": 1})
        socket.close(1001)
        socket = await self.server.socket()
        socket.send(HELLO)
        socket.send(events(51))
        self.assertEqual((await within(item)).seq, 51)

    async def test_a_subscription_without_events_resumes_where_it_began(self) -> None:
        subscription = self.subscribe()
        item = self.next(subscription)
        socket = await self.connect([])
        socket.send_frame(0x89, b"there?")
        self.assertEqual(await socket.receive_control(), (0xA, b"there?"))
        socket.close(1013)
        socket = await self.connect([("after", "e:40")])
        socket.send(events(41))
        await within(item)

    async def test_a_refused_filter_is_an_error(self) -> None:
        self.server.refuses_sockets = True
        item = self.next(self.subscribe(type="nonsense"))
        (await self.server.request("/ws")).refuse(400, "invalid_parameter")
        with self.assertRaises(cortado.ApiError) as raised:
            await within(item)
        self.assertEqual(raised.exception.code, "invalid_parameter")

    async def test_a_full_server_is_asked_again(self) -> None:
        self.server.refuses_sockets = True
        item = self.next(self.subscribe())
        request = await self.server.request("/ws")
        self.server.refuses_sockets = False
        request.refuse(503, "sockets_full", Retry_After="0")
        socket = await self.connect([])
        socket.send(events(41))
        await within(item)

    async def test_a_revoked_token_is_an_error(self) -> None:
        item = self.next(self.subscribe())
        socket = await self.connect([])
        socket.close(1008, "revoked")
        with self.assertRaises(cortado.ConnectionFailed) as raised:
            await within(item)
        self.assertEqual(raised.exception.close_code, 1008)
        self.assertIn("revoked", str(raised.exception))

    async def test_an_empty_filter_is_a_mistake(self) -> None:
        with self.assertRaises(ValueError):
            self.next(self.subscribe(queue=[]))


class ForThreads(SubscriptionTests, unittest.IsolatedAsyncioTestCase):
    def subscribe(self, **options: Any) -> Any:
        client = cortado.Client(self.server.url, "cortado_secret")
        self.addCleanup(client.close)
        subscription = client.subscribe(**options)
        self.addCleanup(subscription.close)
        return subscription

    def next(self, subscription: Any) -> asyncio.Future[Any]:
        return in_thread(next, subscription)


class ForAsyncio(SubscriptionTests, unittest.IsolatedAsyncioTestCase):
    def subscribe(self, **options: Any) -> Any:
        client = cortado.AsyncClient(self.server.url, "cortado_secret")
        subscription = client.subscribe(**options)
        self.addAsyncCleanup(subscription.close)
        return subscription

    def next(self, subscription: Any) -> asyncio.Future[Any]:
        return asyncio.ensure_future(subscription.__anext__())

    async def test_a_wait_that_is_given_up_loses_no_event_and_keeps_the_connection(self) -> None:
        subscription = self.subscribe()
        item = self.next(subscription)
        socket = await self.connect([])
        socket.send(events(41))
        await within(item)
        item = self.next(subscription)
        socket.send_frame(0x89, b"")
        await socket.receive_control()  # it reads, so it waits
        item.cancel()
        await asyncio.wait({item})
        item = self.next(subscription)
        socket.send(events(42))
        self.assertEqual((await within(item)).seq, 42)
        self.assertEqual(self.server.connections, 1)

    async def test_events_that_nobody_reads_do_not_pile_up(self) -> None:
        subscription = self.subscribe()
        item = self.next(subscription)
        socket = await self.connect([])
        socket.send(events(41))
        await within(item)
        transport = subscription._socket._transport
        self.assertFalse(transport.is_reading())
        item = self.next(subscription)
        socket.send(events(42))
        self.assertEqual((await within(item)).seq, 42)


if __name__ == "__main__":
    unittest.main()
