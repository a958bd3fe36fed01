"""What a new cluster has: the service ``kubernetes`` with its endpoints, by which pods find the
API, and the default storage class.
"""

import ipaddress

from sagong.api import errors
from sagong.api.ingress import ingress_class
from sagong.api.local_volumes import default_class
from sagong.api.types import Obj
from sagong.client.client import Client

_LABELS = {"component": "apiserver", "provider": "kubernetes"}
_SLICE_LABELS = {"kubernetes.io/service-name": "kubernetes"}


async def bootstrap_objects(
    client: Client, *, address: str, port: int, cidr: str, authentication: Obj
) -> None:
    """Create what is missing, correct the endpoints. Idempotent.

    ``authentication`` is the ConfigMap by which extensions learn whom to believe.
    """
    await _ensure(client, "services", kubernetes_service(cidr, port))
    await _ensure(client, "storageclasses.storage.k8s.io", default_class())
    await _set(client, "configmaps", authentication, "data")
    await _ensure(client, "ingressclasses.networking.k8s.io", ingress_class())
    if ipaddress.ip_address(address).is_loopback:
        return  # no pod could reach it there; upstream refuses such an address altogether
    await _set(client, "endpoints", _endpoints(address, port), "subsets")
    await _set(
        client, "endpointslices.discovery.k8s.io", _endpoint_slice(address, port), "endpoints"
    )


async def _ensure(client: Client, resource: str, obj: Obj) -> None:
    metadata = obj["metadata"]
    try:
        await client.get(resource, metadata["name"], namespace=metadata.get("namespace"))
    except errors.NotFound:
        try:
            await client.create(resource, obj)
        except errors.AlreadyExists:
            return  # another server was faster


async def _set(client: Client, resource: str, obj: Obj, field: str) -> None:
    """Create the object, or correct one field of it (and its ports)."""
    metadata = obj["metadata"]
    try:
        found = await client.get(resource, metadata["name"], namespace=metadata["namespace"])
    except errors.NotFound:
        await _ensure(client, resource, obj)
        return
    wanted = {**found, field: obj[field]}
    if "ports" in obj:
        wanted["ports"] = obj["ports"]
    await client.update(resource, wanted)


def service_address(cidr: str) -> str:
    """The first address of the (first) service range, which is the API's."""
    return str(ipaddress.ip_network(cidr.partition(",")[0])[1])


def kubernetes_service(cidr: str, port: int) -> Obj:
    """Of one family even where the cluster has two, as upstream's is."""
    address = service_address(cidr)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": dict(_LABELS)},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": address,
            "clusterIPs": [address],
            "ipFamilies": ["IPv6" if ":" in address else "IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "sessionAffinity": "None",
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": port}],
        },
    }


def _endpoints(address: str, port: int) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [
            {
                "addresses": [{"ip": address}],
                "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
            }
        ],
    }


def _endpoint_slice(address: str, port: int) -> Obj:
    family = "IPv6" if ":" in address else "IPv4"
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": dict(_SLICE_LABELS)},
        "addressType": family,
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }
