"""Writing files that change all at once, as upstream's AtomicWriter lays them out.

    <dir>/key -> ..data/key
    <dir>/..data -> ..2026_01_02_03_04_05.123456789
    <dir>/..2026_01_02_03_04_05.123456789/key

Readers follow ``..data``, which is replaced by one rename: they see the old files or the new ones,
never a mixture. Work that a crash interrupted is completed by the next write.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

DATA = "..data"
_TEMPORARY = "..data_tmp"


@dataclass(frozen=True, slots=True)
class PayloadFile:
    data: bytes
    mode: int
    owner: int | None = None  # a user id; None is root


Payload = Mapping[str, PayloadFile]  # by relative path


def write_payload(
    directory: Path, payload: Payload, *, now: float, group: int | None = None
) -> bool:
    """Make the directory hold exactly these files; whether anything changed.

    ``group`` (fsGroup) owns the files and may read them.
    """
    _make_root(directory, group)
    current = _current(directory)
    if current is not None and _read(current) == {k: v.data for k, v in payload.items()}:
        _link_names(directory, payload)
        return False
    fresh = _make_version(directory, payload, now, group)
    temporary = directory / _TEMPORARY
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(fresh.name)
    temporary.replace(directory / DATA)
    _link_names(directory, payload)
    for old in directory.glob("..*"):
        if old != fresh and not old.is_symlink():
            shutil.rmtree(old, ignore_errors=True)
    return True


def _make_root(directory: Path, group: int | None) -> None:
    """Everybody may look into it, as into an emptyDir, which upstream wraps."""
    directory.mkdir(parents=True, exist_ok=True)
    mode = directory.stat().st_mode & 0o7777
    wanted = mode | 0o777 | (0 if group is None else 0o2000)
    if group is not None:
        os.chown(directory, -1, group)
    if wanted != mode:
        directory.chmod(wanted)


def _current(directory: Path) -> Path | None:
    link = directory / DATA
    return directory / os.readlink(link) if link.is_symlink() else None


def _read(version: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(version)): file.read_bytes()
        for file in version.rglob("*")
        if file.is_file()
    }


def _make_version(directory: Path, payload: Payload, now: float, group: int | None) -> Path:
    stamp = datetime.fromtimestamp(now, UTC).strftime("..%Y_%m_%d_%H_%M_%S.%f")
    version = directory / stamp
    number = 0
    while version.exists():
        number += 1
        version = directory / f"{stamp}{number:03d}"
    version.mkdir(mode=0o755)
    for name, file in payload.items():
        path = version / name
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(file.data)
        mode = file.mode | 0o440 if group is not None else file.mode
        os.chown(path, file.owner or 0, -1 if group is None else group)
        path.chmod(mode)
    for entry in (version, *(p for p in version.rglob("*") if p.is_dir())):
        entry.chmod(0o755)
        if group is not None:
            os.chown(entry, -1, group)
            entry.chmod(0o2755)
    return version


def _link_names(directory: Path, payload: Payload) -> None:
    """User-visible names at the top: links into ``..data``; stale ones go."""
    wanted = {name.split("/", 1)[0] for name in payload}
    for name in wanted:
        link, target = directory / name, f"{DATA}/{name}"
        if link.is_symlink() and os.readlink(link) == target:
            continue
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    for entry in directory.iterdir():
        if entry.is_symlink() and entry.name not in wanted and not entry.name.startswith(".."):
            entry.unlink()
