"""Pages of lists as they are until their collection changes, and the bytes that were made of them.

Clients that list the same again while nothing has changed get the same bytes, which are joined and
encoded once. What is kept is bounded for the whole server: past it what was not asked for longest
goes.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sagong.api.types import Encoded

if TYPE_CHECKING:
    from sagong.server.cache import Item

# Of all bodies together: a few lists of some thousand objects.
BODIES_BYTES_MAX = 24 * 1024 * 1024
# Below this a body is made as fast as it is found.
BODY_BYTES_MIN = 4 * 1024
# Of one collection; past it all are forgotten.
PAGES_MAX = 64
# In parts, so that a large one is no single block of memory.
Body = tuple[bytes, ...]


class Bodies:
    """What is kept of all collections, least recently used first."""

    def __init__(self, *, bytes_max: int = BODIES_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._kept: dict[tuple[Page, str], Body] = {}
        self.bytes_kept = 0

    def get(self, page: "Page", form: str) -> Body | None:
        body = self._kept.pop((page, form), None)
        if body is not None:
            self._kept[page, form] = body  # now the last
        return body

    def keep(self, page: "Page", form: str, body: Body) -> None:
        size = _size(body)
        if size > self._bytes_max or (page, form) in self._kept:
            return
        self._kept[page, form] = body
        self.bytes_kept += size
        while self.bytes_kept > self._bytes_max:
            oldest = next(iter(self._kept))
            self.bytes_kept -= _size(self._kept.pop(oldest))

    def forget(self, page: "Page", form: str) -> None:
        body = self._kept.pop((page, form), None)
        if body is not None:
            self.bytes_kept -= _size(body)


def _size(body: Body) -> int:
    return sum(map(len, body))


class Page:
    """Some objects of a collection in path order, and how many more a limit left out."""

    __slots__ = ("_bodies", "_encoded", "_forms", "items", "left")

    def __init__(self, items: "Sequence[Item]", left: int, bodies: Bodies) -> None:
        self.items = items
        self.left = left
        self._bodies: Bodies | None = bodies
        self._encoded: Sequence[Encoded] | None = None
        # What bodies were asked for; what is asked for once is not kept.
        self._forms: set[str] = set()

    @property
    def encoded(self) -> Sequence[Encoded]:
        """The objects; the same sequence for all who ask, so never change it."""
        if self._encoded is None:
            self._encoded = [item.encoded for item in self.items]
        return self._encoded

    def body(self, form: str, make: Callable[[], Body]) -> Body:
        """The objects in some form: what ``make`` makes of them, or made of them before."""
        if self._bodies is None:
            return make()
        if form not in self._forms:
            self._forms.add(form)
            return make()
        body = self._bodies.get(self, form)
        if body is None:
            body = make()
            if _size(body) >= BODY_BYTES_MIN:
                self._bodies.keep(self, form, body)
        return body

    def expire(self) -> None:
        """The collection has changed: nobody will ask for this page again."""
        if self._bodies is not None:
            for form in self._forms:
                self._bodies.forget(self, form)
            self._bodies = None


class Pages:
    """Those of one collection that were asked for since it changed last."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._pages: dict[tuple[str, str, int], Page] = {}

    def get(
        self,
        scope: str,
        start: str,
        limit: int,
        make: "Callable[[str, str, int], tuple[Sequence[Item], int]]",
    ) -> Page:
        key = (scope, start, limit)
        page = self._pages.get(key)
        if page is None:
            if len(self._pages) >= PAGES_MAX:
                self.expire()
            items, left = make(scope, start, limit)
            page = self._pages[key] = Page(items, left, self._bodies)
        return page

    def expire(self) -> None:
        """The collection has changed."""
        if self._pages:
            for page in self._pages.values():
                page.expire()
            self._pages.clear()
