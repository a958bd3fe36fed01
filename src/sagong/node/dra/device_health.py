"""How the devices of a pod are, as its status tells (``allocatedResourcesStatus``)."""

from collections.abc import Mapping, Sequence

from sagong.api.meta import uid_of
from sagong.api.types import Obj
from sagong.node.devices.pool import DevicePool
from sagong.node.dra.claims import PodClaims
from sagong.node.pods.model import Kind
from sagong.node.pods.spec import containers_of


def health_of(pod: Obj, pool: DevicePool, claims: PodClaims) -> Mapping[str, Sequence[Obj]]:
    """By main container: device plugins' devices, then those of claims."""
    found = {}
    for container in containers_of(pod, Kind.MAIN):
        told = [*_plugins(uid_of(pod), container["name"], pool), *_claims(pod, container, claims)]
        if told:
            found[container["name"]] = told
    return found


def _plugins(uid: str, name: str, pool: DevicePool) -> list[Obj]:
    return [
        {
            "name": resource,
            "resources": [
                {"resourceID": device, "health": pool.health(resource, device)}
                for device in sorted(ids)
            ],
        }
        for resource, ids in sorted(pool.granted(uid, name).items())
    ]


def _claims(pod: Obj, container: Obj, claims: PodClaims) -> list[Obj]:
    told = []
    for use in claims.uses(pod, container):
        resources = []
        for driver, device in use.devices():
            health = claims.drivers.health(driver, device.pool, device.device)
            own = device.cdi_ids[0] if device.cdi_ids else f"{driver}/{device.pool}/{device.device}"
            entry = {"resourceID": own, "health": health.status}
            resources.append(entry | ({"message": health.message} if health.message else {}))
        name = f"claim:{use.name}/{use.request}" if use.request else f"claim:{use.name}"
        told.append({"name": name, "resources": resources})
    return told
