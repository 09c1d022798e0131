"""The clients for threads and for asyncio, against a fake server. Both run the same tests."""

from __future__ import annotations

import asyncio
import inspect
import threading
import unittest
from datetime import datetime, timedelta, timezone
from typing import Any
from unittest.mock import patch

from fake_server import FakeServer
from support import in_thread, job, within

import cortado


class ClientTests:
    """The tests. Subclasses say which client they are for."""

    server: FakeServer

    def start(self, method: str, *args: Any, **options: Any) -> asyncio.Future[Any]:
        raise NotImplementedError

    def make(self, **options: Any) -> None:
        raise NotImplementedError

    async def asyncSetUp(self) -> None:
        self.server = await FakeServer().__aenter__()
        self.addAsyncCleanup(self.server.__aexit__)
        self.make()

    async def test_a_submission_has_only_what_was_given(self) -> None:
        call = self.start("submit", "echo", {"to": "ä"}, idempotency_key="k")
        request = await self.server.request("/jobs")
        self.assertEqual((request.method, request.path, request.query), ("POST", "/api/v1/jobs", ""))
        self.assertEqual(request.headers["authorization"], "Bearer cortado_secret")
        self.assertEqual(request.body, {"kind": "echo", "payload": {"to": "ä"}, "idempotency_key": "k"})
        request.answer(202, job(idempotency_key="k", added_later=1))
        found = await within(call)
        self.assertEqual((found.kind, found.state, found.existing), ("echo", "available", False))
        self.assertEqual(found.enqueued_at, datetime(2026, 11, 23, 8, tzinfo=timezone.utc))
        self.assertEqual(found.raw["added_later"], 1)

    async def test_durations_are_seconds_or_timedeltas(self) -> None:
        call = self.start(
            "submit",
            "echo",
            queue="mail",
            priority=-3,
            delay=timedelta(minutes=2),
            max_attempts=3,
            backoff=cortado.Backoff(base=0.5, cap=60),
            timeout=1.5,
            tags=("a", "b"),
        )
        request = await self.server.request("/jobs")
        self.assertEqual(len(request.body.pop("idempotency_key")), 32)
        expected = {"kind": "echo", "queue": "mail", "priority": -3, "delay_ms": 120000, "max_attempts": 3}
        expected.update(backoff={"base_ms": 500, "cap_ms": 60000}, timeout_ms=1500, tags=["a", "b"])
        self.assertEqual(request.body, expected)
        request.answer(202, job())
        await within(call)

    async def test_a_start_needs_a_time_zone(self) -> None:
        with self.assertRaises(ValueError):
            await within(self.start("submit", "echo", run_at=datetime(2026, 11, 23)))

    async def test_a_submission_whose_answer_was_lost_is_repeated_with_the_same_key(self) -> None:
        call = self.start("submit", "echo")
        first = await self.server.request("/jobs")
        first.drop()
        second = await self.server.request("/jobs")
        second.refuse(503, "timed_out")
        third = await self.server.request("/jobs")
        self.assertEqual(first.body, third.body)
        third.answer(200, job(existing=True))
        self.assertTrue((await within(call)).existing)

    async def test_many_jobs_are_one_request_and_each_has_a_key(self) -> None:
        call = self.start("submit_many", [cortado.Submission("echo", n) for n in range(3)])
        request = await self.server.request("/jobs")
        self.assertEqual([it["payload"] for it in request.body], [0, 1, 2])
        self.assertEqual(len({it["idempotency_key"] for it in request.body}), 3)
        request.answer(202, {"jobs": [job(id=f"id{n}") for n in range(3)]})
        self.assertEqual([it.id for it in await within(call)], ["id0", "id1", "id2"])

    async def test_a_submission_can_wait_for_the_end(self) -> None:
        call = self.start("submit", "echo", wait=1.5)
        request = await self.server.request("/jobs")
        self.assertEqual(request.query, "wait=1500ms")
        error = {"class": "error", "message": "Traceback", "summary": "ValueError"}
        request.answer(200, job(state="discarded", error=error, payload=None, result=None))
        found = await within(call)
        self.assertTrue(found.is_final)
        self.assertEqual(found.error, cortado.Failure("error", "Traceback", "ValueError"))

    async def test_a_wait_asks_until_the_job_has_ended(self) -> None:
        call = self.start("wait", "a/b")
        first = await self.server.request("b")
        self.assertEqual((first.path, first.query), ("/api/v1/jobs/a%2Fb", "wait=60000ms"))
        first.answer(202, job(state="running", progress={"done": 1, "total": None, "message": None}))
        (await self.server.request("b")).answer(200, job(state="completed", result=[1, 2]))
        self.assertEqual((await within(call)).result, [1, 2])

    async def test_a_wait_ends_in_time(self) -> None:
        call = self.start("wait", "j", timeout=0)
        request = await self.server.request("/j")
        self.assertEqual(request.query, "")
        request.answer(200, job(state="running"))
        with self.assertRaises(cortado.WaitTimeout) as raised:
            await within(call)
        self.assertEqual(raised.exception.job.state, "running")
        self.assertIsInstance(raised.exception, TimeoutError)

    async def test_a_cancelled_job_may_still_be_running(self) -> None:
        call = self.start("cancel", "j")
        request = await self.server.request("/j/cancel")
        self.assertEqual((request.method, request.body), ("POST", None))
        status = {"id": "j", "state": "running", "attempt": 1, "max_attempts": 5, "cancel_asked": True}
        request.answer(200, status)
        self.assertEqual(await within(call), cortado.Status("j", "running", 1, 5, True))

    async def test_a_refusal_is_an_error_with_every_invalid_field(self) -> None:
        call = self.start("submit", "echo")
        errors = [{"field": "payload.to", "message": "a value is required"}]
        problem = {"code": "invalid_payload", "status": 422, "detail": "payload.to: …", "errors": errors}
        (await self.server.request("/jobs")).answer(422, problem)
        with self.assertRaises(cortado.ApiError) as raised:
            await within(call)
        error = raised.exception
        self.assertEqual((error.code, error.status, error.detail), ("invalid_payload", 422, "payload.to: …"))
        self.assertEqual(error.errors, (cortado.FieldError("payload.to", "a value is required"),))

    async def test_what_a_proxy_answers_is_an_error_too(self) -> None:
        for body in (b"<html>Bad gateway", b"[]", b"\xff"):
            call = self.start("get", "j")
            head = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n" % len(body)
            (await self.server.request("/j")).answer_raw(head + body)
            with self.subTest(body), self.assertRaises(cortado.ApiError) as raised:
                await within(call)
            self.assertEqual((raised.exception.code, raised.exception.status), ("unexpected_response", 404))

    async def test_an_overloaded_server_is_asked_again_when_it_says(self) -> None:
        call = self.start("get", "j")
        (await self.server.request("/j")).refuse(429, "backlog_full", Retry_After="0")
        (await self.server.request("/j")).answer(200, job())
        await within(call)

    async def test_a_server_that_says_later_than_the_caller_has_time_is_not_asked_again(self) -> None:
        call = self.start("get", "j")
        (await self.server.request("/j")).refuse(429, "backlog_full", Retry_After="3600")
        with self.assertRaises(cortado.ApiError) as raised:
            await within(call)
        self.assertEqual(raised.exception.retry_after, 3600)

    async def test_a_server_that_is_not_there_is_an_error_after_the_time_for_retries(self) -> None:
        self.server._server.close()
        await self.server._server.wait_closed()
        self.make(retry_for=0)
        with self.assertRaises(cortado.ConnectionFailed):
            await within(self.start("get", "j"))

    async def test_a_server_that_does_not_answer_is_given_up(self) -> None:
        self.make(retry_for=0, timeout=0.05)
        with self.assertRaises(cortado.ConnectionFailed):
            await within(self.start("get", "j"))

    async def test_a_connection_is_used_again_and_replaced_when_the_server_has_closed_it(self) -> None:
        self.make(retry_for=0)
        for _ in range(3):
            call = self.start("get", "j")
            (await self.server.request("/j")).answer(200, job())
            await within(call)
        self.assertEqual(self.server.connections, 1)
        call = self.start("get", "j")
        (await self.server.request("/j")).drop()  # as if it had been idle for too long
        (await self.server.request("/j")).answer(200, job())
        await within(call)
        self.assertEqual(self.server.connections, 2)

    async def test_chunks_interim_answers_and_answers_until_the_end_are_read(self) -> None:
        body = b'{"id":"j","state":"completed","attempt":1,"max_attempts":5,"kind":"echo","queue":"default"}'
        chunks = b"%x;x=y\r\n%b\r\n%x\r\n%b\r\n0\r\nTrailer: x\r\n\r\n" % (10, body[:10], len(body) - 10, body[10:])
        for answer in (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks,
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body),
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body),
        ):
            call = self.start("get", "j")
            (await self.server.request("/j")).answer_raw(answer)
            with self.subTest(answer[:40]):
                self.assertEqual((await within(call)).state, "completed")

    async def test_a_success_that_is_not_json_is_a_failed_connection(self) -> None:
        self.make(retry_for=0)
        call = self.start("get", "j")
        (await self.server.request("/j")).answer_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>")
        with self.assertRaises(cortado.ConnectionFailed):
            await within(call)

    async def test_an_answer_that_is_not_http_is_a_failed_connection(self) -> None:
        self.make(retry_for=0)
        call = self.start("get", "j")
        (await self.server.request("/j")).answer_raw(b"SSH-2.0-OpenSSH\r\n\r\n")
        with self.assertRaises(cortado.ConnectionFailed):
            await within(call)


class ForThreads(ClientTests, unittest.IsolatedAsyncioTestCase):
    def make(self, **options: Any) -> None:
        self.client = cortado.Client(self.server.url, "cortado_secret", **options)
        self.addCleanup(self.client.close)

    def start(self, method: str, *args: Any, **options: Any) -> asyncio.Future[Any]:
        return in_thread(getattr(self.client, method), *args, **options)

    async def test_threads_share_a_client(self) -> None:
        calls = [self.start("get", f"j{n}") for n in range(4)]
        requests = [await self.server.request(f"/j{n}") for n in range(4)]
        for request in requests:
            request.answer(200, job(id=request.path))
        found = await within(asyncio.gather(*calls))
        self.assertEqual([it.id for it in found], [f"/api/v1/jobs/j{n}" for n in range(4)])

    async def test_a_forked_process_opens_connections_of_its_own(self) -> None:
        for process in (1, 1, 2):
            with patch("os.getpid", return_value=process):
                call = self.start("get", "j")
                (await self.server.request("/j")).answer(200, job())
                await within(call)
        self.assertEqual(self.server.connections, 2)


class ForAsyncio(ClientTests, unittest.IsolatedAsyncioTestCase):
    def make(self, **options: Any) -> None:
        self.client = cortado.AsyncClient(self.server.url, "cortado_secret", **options)
        self.addAsyncCleanup(self.client.close)

    def start(self, method: str, *args: Any, **options: Any) -> asyncio.Future[Any]:
        return asyncio.ensure_future(getattr(self.client, method)(*args, **options))

    async def test_a_cancelled_call_leaves_no_half_read_connection(self) -> None:
        call = self.start("get", "j")
        await self.server.request("/j")
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        call = self.start("get", "k")
        (await self.server.request("/k")).answer(200, job(id="k"))
        self.assertEqual((await within(call)).id, "k")


