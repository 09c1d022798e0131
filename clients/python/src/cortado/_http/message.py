"""A request, its answer, and the errors that an answer can be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from .._address import Address
from ..errors import ApiError, ConnectionFailed, FieldError

VERSION = "0.1.0"


@dataclass(frozen=True)
class Request:
    """A request that may be sent more than once."""

    method: str
    path: str
    body: Optional[bytes] = None
    #: The seconds that the server may let pass before it answers, because it was asked to wait.
    wait: float = 0.0


@dataclass(frozen=True)
class Response:
    """The answer to a request. The names of the headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Returns the body of a success, or raises the problem that the server answered with."""
        if not 200 <= self.status < 300:
            raise self.problem()
        try:
            return json.loads(self.body) if self.body else None
        except ValueError as error:
            raise ConnectionFailed(f"the answer is not JSON: {self.body[:80]!r}") from error

    def problem(self) -> ApiError:
        """Returns the error that the body describes. A proxy may have sent something else."""
        try:
            members = json.loads(self.body)
            errors = tuple(FieldError(it["field"], it["message"]) for it in members.get("errors", ()))
            code, detail = members["code"], members.get("detail", "")
        except (ValueError, TypeError, KeyError, AttributeError):
            code, errors = "unexpected_response", ()
            detail = self.body[:200].decode(errors="replace").strip() or f"HTTP status {self.status}"
        return ApiError(code, self.status, detail, errors, self._retry_after())

    def _retry_after(self) -> Optional[float]:
        try:
            return max(0.0, float(self.headers["retry-after"]))
        except (KeyError, ValueError):
            return None  # a date, as some proxies send it: the backoff decides


def request_headers(address: Address, token: Optional[str]) -> dict[str, str]:
    """Returns the headers that every request has."""
    headers = {"Host": address.host_header, "User-Agent": f"cortado-python/{VERSION}"}
    if token is not None:
        if not token.isascii() or not token.isprintable():
            raise ValueError("the token has characters that a header cannot have")
        headers["Authorization"] = f"Bearer {token}"
    return headers


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Parses a status line and headers, without the empty line. Raises `ValueError` if they are not HTTP/1.1."""
    lines = head.decode("latin-1").split("\r\n")
    version, _, rest = lines[0].partition(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(f"this is not an HTTP/1.1 server: {lines[0][:80]!r}")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return int(rest[:3]), headers
