"""Store failures, by phase."""


class StoreError(Exception):
    """Any failure of a store."""


class Compacted(StoreError):
    """The asked revision is older than what the store still keeps."""

    def __init__(self, oldest: int) -> None:
        super().__init__(f"required revision has been compacted; the oldest kept is {oldest}")
        self.oldest = oldest


class FutureRevision(StoreError):
    """The asked revision does not exist yet."""

    def __init__(self, current: int) -> None:
        super().__init__(f"required revision is a future revision; the current one is {current}")
        self.current = current


class Unavailable(StoreError):
    """The store cannot be reached or is closed; nothing is known about a write under way."""


class WatchOverflow(StoreError):
    """A watcher fell so far behind that its buffer was given up; it must start again."""
