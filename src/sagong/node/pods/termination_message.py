"""The message of a container that ended: its termination log, or the end of its output."""

import os
from pathlib import Path

MESSAGE_BYTES_MAX = 4096
LOG_TAIL_BYTES = 2048
LOG_TAIL_LINES = 80


def read_termination_message(
    path: Path | None, log_path: Path | None, *, policy: str, failed: bool
) -> str:
    """The text, at most 4096 bytes; "" if there is none.

    With policy FallbackToLogsOnError and a failed container, an empty message file is made up for
    by the last 80 lines, 2048 bytes at most, of its log.
    """
    text = _tail(path, MESSAGE_BYTES_MAX) if path is not None else ""
    if text or not failed or policy != "FallbackToLogsOnError" or log_path is None:
        return text
    # A log line has some 40 bytes of time and stream before the text.
    raw = _tail(log_path, LOG_TAIL_BYTES + LOG_TAIL_LINES * 50)
    lines = [_log_text(line) for line in raw.splitlines()[-LOG_TAIL_LINES:]]
    return "".join(lines)[-LOG_TAIL_BYTES:]


def _log_text(line: str) -> str:
    """The text of a CRI log line: ``<time> <stream> <F|P> <text>``."""
    parts = line.split(" ", 3)
    if len(parts) < 4:
        return ""
    return parts[3] + ("\n" if parts[2].startswith("F") else "")


def _tail(path: Path, size: int) -> str:
    try:
        with path.open("rb") as file:
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - size))
            return file.read(size).decode(errors="replace")
    except OSError:
        return ""
