"""How fast the store takes durable writes: puts a second with 1, 16 and 64 writers at once.

    python bench/store.py [--seconds 2] [--bytes 1000] [--directory DIR] [--driver sqlite]

Each put is one transaction with a compare, acknowledged when it is on the disk. The directory
should be on the disk that is to be measured.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from sagong.store.drivers.memory import MemoryStore
from sagong.store.drivers.sqlite import SqliteStore
from sagong.store.interface import Compare, Put, Store

WRITERS = (1, 16, 64)


async def measure(store: Store, writers: int, seconds: float, value: bytes) -> tuple[float, float]:
    """Puts a second, and the 99th percentile of their times in milliseconds."""
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def write(worker: int) -> None:
        revision, key = 0, f"/registry/bench/{writers}/{worker}"
        while (start := time.perf_counter()) < end:
            result = await store.txn([Compare(key, revision)], [Put(key, value)])
            assert result.succeeded
            revision = result.revision
            times.append(time.perf_counter() - start)

    start = time.perf_counter()
    await asyncio.gather(*(write(worker) for worker in range(writers)))
    rate = len(times) / (time.perf_counter() - start)
    return rate, sorted(times)[int(len(times) * 0.99)] * 1000


async def run(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        store: Store = MemoryStore()
        if arguments.driver == "sqlite":
            store = SqliteStore(Path(directory) / "bench.db")
        value = b"x" * arguments.bytes
        print(f"{arguments.driver}, values of {arguments.bytes} bytes")
        print(f"{'writers':>8} {'puts/s':>10} {'p99 ms':>8}")
        for writers in WRITERS:
            rate, p99 = await measure(store, writers, arguments.seconds, value)
            print(f"{writers:>8} {rate:>10,.0f} {p99:>8.2f}")
        await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--bytes", type=int, default=1000)
    parser.add_argument("--directory", default=None)
    parser.add_argument("--driver", choices=("sqlite", "memory"), default="sqlite")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
