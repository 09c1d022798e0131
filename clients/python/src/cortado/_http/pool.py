"""A pool of connections for threads, on `http.client`."""

from __future__ import annotations

import http.client
import os
import socket
import threading
from typing import Optional

from .._address import Access
from ..errors import ConnectionFailed
from .message import Request, Response, request_headers

#: Idle connections that are kept for further requests.
MAX_IDLE = 8


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Pool:
    """Sends requests from any thread, each on a connection of its own."""

    def __init__(self, access: Access) -> None:
        self._address = access.address
        self._headers = request_headers(access.address, access.token)
        self._timeout = access.timeout
        self._tls = access.tls
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []
        self._is_closed = False
        self._process = os.getpid()

    def send(self, request: Request) -> Response:
        """Sends a request and returns the answer, whatever its status. Raises `ConnectionFailed`."""
        while True:
            reused = self._idle_connection()
            connection = reused or self._new_connection()
            try:
                return self._exchange(connection, request)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                # The server closes connections that were idle for too long: it has not seen the request.
                was_closed = isinstance(error, (ConnectionError, http.client.BadStatusLine))
                if reused is None or not was_closed:
                    raise ConnectionFailed(f"{request.method} {request.path}: {error!r}") from error
            except BaseException:  # an interrupt must not leave half an answer in the pool
                connection.close()
                raise

    def close(self) -> None:
        """Closes all connections that are not in use, and the others once their requests are answered."""
        with self._lock:
            idle, self._idle, self._is_closed = self._idle, [], True
        for connection in idle:
            connection.close()

    def _idle_connection(self) -> Optional[http.client.HTTPConnection]:
        with self._lock:
            if self._process != os.getpid():  # the connections belong to the process that forked this one
                for connection in self._idle:
                    connection.close()  # only the copies of this process
                self._process, self._idle = os.getpid(), []
            return self._idle.pop() if self._idle else None

    def _exchange(self, connection: http.client.HTTPConnection, request: Request) -> Response:
        if connection.sock is None:
            connection.connect()
        connection.sock.settimeout(self._timeout + request.wait)
        headers = dict(self._headers)
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        connection.request(request.method, self._address.base_path + request.path, request.body, headers)
        answer = connection.getresponse()
        body = answer.read()
        with self._lock:
            is_kept = not answer.will_close and len(self._idle) < MAX_IDLE and not self._is_closed
            if is_kept:
                self._idle.append(connection)
        if not is_kept:
            connection.close()
        return Response(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)

    def _new_connection(self) -> http.client.HTTPConnection:
        address = self._address
        if address.unix_path is not None:
            return _UnixConnection(address.unix_path, self._timeout)
        if address.uses_tls:
            return http.client.HTTPSConnection(address.host, address.port, timeout=self._timeout, context=self._tls)
        return http.client.HTTPConnection(address.host, address.port, timeout=self._timeout)
