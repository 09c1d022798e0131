"""Jittered exponential backoff."""

from __future__ import annotations

import random


class Backoff:
    """Delays that double from `first` to `longest` seconds. Each is random between a half and the whole, so
    that clients do not all come back at once."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._failures = 0

    def next_delay(self) -> float:
        """Returns the delay after one more failure."""
        whole = min(self._longest, self._first * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return whole * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Begins again with the first delay, after a success."""
        self._failures = 0
