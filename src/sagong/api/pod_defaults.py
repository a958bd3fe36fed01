"""Defaults of pod specs and pod templates (upstream: pkg/apis/core/v1/defaults.go).

``default_pod_spec`` holds what every pod spec gets, in templates too; ``default_pod_only`` what
only a Pod gets, because a template's author may still want to see it unset.
"""

import re
from collections.abc import Iterator

from sagong.api.types import Obj
from sagong.api.volume_defaults import default_volume

# distribution/reference: a tag after the last colon of the last path component.
_TAG = re.compile(r":([\w][\w.-]{0,127})$")
_REPOSITORY = re.compile(
    r"^(?:(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*"
    r"[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?/)?"
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$"
)
CONTAINER_LISTS = ("containers", "initContainers", "ephemeralContainers")


def containers_of(spec: Obj) -> Iterator[Obj]:
    """Every container of a pod spec: regular, init and ephemeral ones."""
    for name in CONTAINER_LISTS:
        yield from spec.get(name) or ()


def pull_policy_of(image: str) -> str:
    """The default pull policy: Always for the tag ``latest``, given or implied."""
    name, _, digest = image.partition("@")
    tag = _TAG.search(name)
    repository = name[: tag.start()] if tag else name
    if not _REPOSITORY.match(repository):
        return "IfNotPresent"
    if tag:
        return "Always" if tag.group(1) == "latest" else "IfNotPresent"
    return "IfNotPresent" if digest else "Always"


def default_pod_template(template: Obj) -> None:
    """Defaults of a ``PodTemplateSpec``."""
    template.setdefault("metadata", {})
    default_pod_spec(template.setdefault("spec", {}))


def default_pod_spec(spec: Obj) -> None:
    """Defaults of a pod spec, wherever it stands."""
    if not spec.get("dnsPolicy"):
        spec["dnsPolicy"] = "ClusterFirst"
    if not spec.get("restartPolicy"):
        spec["restartPolicy"] = "Always"
    if spec.get("securityContext") is None:
        spec["securityContext"] = {}
    if spec.get("terminationGracePeriodSeconds") is None:
        spec["terminationGracePeriodSeconds"] = 30
    if not spec.get("schedulerName"):
        spec["schedulerName"] = "default-scheduler"
    _mirror_service_account(spec)
    for volume in spec.get("volumes") or ():
        default_volume(volume)
        image = volume.get("image")
        if image is not None and not image.get("pullPolicy"):
            image["pullPolicy"] = pull_policy_of(image.get("reference", ""))
    for container in containers_of(spec):
        _default_container(container)


def default_pod_only(spec: Obj) -> None:
    """Defaults that a Pod has and a template has not."""
    if spec.get("enableServiceLinks") is None:
        spec["enableServiceLinks"] = True
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        _default_requests(container.get("resources"))
        if spec.get("hostNetwork"):
            for port in container.get("ports") or ():
                if not port.get("hostPort"):
                    port["hostPort"] = port.get("containerPort", 0)
    if spec.get("resources"):
        _default_pod_level_requests(spec)


def _mirror_service_account(spec: Obj) -> None:
    """The deprecated ``serviceAccount`` follows ``serviceAccountName`` (upstream's conversion)."""
    name = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if name:
        spec["serviceAccountName"] = spec["serviceAccount"] = name


def _default_container(container: Obj) -> None:
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = pull_policy_of(container.get("image", ""))
    if not container.get("terminationMessagePath"):
        container["terminationMessagePath"] = "/dev/termination-log"
    if not container.get("terminationMessagePolicy"):
        container["terminationMessagePolicy"] = "File"
    container.setdefault("resources", {})
    for port in container.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name) is not None:
            _default_probe(container[name])
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict) and hook.get("httpGet") is not None:
            _default_http_get(hook["httpGet"])
    for env in container.get("env") or ():
        _default_env(env.get("valueFrom") or {})


def _default_env(source: Obj) -> None:
    field = source.get("fieldRef")
    if field is not None and not field.get("apiVersion"):
        field["apiVersion"] = "v1"
    resource = source.get("resourceFieldRef")
    if resource is not None and not resource.get("divisor"):
        resource["divisor"] = "0"
    key = source.get("fileKeyRef")
    if key is not None and key.get("optional") is None:
        key["optional"] = False


def _default_probe(probe: Obj) -> None:
    for name, value in _PROBE_DEFAULTS:
        if not probe.get(name):
            probe[name] = value
    if probe.get("httpGet") is not None:
        _default_http_get(probe["httpGet"])
    if probe.get("grpc") is not None and probe["grpc"].get("service") is None:
        probe["grpc"]["service"] = ""


_PROBE_DEFAULTS = (
    ("timeoutSeconds", 1),
    ("periodSeconds", 10),
    ("successThreshold", 1),
    ("failureThreshold", 3),
)


def _default_http_get(action: Obj) -> None:
    if not action.get("path"):
        action["path"] = "/"
    if not action.get("scheme"):
        action["scheme"] = "HTTP"


def _default_requests(resources: Obj | None) -> None:
    """A limit without a request is a request too."""
    if resources and resources.get("limits"):
        requests = resources.get("requests") or {}
        resources["requests"] = {**resources["limits"], **requests}


def _default_pod_level_requests(spec: Obj) -> None:
    """Pod-level requests: what containers request in all where they say, else the pod's limit.

    Only the resources that may be set at pod level count (cpu, memory, hugepages-*).
    """
    resources = spec["resources"]
    limits = resources.get("limits") or {}
    requests = dict(resources.get("requests") or {})
    asked = {
        name
        for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
        for name in (container.get("resources") or {}).get("requests") or {}
    }
    for name, quantity in limits.items():
        if name not in requests and name not in asked:
            requests[name] = quantity
    if requests:
        resources["requests"] = requests
