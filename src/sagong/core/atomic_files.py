"""Files that are there in whole, as they were or as they are to be."""

import os
from pathlib import Path


def write_atomically(path: Path, data: bytes) -> None:
    """Readable for the owner only. A crash of the machine may leave the earlier content."""
    temporary = path.with_name(f".{path.name}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    temporary.replace(path)
