"""The address of a server, parsed once from its URL, and how it is reached."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Optional
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Address:
    """Where a server listens, and the path below which it is served."""

    host: str
    port: int
    uses_tls: bool
    base_path: str
    # The path of a Unix socket, which takes the place of host and port.
    unix_path: Optional[str] = None

    @classmethod
    def parse(cls, url: str) -> Address:
        """Parses `http://host:port/base`, `https://…`, or `unix:/run/cortado.sock`."""
        if url.startswith("unix:"):
            return cls("localhost", 80, False, "", url[len("unix:") :])
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"expected a URL such as http://127.0.0.1:8080, but got {url!r}")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("the URL of a server has no credentials, query or fragment; pass token=…")
        uses_tls = parts.scheme == "https"
        port = parts.port or (443 if uses_tls else 80)
        return cls(parts.hostname, port, uses_tls, parts.path.rstrip("/"))

    @property
    def host_header(self) -> str:
        """The value of the `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.uses_tls else 80) else f"{host}:{self.port}"


@dataclass(frozen=True)
class Access:
    """What every connection to a server needs."""

    address: Address
    token: Optional[str]
    tls: Optional[ssl.SSLContext]
    #: The seconds that one answer may take, without the time for which the server is asked to wait.
    timeout: float
