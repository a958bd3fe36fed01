"""What a server's process asks of the kernel and of the interpreter."""

import ctypes
import gc
import resource

# Objects made (less those gone) between collections of the youngest, and how many of those make one
# of the older generations. Requests leave no cycles but for failures; what a collection of
# everything walks through, caches above all, is hardly ever garbage, and nothing is answered
# meanwhile.
_THRESHOLDS = (20_000, 20, 100)
# Blocks of the C library's allocator from this size on are mapped, and unmapped when free again.
# Left alone it learns from the first large body it sees to keep blocks of such a size for good.
_MAPPED_BYTES_MIN = 512 * 1024
_M_MMAP_THRESHOLD = -3  # of <malloc.h>


def raise_file_limit() -> None:
    """As many open files as the kernel allows: each watch is a connection (Go does the same)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def settle_memory() -> None:
    """Take what start-up has made, which stays for good, out of what collections walk through."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)


def give_memory_back() -> None:
    """Let the kernel have large blocks back as soon as they are free, if the C library can."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES_MIN)
