"""An operator as people write them with kopf: run by `kopf run`, makes a ConfigMap per object."""

import kopf
from kubernetes import client, config


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: object) -> None:
    config.load_kube_config()
    settings.persistence.finalizer = "example.com/kopf"


@kopf.on.create("example.com", "v1", "kopfthings")
def create_fn(spec: kopf.Spec, name: str, namespace: str, **_: object) -> dict[str, str]:
    body = {"metadata": {"name": f"{name}-config"}, "data": {"size": str(spec["size"])}}
    kopf.adopt(body)
    client.CoreV1Api().create_namespaced_config_map(namespace, body)
    return {"made": f"{name}-config"}


@kopf.on.field("example.com", "v1", "kopfthings", field="spec.size")
def resize(old: int | None, new: int, name: str, namespace: str, **_: object) -> None:
    if old is not None:
        patch = {"data": {"size": str(new)}}
        client.CoreV1Api().patch_namespaced_config_map(f"{name}-config", namespace, patch)


@kopf.on.delete("example.com", "v1", "kopfthings")
def delete_fn(name: str, namespace: str, **_: object) -> None:
    body = {"metadata": {"name": f"{name}-was-here"}}
    client.CoreV1Api().create_namespaced_config_map(namespace, body)
