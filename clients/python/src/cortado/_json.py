"""JSON as it is sent to the server: compact UTF-8 without NaN."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any, Union

# One encoder for all values, because creating one for each costs more than encoding a small value.
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

#: A duration in seconds, or as a `timedelta`.
Duration = Union[float, timedelta]


def encode(value: Any) -> bytes:
    """Encodes a value. Raises `TypeError` or `ValueError` if it is not JSON, or not text."""
    return _encode(value).encode()


def encode_text(text: str) -> bytes:
    """Encodes a text. What is not text (lone surrogates, as in undecodable file names) is escaped."""
    try:
        return _encode(text).encode()
    except UnicodeEncodeError:
        return _encode(text.encode("utf-8", "backslashreplace").decode()).encode()


def seconds(duration: Duration) -> float:
    """Returns a duration in seconds."""
    return duration.total_seconds() if isinstance(duration, timedelta) else duration


def milliseconds(duration: Duration) -> int:
    """Returns a duration in whole milliseconds, which is how the server counts."""
    return round(seconds(duration) * 1000)


def parse_time(text: str) -> datetime:
    """Parses an RFC 3339 timestamp, whose `Z` Python 3.9 does not know."""
    return datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
