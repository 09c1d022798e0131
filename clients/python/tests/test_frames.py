"""Frames and handshakes of WebSockets (RFC 6455)."""

from __future__ import annotations

import unittest

import support  # noqa: F401

from cortado._address import Address
from cortado._websocket.frames import BINARY, CLOSE, PING, TEXT, FrameError, FrameReader, frame, mask
from cortado._websocket.handshake import Handshake
from cortado.errors import ApiError, ConnectionFailed

LIMIT = 1_000_000


def server_frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 0x10000:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


class Reading(unittest.TestCase):
    def test_frames_are_read_however_they_are_cut(self) -> None:
        payloads = [b"", b"x", b"y" * 125, b"z" * 126, b"a" * 65535, b"b" * 65536]
        stream = b"".join(server_frame(0x81, payload) for payload in payloads)
        for size in (1, 2, 3, 7, 4096, len(stream)):
            reader = FrameReader(LIMIT)
            messages = []
            for at in range(0, len(stream), size):
                messages += reader.feed(stream[at : at + size])
            self.assertEqual(messages, [(TEXT, payload) for payload in payloads], f"cut every {size} bytes")

    def test_fragments_are_joined_and_control_frames_may_be_between_them(self) -> None:
        reader = FrameReader(LIMIT)
        parts = [(0x01, b"one "), (0x89, b"there?"), (0x00, b"two "), (0x80, b"three"), (0x82, b"\0")]
        messages = reader.feed(b"".join(server_frame(*part) for part in parts))
        self.assertEqual(messages, [(PING, b"there?"), (TEXT, b"one two three"), (BINARY, b"\0")])

    def test_what_breaks_the_protocol_is_refused_with_its_close_code(self) -> None:
        for what, code, stream in (
            ("a masked frame", 1002, frame(TEXT, b"x")),
            ("an extension", 1002, server_frame(0xC1, b"x")),
            ("a continuation of nothing", 1002, server_frame(0x80, b"x")),
            ("a message within a message", 1002, server_frame(0x01, b"x") + server_frame(0x81, b"y")),
            ("an unknown opcode", 1002, server_frame(0x83, b"x")),
            ("a fragmented ping", 1002, server_frame(0x09, b"x")),
            ("a long close", 1002, server_frame(0x80 | CLOSE, b"x" * 126)),
            ("a large message", 1009, bytes((0x81, 127)) + (LIMIT + 1).to_bytes(8, "big")),
            ("large fragments", 1009, server_frame(0x01, b"x" * LIMIT) + server_frame(0x00, b"x")),
        ):
            with self.subTest(what), self.assertRaises(FrameError) as raised:
                FrameReader(LIMIT).feed(stream)
            self.assertEqual(raised.exception.code, code, what)


class Writing(unittest.TestCase):
    def test_the_mask_is_that_of_the_rfc(self) -> None:
        # RFC 6455, section 5.7
        self.assertEqual(mask(b"Hello", bytes.fromhex("37fa213d")), bytes.fromhex("7f9f4d5158"))

    def test_frames_have_the_shortest_head_and_a_fresh_mask(self) -> None:
        for size, head in ((0, 2), (125, 2), (126, 4), (65535, 4), (65536, 10)):
            payload = bytes(at % 251 for at in range(size))
            written = frame(TEXT, payload)
            self.assertEqual(len(written), head + 4 + size)
            self.assertEqual(mask(written[head + 4 :], written[head : head + 4]), payload)
        self.assertNotEqual(frame(TEXT, b"x" * 64), frame(TEXT, b"x" * 64))


class Shaking(unittest.TestCase):
    def setUp(self) -> None:
        self.handshake = Handshake(Address.parse("http://127.0.0.1:8080/base"), "/api/v1/ws", "cortado.v1+json", "t")

    def accept(self, key: str) -> bytes:
        import base64
        import hashlib

        guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        return base64.b64encode(hashlib.sha1((key + guid).encode()).digest())

    def answer(self, protocol: str = "cortado.v1+json") -> bytes:
        key = self.handshake.request.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0].decode()
        lines = [b"HTTP/1.1 101 Switching Protocols", b"sec-websocket-accept: " + self.accept(key)]
        return b"\r\n".join([*lines, b"Sec-WebSocket-Protocol: " + protocol.encode(), b"", b""])

    def test_the_request_has_the_base_path_and_the_token(self) -> None:
        lines = self.handshake.request.decode().split("\r\n")
        self.assertEqual(lines[0], "GET /base/api/v1/ws HTTP/1.1")
        for line in ("Host: 127.0.0.1:8080", "Authorization: Bearer t", "Sec-WebSocket-Version: 13"):
            self.assertIn(line, lines)

    def test_frames_that_arrive_with_the_answer_are_not_lost(self) -> None:
        answer = self.answer() + b"frames"
        self.assertIsNone(self.handshake.feed(answer[:20]))
        self.assertEqual(self.handshake.feed(answer[20:]), b"frames")

    def test_a_refusal_is_the_problem_that_the_server_describes(self) -> None:
        body = b'{"code":"sockets_full","detail":"come back later","status":503}'
        head = b"HTTP/1.1 503 Unavailable\r\nRetry-After: 7\r\nContent-Length: %d\r\n\r\n" % len(body)
        self.assertIsNone(self.handshake.feed(head + body[:5]))
        with self.assertRaises(ApiError) as raised:
            self.handshake.feed(body[5:])
        error = raised.exception
        self.assertEqual((error.code, error.status, error.retry_after), ("sockets_full", 503, 7.0))
        self.assertTrue(error.is_temporary)

    def test_answers_that_make_no_sense_are_refused(self) -> None:
        for answer in (
            b"SSH-2.0-OpenSSH\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: bm9uc2Vuc2U=\r\n\r\n",
            self.answer("chat"),
            b"x" * 300_000,
        ):
            self.setUp()
            answer = answer if b"chat" not in answer else self.answer("chat")
            with self.subTest(answer[:40]), self.assertRaises(ConnectionFailed):
                self.handshake.feed(answer)


class Addresses(unittest.TestCase):
    def test_urls_are_parsed_once(self) -> None:
        for url, expected, host in (
            ("http://127.0.0.1:8080", ("127.0.0.1", 8080, False, ""), "127.0.0.1:8080"),
            ("https://jobs.example.com/cortado/", ("jobs.example.com", 443, True, "/cortado"), "jobs.example.com"),
            ("http://[::1]:80", ("::1", 80, False, ""), "[::1]"),
        ):
            address = Address.parse(url)
            found = (address.host, address.port, address.uses_tls, address.base_path)
            self.assertEqual((found, address.host_header), (expected, host))
        self.assertEqual(Address.parse("unix:/run/cortado.sock").unix_path, "/run/cortado.sock")

    def test_what_is_no_address_of_a_server_is_refused(self) -> None:
        for url in ("127.0.0.1:8080", "ftp://example.com", "http://", "http://a:b@example.com", "http://a/?b"):
            with self.subTest(url), self.assertRaises(ValueError):
                Address.parse(url)


if __name__ == "__main__":
    unittest.main()
