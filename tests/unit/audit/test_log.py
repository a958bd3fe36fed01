"""The audit log's file: private, rotated, bounded."""

import json
import stat
from pathlib import Path

from sagong.server.audit.log import AuditLog, LogSettings


class Time:
    """A clock that is set by hand."""

    def __init__(self, now: float = 0.0) -> None:
        self.seconds = now

    def now(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds


def test_a_full_file_is_put_aside_and_old_ones_go(tmp_path: Path) -> None:
    clock = Time(1_700_000_000.0)
    path = tmp_path / "logs" / "audit.log"
    log = AuditLog(LogSettings(str(path), size_megabytes_max=1, backups_max=2), clock)
    for number in range(10):
        log.write({"number": number, "filling": "x" * 400_000})
        clock.seconds += 1
    log.close()
    kept = sorted(path.parent.iterdir())
    assert len(kept) == 3
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in kept)
    numbers = [
        json.loads(line)["number"] for file in kept for line in file.read_text().splitlines()
    ]
    assert sorted(numbers)[-1] == 9
    assert all(file.stat().st_size <= 1024 * 1024 for file in kept)


def test_a_log_goes_on_after_a_restart(tmp_path: Path) -> None:
    settings = LogSettings(str(tmp_path / "audit.log"))
    for number in range(2):
        log = AuditLog(settings, Time())
        log.write({"number": number})
        log.close()
    assert len((tmp_path / "audit.log").read_text().splitlines()) == 2
