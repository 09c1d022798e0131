"""What a worker keeps until it is confirmed, and how it is divided into messages."""

from __future__ import annotations

import json
import threading
import unittest
from typing import Any, Optional

from support import PATIENCE

from cortado.worker import messages, outbox
from cortado.worker.context import MAX_LINES, Context
from cortado.worker.outbox import Outbox, Report
from cortado.worker.threads import Threads


def parsed(report: Optional[Report]) -> dict[str, Any]:
    assert report is not None
    found = json.loads(messages.update(report.number, report.members(), 0))
    return {name: value for name, value in found.items() if name not in ("type", "id")}


class Reports(unittest.TestCase):
    def setUp(self) -> None:
        self.outbox = Outbox()

    def settle(self, lease: str, result: Any = None) -> None:
        self.outbox.settle(lease, messages.done(lease, result))

    def context(self, lease: str) -> Context:
        return Context(lease, {}, self.outbox.note)

    def leases(self) -> list[str]:
        return [it["lease"] for it in parsed(self.outbox.next_report()).get("settle", ())]

    def test_an_empty_outbox_has_nothing_to_report(self) -> None:
        self.assertIsNone(self.outbox.next_report())
        self.assertTrue(self.outbox.is_empty)

    def test_no_list_has_more_items_than_the_server_takes(self) -> None:
        for number in range(2500):
            self.settle(f"L{number}")
        extend = [f"R{number}" for number in range(1500)]
        sizes = []
        while self.outbox.has_settles or extend:
            report = parsed(self.outbox.next_report(extend))
            sizes.append((len(report.get("settle", ())), len(report.get("extend", ()))))
        self.assertEqual(sizes, [(1000, 1000), (1000, 500), (500, 0)])

    def test_large_settles_are_divided_by_their_bytes(self) -> None:
        for number in range(5):
            self.settle(f"L{number}", "x" * (outbox.MAX_BYTES // 3))
        self.settle("huge", "x" * (2 * outbox.MAX_BYTES))
        reports = []
        while self.outbox.has_settles:
            reports.append(self.leases())
        self.assertEqual(reports, [["L0", "L1"], ["L2", "L3"], ["L4"], ["huge"]])

    def test_an_attempt_is_not_settled_before_its_notes_are_sent(self) -> None:
        contexts = [self.context(f"L{number}") for number in range(outbox.MAX_ITEMS + 1)]
        for context in contexts:
            context.log("x")
        for context in reversed(contexts):
            self.settle(context.lease)
        noted: list[str] = []
        settled: list[str] = []
        while self.outbox.has_settles or self.outbox.has_notes:
            report = parsed(self.outbox.next_report())
            noted += [it["lease"] for it in report.get("note", ())]
            settled += [it["lease"] for it in report.get("settle", ())]
            self.assertLessEqual(set(settled), set(noted))
        self.assertEqual(len(settled), len(contexts))

    def test_what_is_taken_back_comes_first_and_in_its_order(self) -> None:
        self.settle("L1")
        self.outbox.next_report()
        self.settle("L2")
        self.outbox.next_report()
        self.settle("L3")
        self.assertEqual(self.outbox.unconfirmed, ["L1", "L2", "L3"])
        self.outbox.take_back_all()
        self.assertEqual(self.leases(), ["L1", "L2", "L3"])

    def test_newer_progress_replaces_what_is_taken_back_and_lines_keep_their_order(self) -> None:
        context = self.context("L")
        context.log("one")
        context.progress(1)
        report = self.outbox.next_report()
        context.log("two")
        context.progress(2)
        self.outbox.take_back_all()
        self.assertIsNotNone(report)
        (note,) = parsed(self.outbox.next_report())["note"]
        self.assertEqual([it["text"] for it in note["lines"]], ["one", "two"])
        self.assertEqual(note["progress"], {"done": 2})

    def test_old_lines_are_dropped_when_nobody_takes_them(self) -> None:
        context = self.context("L")
        for number in range(MAX_LINES + 5):
            context.log(f"line {number}")
        lines = [it["text"] for it in parsed(self.outbox.next_report())["note"][0]["lines"]]
        self.assertEqual(lines[:2], ["… 5 lines were dropped here", "line 5"])
        self.assertEqual(len(lines), MAX_LINES + 1)

    def test_a_settle_that_is_refused_twice_is_given_up(self) -> None:
        self.settle("L")
        for outcome in ("done", "retry"):
            report = self.outbox.next_report()
            self.assertEqual(parsed(report)["settle"][0]["outcome"], outcome)
            self.outbox.confirm(report.number, [{"lease": "L", "status": "invalid", "detail": "no"}])
        self.assertTrue(self.outbox.is_empty)

    def test_threads_may_log_while_notes_are_taken(self) -> None:
        context = self.context("L")
        count = 20_000
        done = threading.Event()

        def write() -> None:
            for number in range(count):
                context.progress(number)
            done.set()

        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        last = None
        while True:
            is_last = done.is_set()
            progress = context.take_notes()[1]
            last = progress or last
            if is_last and progress is None:
                break
        self.assertEqual(json.loads(last), {"done": count - 1})


class Pool(unittest.TestCase):
    def test_a_short_call_needs_one_thread_at_a_time(self) -> None:
        threads = Threads(50)
        names = set()
        for _ in range(200):
            done = threading.Event()

            def call(done: threading.Event = done) -> None:
                names.add(threading.get_ident())
                done.set()

            threads.submit(call)
            self.assertTrue(done.wait(PATIENCE))
        threads.close()
        self.assertLess(len(names), 10)

    def test_calls_that_block_get_a_thread_each_up_to_the_limit(self) -> None:
        threads = Threads(4)
        meeting = threading.Barrier(5)
        done = threading.Semaphore(0)

        def call() -> None:
            meeting.wait(PATIENCE)
            done.release()

        threads._calls.extend([call] * 7)  # they come together
        threads.submit(call)
        for _ in range(2):
            meeting.wait(PATIENCE)  # four calls and this thread
            for _ in range(4):
                self.assertTrue(done.acquire(timeout=PATIENCE))
        threads.close()

    def test_no_call_is_lost(self) -> None:
        threads = Threads(8)
        count, done = 20_000, threading.Semaphore(0)
        for _ in range(count):
            threads.submit(lambda: done.release())
        for _ in range(count):
            self.assertTrue(done.acquire(timeout=PATIENCE))
        threads.close()


class Errors(unittest.TestCase):
    def test_an_error_without_a_text_has_one(self) -> None:
        self.assertEqual(messages.describe(" "), "the handler failed without a message")

    def test_the_end_of_a_long_error_is_kept(self) -> None:
        described = messages.describe("x" * 100_000 + "the reason")
        self.assertLess(len(described), 20_000)
        self.assertTrue(described.endswith("the reason"))


if __name__ == "__main__":
    unittest.main()
