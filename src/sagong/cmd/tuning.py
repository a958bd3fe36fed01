"""What a server's process asks of the kernel and of the interpreter."""

import gc
import resource

# Objects made (less those gone) between collections of the youngest, and how many of those make one
# of the older generations. Requests leave no cycles but for failures; what a collection of
# everything walks through, caches above all, is hardly ever garbage, and nothing is answered
# meanwhile.
_THRESHOLDS = (20_000, 20, 100)


def raise_file_limit() -> None:
    """As many open files as the kernel allows: each watch is a connection (Go does the same)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def settle_memory() -> None:
    """Take what start-up has made, which stays for good, out of what collections walk through."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
