"""What happened in a run, change by change: the same seed must give the same trace.

It depends on nothing but the seed and the program: not on the machine, its load, or how Python
happens to hash strings in this process.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable

import orjson

from sagong.api.types import Obj
from sagong.sim.view import Seen, View

DIGEST_CHARACTERS = 16


class Trace:
    """A check that only watches: a line for every change, and a digest of all lines."""

    def __init__(
        self, write: Callable[[str], object] | None = None, ignored: frozenset[str] = frozenset()
    ) -> None:
        """``write`` is given every line; ``ignored``: resources that have none."""
        self.changes: Counter[str] = Counter()
        self._write = write
        self._ignored = ignored
        self._digest = hashlib.sha256()

    def __call__(self, view: View, seen: Seen) -> None:
        self.changes[seen.resource] += 1
        if seen.resource in self._ignored:
            return
        line = self._line(seen)
        self._digest.update(line.encode())
        if self._write is not None:
            self._write(line)

    def digest(self) -> str:
        """Of all lines so far."""
        return self._digest.hexdigest()[:DIGEST_CHARACTERS]

    def _line(self, seen: Seen) -> str:
        seconds = asyncio.get_running_loop().time()
        what = "deleted" if seen.new is None else "added" if seen.old is None else "modified"
        path = f"{seen.key.namespace}/{seen.key.name}" if seen.key.namespace else seen.key.name
        content = "" if seen.new is None else f" {_content(seen.new)}"
        return f"{seconds:.6f} {seen.revision} {what} {seen.resource} {path}{content}\n"


def _content(obj: Obj) -> str:
    return hashlib.sha256(orjson.dumps(obj)).hexdigest()[:DIGEST_CHARACTERS]
