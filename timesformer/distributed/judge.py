"""What is known of every process of a run, and whether the run hangs: no threads, no network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

MAX_PLACES = 8  # that are told: there may be a thousand processes


@dataclass(frozen=True)
class Word:
    """What a process says of itself: `count` grows with every word, `beats` as it gets further."""

    count: int = 0
    beats: int = -1
    place: str = "nowhere yet"
    has_left: bool = False
    verdict: str = ""  # the main process's, on the run

    def pack(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def unpack(cls, raw: bytes) -> Word:
        return cls(**json.loads(raw))


class Judge:
    """What is known of each process, by a clock in seconds that the caller keeps."""

    def __init__(self, world_size: int) -> None:
        self.words = dict.fromkeys(range(world_size), Word())
        self.heard_at = dict.fromkeys(range(world_size), 0.0)
        self.moved_at = dict.fromkeys(range(world_size), 0.0)

    def hear(self, words: dict[int, Word], now: float) -> None:
        for rank, word in words.items():
            if word.count != self.words[rank].count:
                self.heard_at[rank] = now
            if word.beats != self.words[rank].beats:
                self.moved_at[rank] = now
            self.words[rank] = word

    def silent(self, now: float, limit: float) -> list[int]:
        """Who has not been heard for `limit` seconds, but for those who said that they leave."""
        return [
            rank
            for rank, word in self.words.items()
            if now - self.heard_at[rank] > limit and not word.has_left
        ]

    def left(self) -> list[int]:
        """Who has said that it leaves."""
        return [rank for rank, word in self.words.items() if word.has_left]

    def verdict(self, now: float, limit: float) -> str:
        """What is wrong with the run; '' if nothing is."""
        lost = self.silent(now, limit)
        if not lost and now - max(self.moved_at.values()) <= limit:
            return ""
        groups: dict[tuple[bool, str], list[int]] = {}
        for rank, word in self.words.items():
            groups.setdefault((rank not in lost, word.place), []).append(rank)
        # The fewest first, for there the fault will be.
        members = sorted(groups.values(), key=lambda group: (group[0] not in lost, len(group)))
        parts = [
            self.describe(group, now, silent=group[0] in lost) for group in members[:MAX_PLACES]
        ]
        parts += [f"others at {len(members) - MAX_PLACES} places"] if members[MAX_PLACES:] else []
        return f"the run {'has lost ' + ranks(lost) if lost else 'hangs'}: {'; '.join(parts)}."

    def describe(self, members: Sequence[int], now: float, *, silent: bool) -> str:
        """Where those processes are, all at one place, and since when."""
        place = self.words[members[0]].place
        if silent:
            since = duration(now - max(self.heard_at[rank] for rank in members))
            return (
                f"{ranks(members)} not heard of for {since}, last at '{place}' (stopped, dead or "
                "cut off)"
            )
        since = duration(now - max(self.moved_at[rank] for rank in members))
        return f"{ranks(members)} at '{place}' for {since}"


def ranks(numbers: Sequence[int]) -> str:
    """``[0, 2, 3, 4]`` -> ``ranks 0, 2-4``."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    words = ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
    return f"rank {words}" if len(numbers) == 1 else f"ranks {words}"


def duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
