"""When things are due, and how fast and how long they go."""

from __future__ import annotations

import time
from datetime import timedelta


def is_due(done: int, period: int, total: int) -> bool:
    """Whether what happens every `period` (0: never) and at the end is due after `done` steps."""
    return period > 0 and (done % period == 0 or done == total)


class Clock:
    """Clips per second since the last reading, and the time left of a run of `total_steps`."""

    def __init__(self, total_steps: int) -> None:
        self.total_steps = total_steps
        self.steps_timed = 0
        self.seconds_timed = 0.0
        self._steps = self._clips = 0
        self._started = time.perf_counter()

    def restart(self) -> None:
        """Leave out the time since the last reading (validation, saving)."""
        self._steps = self._clips = 0
        self._started = time.perf_counter()

    def tick(self, clips: int) -> None:
        """One optimiser step over `clips` has been issued."""
        self._steps += 1
        self._clips += clips

    def read(self) -> float:
        """Clips per second since the last reading; starts the next one."""
        seconds = time.perf_counter() - self._started
        speed = self._clips / seconds
        self.steps_timed += self._steps
        self.seconds_timed += seconds
        self.restart()
        return speed

    def left(self, steps_done: int) -> str:
        """Time to the end at the mean speed so far, as H:MM:SS."""
        per_step = self.seconds_timed / max(self.steps_timed, 1)
        # Below 0 where a run goes on with larger steps than it began with.
        return str(timedelta(seconds=round(per_step * max(0, self.total_steps - steps_done))))
