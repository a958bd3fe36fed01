"""List: all combinations of resourceVersion, resourceVersionMatch, limit and continue."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sagong.api import errors
from sagong.api.call import Call, Listing, Options
from sagong.api.types import Encoded, Obj
from sagong.server import pages
from sagong.server.cache import Item
from sagong.server.keys import prefix_of, scope_of
from sagong.server.registry.answers import shown
from sagong.server.registry.backend import Backend
from sagong.server.registry.continuation import EXPIRED, Continuation, decode, encode
from sagong.server.registry.selection import Predicate, predicate_of
from sagong.server.registry.served import Served
from sagong.store.errors import Compacted, FutureRevision

FUTURE_WAIT_SECONDS = 3.0  # upstream's blockTimeout for a revision that has not come yet


@dataclass(frozen=True, slots=True)
class Page:
    """Items of a list in path order; where it goes on ("" at the end) and how many are left."""

    items: Sequence[Item]
    revision: int
    next: str = ""
    remaining: int = 0
    whole: pages.Page | None = None  # the cache's own, if it is just that


async def list_(backend: Backend, call: Call) -> Listing:
    """Objects of a collection. Raises BadRequest, Expired, Timeout, Invalid."""
    served, options = backend.served(call.resource), call.options
    check_list_options(options)
    predicate = predicate_of(served, options)
    scope = scope_of(call.namespace)
    items: Sequence[Encoded]
    kept: pages.Page | None = None
    if served.converter is not None:
        page, items = await _converted(backend, served, scope, options, predicate)
    else:
        page = await _page(backend, served, scope, options, predicate)
        if page.whole is not None and not served.is_converted:
            items, kept = page.whole.encoded, page.whole
        else:
            items = [shown(served, item.encoded) for item in page.items]
    token, remaining = "", None
    if page.next:
        token = encode(Continuation(page.revision, page.next))
        remaining = page.remaining if predicate is None else None
    return Listing(call.resource, items, str(page.revision), token, remaining, kept=kept)


async def _converted(
    backend: Backend, served: Served, scope: str, options: Options, predicate: Predicate | None
) -> tuple[Page, list[Encoded]]:
    """A page of what is selected once it has been converted, all in one question."""
    from sagong.server.registry.converting import select

    limit = options.limit
    if predicate is not None:
        options = replace(options, limit=0)
    page = await _page(backend, served, scope, options, None)
    found = await select(served, page.items, predicate)
    if predicate is not None:
        page = _cut([item for item, _ in found], limit, page.revision)
    return page, [encoded for _, encoded in found[: len(page.items)]]


def check_list_options(options: Options) -> None:
    """Refuse contradictions, as ValidateListOptions."""
    match, version = options.resource_version_match, options.resource_version
    causes: list[Obj] = []

    def forbid(detail: str, field: str = "resourceVersionMatch") -> None:
        causes.append(
            {
                "reason": "FieldValueForbidden",
                "message": f"Forbidden: {detail}",
                "field": field,
            }
        )

    if options.send_initial_events is not None:
        forbid("sendInitialEvents is forbidden for list", "sendInitialEvents")
    if match and not version:
        forbid("resourceVersionMatch is forbidden unless resourceVersion is provided")
    if match and options.continue_:
        forbid("resourceVersionMatch is forbidden when continue is provided")
    if match not in ("", "Exact", "NotOlderThan"):
        causes.append(
            {
                "reason": "FieldValueNotSupported",
                "message": f'Unsupported value: "{match}": supported values: '
                '"Exact", "NotOlderThan", ""',
                "field": "resourceVersionMatch",
            }
        )
    if match == "Exact" and version == "0":
        forbid('resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
    if causes:
        raise errors.invalid("meta.k8s.io", "ListOptions", "", causes)
    if options.continue_ and version not in ("", "0"):
        raise errors.BadRequest("specifying resource version is not allowed when using continue")


def parse_version(text: str) -> int:
    """A resourceVersion parameter; "" is 0. Raises BadRequest."""
    if not text:
        return 0
    if not text.isascii() or not text.isdigit():
        raise errors.BadRequest(
            f'invalid resource version: resourceVersion: Invalid value: "{text}": '
            f'strconv.ParseUint: parsing "{text}": invalid syntax'
        )
    return int(text)


async def _page(
    backend: Backend, served: Served, scope: str, options: Options, predicate: Predicate | None
) -> Page:
    if options.continue_:
        return await _continued(backend, served, scope, options, predicate)
    revision = parse_version(options.resource_version)
    if options.resource_version == "":
        await backend.wait_fresh()
    elif revision > 0:
        await wait_for_revision(backend, revision)
        exact = options.resource_version_match == "Exact"
        if exact or (options.limit and not options.resource_version_match):
            return await _at(backend, served, scope, options.limit, predicate, revision, "")
    return _now(backend, served, scope, options.limit, predicate, "")


async def wait_for_revision(backend: Backend, revision: int) -> None:
    """Until the caches are there. Raises Timeout if they do not get there in time."""
    if revision <= backend.caches.revision:
        return
    if not backend.store_is_local:
        with contextlib.suppress(TimeoutError):
            await backend.caches.wait_revision(revision, timeout_seconds=FUTURE_WAIT_SECONDS)
            return
    raise too_large(revision, backend.caches.revision)


def too_large(revision: int, current: int) -> errors.Timeout:
    return errors.Timeout(
        f"Timeout: Too large resource version: {revision}, current: {current}",
        details={
            "causes": [
                {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
            ],
            "retryAfterSeconds": 1,
        },
    )


def _now(
    backend: Backend,
    served: Served,
    scope: str,
    limit: int,
    predicate: Predicate | None,
    start: str,
) -> Page:
    cache = backend.cache(served)
    revision = backend.caches.revision
    if predicate is None:
        page = cache.page(scope, start=start, limit=limit)
        return Page(page.items, revision, _after(page.items) if page.left else "", page.left, page)
    items, _ = cache.items(scope, start=start)
    return _cut([i for i in items if predicate(i.encoded.obj)], limit, revision)


def _cut(items: list[Item], limit: int, revision: int) -> Page:
    if not limit or len(items) <= limit:
        return Page(items, revision)
    page = items[:limit]
    return Page(page, revision, _after(page), len(items) - limit)


def _after(items: Sequence[Item]) -> str:
    """The first path that could follow the last item."""
    return items[-1].path + "\0"


async def _continued(
    backend: Backend, served: Served, scope: str, options: Options, predicate: Predicate | None
) -> Page:
    token = decode(options.continue_)
    if token.revision <= 0:
        return _now(backend, served, scope, options.limit, predicate, token.start)
    try:
        return await _at(
            backend, served, scope, options.limit, predicate, token.revision, token.start
        )
    except errors.Expired:
        token = Continuation(-1, token.start)
        raise errors.Expired(EXPIRED, metadata={"continue": encode(token)}) from None


async def _at(
    backend: Backend,
    served: Served,
    scope: str,
    limit: int,
    predicate: Predicate | None,
    revision: int,
    start: str,
) -> Page:
    """The list as it was at a revision; from the cache if nothing of the kind changed since."""
    if backend.cache(served).version <= revision <= backend.caches.revision:
        page = _now(backend, served, scope, limit, predicate, start)
        return replace(page, revision=revision)
    prefix = prefix_of(served.storage)
    try:
        # With a selector the store's limit would count what is not selected.
        found = await backend.store.range(
            prefix + scope,
            start=prefix + start if start else "",
            limit=0 if predicate else limit,
            revision=revision,
        )
    except Compacted:
        raise errors.Expired("The resourceVersion for the provided list is too old.") from None
    except FutureRevision as error:
        raise too_large(revision, error.current) from None
    items = [Item(e.key[len(prefix) :], e.value, e.mod_revision) for e in found.entries]
    if predicate is not None:
        return _cut([i for i in items if predicate(i.encoded.obj)], limit, revision)
    left = found.count - len(items) if found.more else 0
    return Page(items, revision, _after(items) if found.more else "", left)
