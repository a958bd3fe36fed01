"""Pages of lists are shared and their bodies kept, within bounds, until something changes."""

from sagong.api.types import Resource
from sagong.server.cache import ResourceCache
from sagong.server.pages import BODY_BYTES_MIN, Bodies

PODS = Resource("", "v1", "pods", "Pod", namespaced=True)
STORED = b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"}}'


class Maker:
    """Makes a body, and counts how often."""

    def __init__(self, size: int = BODY_BYTES_MIN) -> None:
        self.made = 0
        self._size = size

    def __call__(self) -> tuple[bytes, ...]:
        self.made += 1
        return (b"x", b"x" * (self._size - 1))


def cache_of(paths: list[str], bodies: Bodies | None = None) -> ResourceCache:
    cache = ResourceCache(PODS, bodies)
    for revision, path in enumerate(paths, start=1):
        cache.apply(path, STORED, revision)
    return cache


def test_a_page_is_the_same_until_something_changes() -> None:
    cache = cache_of(["a/1", "a/2", "b/1"])
    first = cache.page("a/", limit=1)
    assert ([item.path for item in first.items], first.left) == (["a/1"], 1)
    assert cache.page("a/", limit=1) is first
    assert cache.page("a/") is not first
    cache.apply("a/0", STORED, 9)
    assert [item.path for item in cache.page("a/", limit=1).items] == ["a/0"]
    assert [item.path for item in first.items] == ["a/1"]


def test_a_body_that_is_asked_for_again_is_made_no_third_time() -> None:
    cache, make = cache_of(["a/1"]), Maker()
    for _ in range(4):
        cache.page().body("json", make)
    assert make.made == 2
    cache.page().body("other", make)
    assert make.made == 3
    cache.apply("a/1", STORED, 9)
    cache.page().body("json", make)
    assert make.made == 4


def test_bodies_are_bounded_and_go_with_their_page() -> None:
    bodies = Bodies(bytes_max=2 * BODY_BYTES_MIN)
    cache = cache_of(["a/1", "b/1", "c/1"], bodies)
    makers = {scope: Maker() for scope in ("a/", "b/", "c/")}
    for scope, make in makers.items():
        cache.page(scope).body("json", make)
        cache.page(scope).body("json", make)
    assert bodies.bytes_kept == 2 * BODY_BYTES_MIN
    cache.page("a/").body("json", makers["a/"])  # the oldest, which had to go
    cache.page("c/").body("json", makers["c/"])
    assert (makers["a/"].made, makers["c/"].made) == (3, 2)
    page = cache.page("c/")
    cache.apply("a/1", STORED, 9)
    assert bodies.bytes_kept == 0
    page.body("json", makers["c/"])  # somebody still at work with it keeps nothing
    assert bodies.bytes_kept == 0


def test_what_is_larger_than_all_is_not_kept() -> None:
    bodies = Bodies(bytes_max=BODY_BYTES_MIN)
    cache, make = cache_of(["a/1"], bodies), Maker(BODY_BYTES_MIN + 1)
    for _ in range(3):
        cache.page().body("json", make)
    assert (make.made, bodies.bytes_kept) == (3, 0)
