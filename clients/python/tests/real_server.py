"""The real server, for the tests that need it: the program that `CORTADO_BIN` names, on a free loopback port."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import tempfile
from typing import Optional

from support import within

PROGRAM = os.environ.get("CORTADO_BIN")


class RealServer:
    """A server with a data directory of its own. It can be killed and started again on the same port."""

    def __init__(self) -> None:
        self.url = ""
        #: The token that the next process requires.
        self.token: Optional[str] = None
        self._data = tempfile.mkdtemp(prefix="cortado-python-")
        self._listen = "127.0.0.1:0"
        self._process: Optional[asyncio.subprocess.Process] = None
        self._output: Optional[asyncio.Task[None]] = None

    async def __aenter__(self) -> RealServer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end(signal.SIGKILL)
        shutil.rmtree(self._data, ignore_errors=True)

    async def start(self) -> None:
        assert PROGRAM is not None
        arguments = ["serve", "--listen", self._listen, "--data-dir", self._data]
        environment = {**os.environ, **({} if self.token is None else {"CORTADO_AUTH_TOKEN": self.token})}
        pipe, same = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
        self._process = await asyncio.create_subprocess_exec(
            PROGRAM, *arguments, stdout=pipe, stderr=same, env=environment
        )
        self.url = await within(self._find_url(self._process.stdout))
        self._listen = self.url[len("http://") :]
        self._output = asyncio.ensure_future(self._discard(self._process.stdout))

    async def end(self, number: int) -> None:
        """Ends the server by a signal."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.send_signal(number)
            await within(process.wait())
        if self._output is not None:
            await self._output

    async def _find_url(self, output: Optional[asyncio.StreamReader]) -> str:
        assert output is not None
        seen = b""
        while True:
            line = await output.readline()
            if not line:
                raise RuntimeError(f"the server has ended: {seen.decode(errors='replace')}")
            seen += line
            found = re.search(rb"listening on (http://\S+)", line)
            if found:
                return found[1].decode().rstrip("/")

    async def _discard(self, output: Optional[asyncio.StreamReader]) -> None:
        assert output is not None
        while await output.read(1 << 16):
            pass
