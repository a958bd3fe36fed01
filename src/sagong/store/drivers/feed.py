"""Live changes on their way from a driver to its watchers.

The driver publishes each batch exactly once, in revision order, on the event loop; every watcher
has a bounded buffer of its own. Nothing here waits but the watcher.
"""

import asyncio
from collections import deque

from sagong.store.errors import StoreError, Unavailable, WatchOverflow
from sagong.store.interface import Batch

# A watcher is a cache that does nothing but apply what it reads; this is many seconds of a busy
# cluster. Past it the watch fails with WatchOverflow and the watcher starts again from a list.
WATCH_BUFFER_BATCHES = 16384


def select(batch: Batch, prefix: str) -> Batch | None:
    """The part of a batch under a prefix; None if there is none."""
    if not prefix:
        return batch
    changes = [change for change in batch.changes if change.key.startswith(prefix)]
    if not changes:
        return None
    return batch if len(changes) == len(batch.changes) else Batch(batch.revision, changes)


class Subscription:
    """One watcher's bounded buffer. Made by :meth:`Feed.open`."""

    def __init__(self, feed: "Feed", prefix: str, since: int, batches_max: int) -> None:
        self.prefix = prefix
        # The newest revision handed over so far, be it by a change or by progress.
        self.revision = since
        self._feed = feed
        self._batches: deque[Batch] = deque()
        self._batches_max = batches_max
        self._failure: StoreError | None = None
        self._waiter: asyncio.Future[None] | None = None

    def push(self, batch: Batch) -> None:
        """Hand over a batch that is newer than all before it."""
        self.revision = batch.revision
        if self._batches and not self._batches[-1].changes:
            self._batches.pop()  # A newer batch says all that unread progress said.
        if len(self._batches) >= self._batches_max:
            self._batches.clear()
            self.fail(WatchOverflow(f"watch of {self.prefix!r} fell {self._batches_max} behind"))
            return
        self._batches.append(batch)
        self._wake()

    def fail(self, failure: StoreError) -> None:
        """End the watch with a failure, after what is already in the buffer."""
        self._failure = self._failure or failure
        self._feed.drop(self)
        self._wake()

    async def wait_next(self) -> Batch:
        """The next batch. Raises WatchOverflow, Unavailable."""
        while not self._batches:
            if self._failure is not None:
                raise self._failure
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._batches.popleft()

    def close(self) -> None:
        self._feed.drop(self)
        self._batches.clear()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Feed:
    """The watchers of one store."""

    def __init__(self, *, batches_max: int = WATCH_BUFFER_BATCHES) -> None:
        self._subscriptions: dict[Subscription, None] = {}
        self._batches_max = batches_max
        self._closed = False

    def open(self, prefix: str, since: int) -> Subscription:
        """Receive every batch published from now on; ``since`` is the newest one published."""
        if self._closed:
            raise Unavailable("the store is closed")
        subscription = Subscription(self, prefix, since, self._batches_max)
        self._subscriptions[subscription] = None
        return subscription

    def drop(self, subscription: Subscription) -> None:
        self._subscriptions.pop(subscription, None)

    def publish(self, batch: Batch) -> None:
        """Hand a batch to every watcher that it concerns, at once."""
        for subscription in tuple(self._subscriptions):
            part = select(batch, subscription.prefix)
            if part is not None:
                subscription.push(part)

    def progress(self, revision: int) -> None:
        """Tell watchers that nothing up to the revision is still to come."""
        for subscription in tuple(self._subscriptions):
            if subscription.revision < revision:
                subscription.push(Batch(revision, ()))

    def close(self) -> None:
        """End every watch with Unavailable."""
        self._closed = True
        for subscription in tuple(self._subscriptions):
            subscription.fail(Unavailable("the store was closed"))