class Signatures(unittest.TestCase):
    def test_both_clients_have_the_same_methods_with_the_same_parameters_and_documentation(self) -> None:
        for name in ("submit", "submit_many", "get", "wait", "cancel", "subscribe"):
            blocking, asynchronous = getattr(cortado.Client, name), getattr(cortado.AsyncClient, name)
            self.assertEqual(inspect.signature(blocking), inspect.signature(asynchronous), name)
            self.assertEqual(inspect.getdoc(blocking), inspect.getdoc(asynchronous), name)
            self.assertTrue(inspect.getdoc(blocking), name)
            self.assertEqual(blocking.__name__, name)
        self.assertEqual(str(inspect.signature(cortado.Client.get)), "(self, job_id: 'str') -> 'Job'")
        self.assertEqual(str(inspect.signature(cortado.Client.submit_many)).partition("-> ")[2], "'list[Job]'")
        with cortado.Client("http://127.0.0.1:1") as client:
            self.assertEqual(str(inspect.signature(client.get)), "(job_id: 'str') -> 'Job'")
            with self.assertRaisesRegex(TypeError, "unknown"):
                client.submit("echo", unknown=1)


class Tokens(unittest.TestCase):
    def test_a_token_that_would_break_the_header_is_refused(self) -> None:
        for client in (cortado.Client, cortado.AsyncClient):
            with self.assertRaises(ValueError):
                client("http://127.0.0.1:1", "a\r\nb: c")

    def test_threads_are_not_needed_to_create_a_client(self) -> None:
        before = threading.active_count()
        cortado.Client("http://127.0.0.1:1").close()
        self.assertEqual(threading.active_count(), before)


if __name__ == "__main__":
    unittest.main()
