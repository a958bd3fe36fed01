"""The audit log: one JSON object a line, in a file that is rotated by size and age.

Written before the answer goes out, as upstream's log backend in its blocking mode: what was
answered is in the log. ``-`` is standard output.
"""

import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import orjson

from sagong.api.types import Obj
from sagong.core.clock import Clock, format_micro_time

log = logging.getLogger(__name__)

MEGABYTE = 1024 * 1024
DAY_SECONDS = 86400.0
FILE_MODE = 0o600  # it may hold whatever requests hold


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Zero keeps everything, but a file never grows past its size."""

    path: str
    size_megabytes_max: int = 100
    age_days_max: int = 0
    backups_max: int = 0


STANDARD_OUTPUT = LogSettings("-")


class AuditLog:
    """Open from the first event until ``close``."""

    def __init__(self, settings: LogSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._file: BinaryIO | None = None
        self._size = 0

    def write(self, event: Obj) -> None:
        """Append an event. A full disk is told of and does not end the request."""
        line = orjson.dumps(event) + b"\n"
        try:
            if self._settings.path == "-":
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()
                return
            file = self._open()
            if self._size and self._size + len(line) > self._settings.size_megabytes_max * MEGABYTE:
                file = self._rotate()
            file.write(line)
            self._size += len(line)
        except OSError as error:
            log.error("cannot write the audit log: %s", error)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> BinaryIO:
        if self._file is None:
            path = Path(self._settings.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, FILE_MODE)
            self._file = os.fdopen(descriptor, "ab", buffering=0)
            self._size = path.stat().st_size
        return self._file

    def _rotate(self) -> BinaryIO:
        """Put the file aside under its time, as upstream's rotation names it."""
        self.close()
        path = Path(self._settings.path)
        stamp = format_micro_time(self._clock.now())[:23].replace(":", "-")
        path.rename(path.with_name(f"{path.stem}-{stamp}{path.suffix}"))
        self._remove_old(path)
        return self._open()

    def _remove_old(self, path: Path) -> None:
        backups = sorted(path.parent.glob(f"{path.stem}-*{path.suffix}"), reverse=True)
        oldest = self._clock.now() - self._settings.age_days_max * DAY_SECONDS
        for number, backup in enumerate(backups):
            too_many = self._settings.backups_max and number >= self._settings.backups_max
            too_old = self._settings.age_days_max and backup.stat().st_mtime < oldest
            if too_many or too_old:
                backup.unlink()
