"""The programs in the documents run against the real server as they stand there, except for its address."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import unittest
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from real_server import PROGRAM
from support import HERE, SOURCE, within
from test_integration import ServerTest

ROOT = HERE.parents[2]
README = ROOT / "README.md"
PAGE = ROOT / "docs" / "workers.md"
PACKAGE = HERE.parent / "README.md"
ADDRESS = "http://127.0.0.1:8080"


def blocks(document: Path, language: str, mark: str) -> list[str]:
    """The blocks of a language that contain a text."""
    text = document.read_text(encoding="utf-8")
    return [block for block in re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S) if mark in block]


def only(found: list[str]) -> str:
    assert len(found) == 1, f"one is expected, but there are {len(found)}: {found}"
    return found[0]


class Documents(ServerTest):
    @asynccontextmanager
    async def running(self, program: str, text: str) -> AsyncIterator[None]:
        """Runs the text of a document with a program, and ends it as a supervisor does."""
        self.assertEqual(text.count(ADDRESS), 1)
        with tempfile.TemporaryDirectory(prefix="cortado-documents-") as folder:
            path = Path(folder, "program")
            path.write_text(text.replace(ADDRESS, self.server.url), encoding="utf-8")
            environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
            environment.pop("CORTADO_TOKEN", None)
            errors = Path(folder, "errors")
            with errors.open("wb") as stderr:
                process = await asyncio.create_subprocess_exec(
                    program, str(path), env=environment, cwd=folder, stderr=stderr, start_new_session=True
                )
            try:
                await self.event("kind.announced")
                yield
                os.killpg(process.pid, signal.SIGTERM)
                self.assertEqual(await within(process.wait()), 0)
                self.assertEqual((await self.event("worker.left")).raw["why"], "signed_off")
            except BaseException:
                print(errors.read_text(encoding="utf-8", errors="replace"), file=sys.stderr)
                raise
            finally:
                if process.returncode is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    await process.wait()

    async def submit(self, document: Path) -> Any:
        """Runs the command with which a document submits a job, and returns the job's result."""
        command = only(re.findall(r"cortado submit resize [^`\n]*--wait", document.read_text(encoding="utf-8")))
        with tempfile.TemporaryDirectory(prefix="cortado-documents-") as folder:
            assert PROGRAM is not None
            Path(folder, "cortado").symlink_to(Path(PROGRAM).resolve())
            environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "CORTADO_SERVER": self.server.url}
            process = await asyncio.create_subprocess_shell(
                command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
            )
            output, _ = await within(process.communicate())
        self.assertEqual(process.returncode, 0)
        return json.loads(output)

    async def test_the_readme_has_a_worker_in_python(self) -> None:
        async with self.running(sys.executable, only(blocks(README, "python", "import cortado"))):
            self.assertEqual(await self.submit(README), 640 * 480)

    async def test_the_page_about_workers_has_one_in_python(self) -> None:
        async with self.running(sys.executable, only(blocks(PAGE, "python", "import cortado"))):
            self.assertEqual(await self.submit(PAGE), {"pixels": 640 * 480})
            refused = await within(self.client.submit("resize", {"width": 0, "height": 480}, wait=20))
            self.assertEqual((refused.state, refused.attempt), ("discarded", 1))

    async def test_the_readme_of_the_package_has_a_worker_and_a_program_that_submits_to_it(self) -> None:
        image = "https://example.com/1.png"
        submit = only(blocks(PACKAGE, "python", "cortado.Client("))
        self.assertEqual((submit.count(image), submit.count(ADDRESS)), (1, 1))
        submit = submit.replace(image, f"{self.server.url}/healthz").replace(ADDRESS, self.server.url)
        async with self.running(sys.executable, only(blocks(PACKAGE, "python", "cortado.Worker("))):
            pipe = asyncio.subprocess.PIPE
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", submit, env={**os.environ, "PYTHONPATH": str(SOURCE)}, stdout=pipe
            )
            output, _ = await within(process.communicate())
            self.assertEqual(process.returncode, 0)
            self.assertRegex(output.decode(), r"^completed \{'bytes': [1-9][0-9]*\}$")
            for _ in range(4):
                completed = await self.event("job.completed")
                self.assertEqual(completed.job and completed.job.queue, "images")

    @unittest.skipUnless(shutil.which("curl") and shutil.which("jq"), "curl or jq is missing")
    async def test_the_page_about_workers_has_one_for_a_shell(self) -> None:
        async with self.running("/bin/sh", only(blocks(PAGE, "sh", "#!/bin/sh"))):
            for _ in range(2):
                self.assertEqual(await self.submit(PAGE), {"pixels": 640 * 480})
            failed = await within(self.client.submit("resize", "no size", wait=20, max_attempts=1))
            self.assertEqual((failed.state, failed.error and failed.error.message), ("discarded", "resize failed"))


class Programs(unittest.TestCase):
    def test_the_programs_in_the_readme_of_the_package_can_be_parsed(self) -> None:
        for program in blocks(PACKAGE, "python", ""):
            compile(program, str(PACKAGE), "exec")
