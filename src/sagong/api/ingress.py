"""Which Ingresses are served by this cluster's own proxies. Pure."""

from collections.abc import Iterable

from sagong.api.meta import annotations_of, name_of, namespace_of
from sagong.api.types import Obj

CLASS = "sagong"
CONTROLLER = "sagong.io/ingress"
_OLD_CLASS_ANNOTATION = "kubernetes.io/ingress.class"


def ingress_class() -> Obj:
    """Not the cluster's default: that would change what the API answers for an Ingress."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": CLASS},
        "spec": {"controller": CONTROLLER},
    }


def is_ours(ingress: Obj, classes: Iterable[Obj]) -> bool:
    """By its class, whose controller is ours; without a class while nobody else has one here."""
    named = ingress["spec"].get("ingressClassName")
    name = named or annotations_of(ingress).get(_OLD_CLASS_ANNOTATION, "")
    controllers = {name_of(c): c["spec"].get("controller") for c in classes}
    if name:
        return controllers.get(name) == CONTROLLER
    return all(controller == CONTROLLER for controller in controllers.values())


def certificate_secrets(ingress: Obj) -> Iterable[tuple[str, str]]:
    """Namespace and name of the secrets that an Ingress takes certificates from."""
    for entry in ingress["spec"].get("tls") or ():
        if entry.get("secretName"):
            yield namespace_of(ingress), entry["secretName"]
