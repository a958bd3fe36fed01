"""A Store whose values are encrypted in another one.

Keys, revisions and order are the inner store's. What cannot be deciphered is an error to whoever
reads it, never an empty or missing object.
"""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

from sagong.server.encryption.configuration import Encryption
from sagong.server.encryption.transformers import Transformer, Undecipherable
from sagong.server.keys import REGISTRY
from sagong.store.errors import Unavailable
from sagong.store.interface import (
    Batch,
    Change,
    Compare,
    Delete,
    Entry,
    Put,
    Range,
    Store,
    TxnResult,
)

log = logging.getLogger(__name__)

REWRITE_PAGE = 500  # entries looked at before others get their turn


class EncryptedStore:
    """Implements ``Store``. ``core`` names the resources of the core group by their plural."""

    def __init__(self, inner: Store, encryption: Encryption, core: frozenset[str]) -> None:
        self._inner = inner
        self._encryption = encryption
        self._core = core
        self._transformers: dict[str, Transformer | None] = {}

    async def get(self, key: str) -> Entry | None:
        entry = await self._inner.get(key)
        return None if entry is None else self._opened(entry)

    async def range(
        self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0
    ) -> Range:
        found = await self._inner.range(prefix, start=start, limit=limit, revision=revision)
        return replace(found, entries=[self._opened(entry) for entry in found.entries])

    async def txn(
        self, compares: Sequence[Compare], operations: Sequence[Put | Delete]
    ) -> TxnResult:
        result = await self._inner.txn(compares, [self._sealed(o) for o in operations])
        if not result.found:
            return result
        return replace(
            result, found=[None if entry is None else self._opened(entry) for entry in result.found]
        )

    async def watch(self, prefix: str, *, start_revision: int) -> AsyncIterator[Batch]:
        inner = cast(Any, self._inner.watch(prefix, start_revision=start_revision))
        async with aclosing(inner) as batches:
            async for batch in batches:
                yield replace(batch, changes=[self._opened_change(c) for c in batch.changes])

    async def current_revision(self) -> int:
        return await self._inner.current_revision()

    async def compact(self, revision: int) -> None:
        await self._inner.compact(revision)

    async def close(self) -> None:
        await self._inner.close()

    async def rewrite(self) -> int:
        """Write every value anew that is not sealed with the first key of its resource; how many.

        A value that somebody else changes meanwhile has been written with that key by them.
        """
        count, start, more = 0, "", True
        log.info("looking for values that are not sealed with the first key")
        while more:
            page = await self._inner.range(REGISTRY, start=start, limit=REWRITE_PAGE)
            for entry in page.entries:
                transformer = self._transformer(entry.key)
                if transformer is None or not transformer.is_stale(entry.value):
                    continue
                plain = self._opened(entry).value
                compare = Compare(entry.key, entry.mod_revision)
                result = await self.txn([compare], [Put(entry.key, plain)])
                count += result.succeeded
            more = page.more
            start = f"{page.entries[-1].key}\0" if page.entries else start
        log.info("%d values were written anew", count)
        return count

    def _transformer(self, key: str) -> Transformer | None:
        parts = key.removeprefix(REGISTRY).split("/", 2)
        resource = parts[0] if parts[0] in self._core else ".".join(reversed(parts[:2]))
        try:
            return self._transformers[resource]
        except KeyError:
            found = self._transformers[resource] = self._encryption.transformer(resource)
            return found

    def _sealed(self, operation: Put | Delete) -> Put | Delete:
        if isinstance(operation, Delete):
            return operation
        transformer = self._transformer(operation.key)
        if transformer is None:
            return operation
        return Put(operation.key, transformer.to_store(operation.value, operation.key.encode()))

    def _opened(self, entry: Entry) -> Entry:
        return replace(entry, value=self._plain(entry.key, entry.value))

    def _opened_change(self, change: Change) -> Change:
        if change.value is None:
            return change
        return replace(change, value=self._plain(change.key, change.value))

    def _plain(self, key: str, kept: bytes) -> bytes:
        """Raises Unavailable: a server with the wrong keys must not go on as if it had them."""
        transformer = self._transformer(key)
        if transformer is None:
            return kept
        try:
            return transformer.from_store(kept, key.encode())
        except Undecipherable as error:
            raise Unavailable(f"cannot decipher {key}: {error}") from error
