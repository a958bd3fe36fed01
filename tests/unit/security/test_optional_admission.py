"""Plugins that are off by default, and the configuration that turns them on."""

import pytest

from sagong.api.errors import Forbidden, TooManyRequests
from sagong.api.types import Obj, User
from sagong.server.admission.always_pull_images import AlwaysPullImages
from sagong.server.admission.event_rate_limit import BadLimits, EventRateLimit, limits_of
from sagong.server.admission.owner_references import OwnerReferencesPermissionEnforcement
from sagong.server.authz.interface import Attributes as Asked
from sagong.server.authz.interface import Decision, Effect

from .clocks import FixedClock
from .test_admission import RESOURCES, World, refused, run


def pod(**spec: object) -> Obj:
    containers = [{"name": "c", "image": "i", "imagePullPolicy": "IfNotPresent"}]
    metadata = {"name": "p", "namespace": "one"}
    return {"metadata": metadata, "spec": {"containers": containers, **spec}}


async def test_images_are_always_pulled() -> None:
    world, plugin = World(), AlwaysPullImages()
    volumes = [{"name": "v", "image": {"reference": "r", "pullPolicy": "Never"}}]
    made = await run(plugin, world.create("pods", pod(volumes=volumes)))
    assert made["spec"]["containers"][0]["imagePullPolicy"] == "Always"
    assert made["spec"]["volumes"][0]["image"]["pullPolicy"] == "Always"
    # An update without new images leaves the pod as it is.
    same = await run(plugin, world.update("pods", pod(), pod()))
    assert same["spec"]["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    with pytest.raises(Forbidden, match='Unsupported value: "IfNotPresent"'):
        await plugin.validate(world.create("pods", pod()))


def event(name: str, namespace: str = "one") -> Obj:
    return {
        "metadata": {"name": "e", "namespace": namespace},
        "involvedObject": {"kind": "Pod", "name": name, "namespace": namespace},
        "source": {"component": "test"},
    }


@pytest.mark.parametrize(
    ("kind", "other", "key"),
    [
        ("Server", None, "{}"),
        ("Namespace", event("p", "default"), "one"),
        ("SourceAndObject", event("q"), "testPodonep"),
    ],
)
async def test_events_are_limited_by_what_the_limit_says(
    kind: str, other: Obj | None, key: str
) -> None:
    world, clock = World(), FixedClock()
    plugin = EventRateLimit(limits_of({"limits": [{"type": kind, "qps": 1, "burst": 2}]}), clock)
    for _ in range(2):
        await run(plugin, world.create("events", event("p")))
    error = await refused(plugin, world.create("events", event("p")))
    assert isinstance(error, TooManyRequests)
    assert error.message == f"limit reached on type {kind} for key {key}"
    if other is not None:
        await run(plugin, world.create("events", other))
    clock.time += 1
    await run(plugin, world.create("events", event("p")))
    await run(plugin, world.create("events", event("p"), dry_run=True))


@pytest.mark.parametrize(
    "limits",
    [[], [{"type": "Cluster", "qps": 1, "burst": 1}], [{"type": "Server", "qps": 0, "burst": 1}]],
)
def test_limits_that_are_none(limits: list[Obj]) -> None:
    with pytest.raises(BadLimits):
        limits_of({"limits": limits})


class Only:
    """Allows what is listed."""

    def __init__(self, *allowed: tuple[str, str]) -> None:
        self._allowed = allowed

    async def authorize(self, asked: Asked) -> Decision:
        where = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
        if (asked.verb, where) in self._allowed:
            return Decision(Effect.ALLOW)
        return Decision(Effect.NO_OPINION, "no rule")


def owned(*, block: bool = True, kind: str = "ReplicaSet") -> Obj:
    reference = {"apiVersion": "apps/v1", "kind": kind, "name": "r", "uid": "u"}
    made = pod()
    made["metadata"]["ownerReferences"] = [{**reference, "blockOwnerDeletion": block}]
    return made


USER = User("ann")
DELETE, FINALIZERS = ("delete", "pods"), ("update", "replicasets/finalizers")


@pytest.mark.parametrize(
    ("allowed", "old", "new", "told"),
    [
        ((), None, owned(block=False), ""),
        ((), None, owned(), "can't set finalizers on"),
        ((FINALIZERS,), None, owned(), ""),
        ((FINALIZERS,), None, owned(kind="Nothing"), "cannot find RESTMapping"),
        ((), pod(), pod(), ""),
        ((), owned(), owned(), ""),
        ((FINALIZERS,), pod(), owned(), "a resource you can't delete"),
        ((FINALIZERS, DELETE), pod(), owned(), ""),
        ((DELETE,), pod(), owned(), "can't set finalizers on"),
        ((DELETE,), owned(), pod(), ""),
    ],
)
async def test_owners_are_set_by_those_who_may(
    allowed: tuple[tuple[str, str], ...], old: Obj | None, new: Obj, told: str
) -> None:
    world = World()
    plugin = OwnerReferencesPermissionEnforcement(Only(*allowed), RESOURCES.of_kind)
    write = world.create("pods", new) if old is None else world.update("pods", new, old)
    if told:
        assert told in (await refused(plugin, write)).message
    else:
        await run(plugin, write)
