"""How files are fetched, and whom to tell."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

_LONGEST_WAIT = 60.0  # seconds, whatever a server asks for


@dataclass(frozen=True)
class Fetching:
    """How to fetch: `retries` of a mirror without one new byte, `timeout` in seconds without a byte.

    `say` gets lines for the user, `progress` what is done, the bytes so far and in all (None: unknown); `pause`
    sleeps for seconds.
    """

    retries: int = 4
    timeout: float = 30.0
    force: bool = False
    say: Callable[[str], None] = lambda line: None
    progress: Callable[[str, int, int | None], None] = lambda what, done, total: None
    pause: Callable[[float], None] = time.sleep

    def wait(self, failed: int, wished: float | None) -> float:
        """Return the seconds before the next try: what the server wishes, else 1, 2, 4, … by the failures."""
        if wished is not None:
            return min(wished, _LONGEST_WAIT)
        mean_std = random.uniform(0.5, 1.5)  # so that many clients do not come back at once; decides no result
        return min(2.0 ** min(failed - 1, 10) * mean_std, _LONGEST_WAIT)
