"""What a controller is: a declaration, and a function from a key to a result.

A controller file holds a ``CONTROLLER`` declaration, ``observe`` (cache reads), ``plan`` (pure)
and ``reconcile(key, env)`` (observe, plan, apply). ``controllers/table.py`` lists them all, and
``ctl/runner.py`` owns queues, workers, retries, back-off, resync and metrics for all.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from sagong.api.meta import controller_of, namespace_of
from sagong.api.types import Key, Obj
from sagong.client.client import Client
from sagong.core.clock import Clock
from sagong.core.ids import Ids


@dataclass(frozen=True, slots=True)
class Result:
    """What the runner does next with the key."""

    # None: nothing until an event wakes the key. Otherwise look again after so many seconds.
    after_seconds: float | None = None


DONE = Result()


def after(seconds: float) -> Result:
    """Look at the key again after so many seconds, or earlier if an event wakes it."""
    return Result(after_seconds=max(0.0, seconds))


@dataclass(frozen=True, slots=True)
class Following:
    """Whether changes of a resource are told now, and how often they were not for a while."""

    is_up: bool
    losses: int


class Cache(Protocol):
    """Objects as last seen by this process's watches. Shared and immutable: copy to change."""

    def get(self, resource: str, namespace: str, name: str) -> Obj | None:
        """One object; namespace "" for cluster-scoped ones."""
        ...

    def list(self, resource: str, namespace: str | None = None) -> Iterable[Obj]:
        """All objects of a resource, or of one namespace, in no particular order."""
        ...

    def owned_by(self, resource: str, owner_uid: str) -> Iterable[Obj]:
        """Objects whose controller reference has this uid (indexed)."""
        ...

    def with_index(self, resource: str, index: str, value: str) -> Iterable[Obj]:
        """Objects with a value in a declared index (``Watch.indexes``, e.g. pods by node)."""
        ...

    def count(self, resource: str, index: str | None = None, value: str = "") -> int:
        """How many objects there are, or how many have a value in an index; looks at none."""
        ...

    def following(self, resource: str) -> Following:
        """For whoever concludes something from hearing nothing: it may be us who do not hear."""
        ...


class Events(Protocol):
    """Records Kubernetes Events, aggregated and rate-limited as client-go's recorder does."""

    def emit(self, about: Obj, type_: str, reason: str, message: str) -> None:
        """``type_`` is Normal or Warning. Never waits and never fails; losses are counted."""
        ...


@dataclass(frozen=True, slots=True)
class Env:
    """What a reconcile function may use; nothing else."""

    # Carries the controller's own identity. Its writes are remembered: the runner does not hand a
    # key to reconcile again before the cache has seen what the last reconcile of it wrote.
    client: Client
    cache: Cache
    events: Events
    clock: Clock
    ids: Ids


# Which keys of the reconciled resource an event of a watched object wakes. `old` is the object as
# it was before the event (None when added), `new` as it is (None when deleted).
Mapper = Callable[[Obj | None, Obj | None, Cache], Iterable[Key]]
Reconcile = Callable[[Key, Env], Awaitable[Result]]


@dataclass(frozen=True, slots=True)
class Watch:
    """A resource that a controller reads, and whom its changes concern (None: only read)."""

    resource: str
    wakes: Mapper | None = None
    # Extra indexes of the shared cache: name -> function from object to values.
    indexes: dict[str, Callable[[Obj], Iterable[str]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Controller:
    """A declaration; see the module's docstring."""

    name: str  # upstream's, as in "system:serviceaccount:kube-system:<name>-controller"
    reconciles: str  # resource whose keys are reconciled
    watches: tuple[Watch, ...] = ()
    workers: int = 1  # keys reconciled at once; one key is never reconciled twice at a time
    resync_seconds: float | None = None  # look at every key this often, whatever happens
    component: str = ""  # source of its Events; "" means "<name>-controller"
    # Objects of the reconciled resource that are none of its business are not even queued; those
    # that were its business before a change are.
    concerns: Callable[[Obj, Cache], bool] | None = None


def owned(resource: str, owner_kind: str | None = None) -> Watch:
    """Watch objects and wake the controller owner named in their ownerReferences.

    With ``owner_kind`` only owners of that kind are woken.
    """

    def wakes(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
        keys: dict[Key, None] = {}  # an ordered set
        for obj in (old, new):
            ref = controller_of(obj) if obj else None
            if ref and obj and owner_kind in (None, ref["kind"]):
                keys[Key(namespace_of(obj), ref["name"])] = None
        return keys

    return Watch(resource, wakes)


def reads(resource: str) -> Watch:
    """Keep a resource in the cache without being woken by it."""
    return Watch(resource)
