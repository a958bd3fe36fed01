"""A container's environment: services, envFrom, env, in upstream's order of precedence. Pure."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sagong.api.types import Obj
from sagong.node.pods.downward import NodeFacts, field_value, resource_value
from sagong.node.pods.expansion import expand
from sagong.node.pods.failures import ConfigFailure

# (resource, name) of the pod's own namespace -> object; None if there is none.
References = Mapping[tuple[str, str], Obj | None]


@dataclass(frozen=True, slots=True)
class EnvironmentSources:
    """Everything outside the spec that the environment depends on."""

    references: References
    services: Sequence[Obj]  # all services of the pod's namespace, and default/kubernetes
    node: NodeFacts
    pod_ips: Sequence[str]


def referenced(container: Obj) -> set[tuple[str, str]]:
    """ConfigMaps and Secrets that the environment needs: (resource, name)."""
    found = set()
    for source in container.get("envFrom") or []:
        for field, resource in (("configMapRef", "configmaps"), ("secretRef", "secrets")):
            if field in source:
                found.add((resource, source[field]["name"]))
    for variable in container.get("env") or []:
        value_from = variable.get("valueFrom") or {}
        for field, resource in (("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")):
            if field in value_from:
                found.add((resource, value_from[field]["name"]))
    return found


def build_environment(pod: Obj, container: Obj, sources: EnvironmentSources) -> dict[str, str]:
    """Names and values in order. Raises ConfigFailure with upstream's message."""
    service_variables = service_environment(pod, sources.services)
    result: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        result |= _from_source(pod, source, sources.references)
    for variable in container.get("env") or []:
        name, value = variable["name"], variable.get("value", "")
        if value_from := variable.get("valueFrom"):
            resolved = _from_reference(pod, container, value_from, sources)
            if resolved is None:
                continue
            result[name] = resolved
        else:
            result[name] = expand(value, {**service_variables, **result})
    # What the user defines wins over the services' variables.
    return {**{k: v for k, v in service_variables.items() if k not in result}, **result}


def _from_source(pod: Obj, source: Obj, references: References) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    if "configMapRef" in source:
        obj = _lookup(pod, "configmaps", source["configMapRef"], references)
        data: Mapping[str, str] = (obj or {}).get("data") or {}
    elif "secretRef" in source:
        obj = _lookup(pod, "secrets", source["secretRef"], references)
        data = {k: decode(v).decode(errors="replace") for k, v in _data(obj).items()}
    else:
        data = {}
    return {prefix + key: value for key, value in sorted(data.items())}


def _data(obj: Obj | None) -> Mapping[str, str]:
    return (obj or {}).get("data") or {}


def decode(text: str) -> bytes:
    return base64.b64decode(text)


def _lookup(pod: Obj, resource: str, reference: Obj, references: References) -> Obj | None:
    """The object, or None if it is optional and absent."""
    obj = references.get((resource, reference["name"]))
    if obj is None and not reference.get("optional"):
        kind = "configmap" if resource == "configmaps" else "secret"
        raise ConfigFailure(f'{kind} "{reference["name"]}" not found')
    return obj


def _from_reference(
    pod: Obj, container: Obj, value_from: Obj, sources: EnvironmentSources
) -> str | None:
    """The value, or None if the reference is optional and leads nowhere."""
    if reference := value_from.get("fieldRef"):
        return field_value(pod, reference["fieldPath"], sources.node, sources.pod_ips)
    if reference := value_from.get("resourceFieldRef"):
        return resource_value(pod, container, reference, sources.node)
    for field, resource, kind in (
        ("configMapKeyRef", "configmaps", "ConfigMap"),
        ("secretKeyRef", "secrets", "Secret"),
    ):
        if reference := value_from.get(field):
            obj = _lookup(pod, resource, reference, sources.references)
            value = _data(obj).get(reference["key"])
            if value is not None:
                return decode(value).decode(errors="replace") if kind == "Secret" else value
            if reference.get("optional"):
                return None
            where = f"{pod['metadata']['namespace']}/{reference['name']}"
            raise ConfigFailure(f"couldn't find key {reference['key']} in {kind} {where}")
    raise ConfigFailure(f"no such source of an environment value: {', '.join(value_from)}")


def service_environment(pod: Obj, services: Iterable[Obj]) -> dict[str, str]:
    """Variables of the namespace's services (if enableServiceLinks) and of default/kubernetes."""
    namespace = pod["metadata"]["namespace"]
    links = pod["spec"].get("enableServiceLinks", True)
    chosen: dict[str, Obj] = {}
    for service in services:
        name, home = service["metadata"]["name"], service["metadata"]["namespace"]
        address = service["spec"].get("clusterIP")
        if not address or address == "None":
            continue
        is_master = home == "default" and name == "kubernetes"
        # A service of the pod's own namespace wins over the one that every pod gets.
        if (home == namespace and links) or (is_master and name not in chosen):
            chosen[name] = service
    variables: dict[str, str] = {}
    for _, service in sorted(chosen.items()):
        variables |= _variables_of(service)
    return variables


def _variables_of(service: Obj) -> dict[str, str]:
    prefix = _upper(service["metadata"]["name"])
    address = service["spec"]["clusterIP"]
    ports: list[Any] = service["spec"].get("ports") or []
    if not ports:
        return {f"{prefix}_SERVICE_HOST": address}
    host = f"[{address}]" if ":" in address else address
    variables = {
        f"{prefix}_SERVICE_HOST": address,
        f"{prefix}_SERVICE_PORT": str(ports[0]["port"]),
    }
    for port in ports:
        if port.get("name"):
            variables[f"{prefix}_SERVICE_PORT_{_upper(port['name'])}"] = str(port["port"])
    for index, port in enumerate(ports):
        protocol = port.get("protocol") or "TCP"
        url = f"{protocol.lower()}://{host}:{port['port']}"
        if index == 0:
            variables[f"{prefix}_PORT"] = url
        start = f"{prefix}_PORT_{port['port']}_{protocol}"
        variables |= {
            start: url,
            f"{start}_PROTO": protocol.lower(),
            f"{start}_PORT": str(port["port"]),
            f"{start}_ADDR": address,
        }
    return variables


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")
