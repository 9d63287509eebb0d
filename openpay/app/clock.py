"""The server's clock."""

from __future__ import annotations

import time


class SystemClock:
    """`ports.Clock` in whole Unix seconds of the wall clock."""

    def now(self) -> int:
        return int(time.time())
