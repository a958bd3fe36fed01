"""The definitions of the Gateway API's kinds that the nodes' proxies serve, to be applied. Pure.

Their fields are the published ones of version 1; what our proxies do not read is kept as it is.
"""

from collections.abc import Sequence

from sagong.api.gateway import GROUP
from sagong.api.types import Obj

_STRING: Obj = {"type": "string"}
_PORT: Obj = {"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535}
_WEIGHT: Obj = {
    "type": "integer", "format": "int32", "minimum": 0, "maximum": 1000000, "default": 1,
}  # fmt: skip
_HOSTNAME: Obj = {
    "type": "string",
    "minLength": 1,
    "maxLength": 253,
    "pattern": r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
}


def _object(*required: str, **properties: Obj) -> Obj:
    """An object whose other fields are kept."""
    made: Obj = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    made |= {"properties": properties} if properties else {}
    return made | ({"required": list(required)} if required else {})


def _list(items: Obj, maximum: int, *keys: str) -> Obj:
    made: Obj = {"type": "array", "items": items, "maxItems": maximum}
    if keys:
        made |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}
    return made


def _one_of(*values: str, default: str = "") -> Obj:
    return {"type": "string", "enum": list(values)} | ({"default": default} if default else {})


def _reference(kind: str, group: str, *required: str, **more: Obj) -> Obj:
    return _object(
        "name",
        *required,
        group={"type": "string", "default": group},
        kind={"type": "string", "default": kind},
        name=_STRING,
        namespace=_STRING,
        **more,
    )


def _class_spec() -> Obj:
    return _object("controllerName", controllerName=_STRING, description=_STRING)


def _gateway_spec() -> Obj:
    listener = _object(
        "name",
        "port",
        "protocol",
        name=_STRING,
        hostname=_HOSTNAME,
        port=_PORT,
        protocol=_STRING,
        tls=_object(
            mode=_one_of("Terminate", "Passthrough", default="Terminate"),
            certificateRefs=_list(_reference("Secret", ""), 64),
        ),
        allowedRoutes=_object(
            namespaces=_object(**{"from": _one_of("All", "Selector", "Same", default="Same")}),
            kinds=_list(_object("kind", kind=_STRING), 8),
        )
        | {"default": {"namespaces": {"from": "Same"}}},
    )
    listeners = _list(listener, 64, "name") | {"minItems": 1}
    return _object("gatewayClassName", "listeners", gatewayClassName=_STRING, listeners=listeners)


def _route_spec() -> Obj:
    value = _object(
        "name",
        "value",
        type=_one_of("Exact", "RegularExpression", default="Exact"),
        name=_STRING,
        value=_STRING,
    )
    path = _object(
        type=_one_of("Exact", "PathPrefix", "RegularExpression", default="PathPrefix"),
        value={"type": "string", "maxLength": 1024, "default": "/"},
    ) | {"default": {"type": "PathPrefix", "value": "/"}}
    methods = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
    match = _object(
        path=path,
        headers=_list(value, 16, "name"),
        queryParams=_list(value, 16, "name"),
        method=_one_of(*methods),
    )
    filter_ = _object(
        "type",
        type=_one_of(
            "RequestHeaderModifier",
            "ResponseHeaderModifier",
            "RequestMirror",
            "RequestRedirect",
            "URLRewrite",
            "ExtensionRef",
        ),
        requestHeaderModifier=_object(),
        responseHeaderModifier=_object(),
        requestRedirect=_object(
            statusCode={"type": "integer", "enum": [301, 302], "default": 302}, port=_PORT
        ),
        urlRewrite=_object(),
    )
    rule = _object(
        matches=_list(match, 64) | {"default": [{"path": {"type": "PathPrefix", "value": "/"}}]},
        filters=_list(filter_, 16),
        backendRefs=_list(_reference("Service", "", port=_PORT, weight=_WEIGHT), 16),
    )
    everything = {"default": [{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}]}]}
    return _object(
        parentRefs=_list(_reference("Gateway", GROUP, sectionName=_STRING, port=_PORT), 32),
        hostnames=_list(_HOSTNAME, 16),
        rules=_list(rule, 16) | everything,
    )


def _grpc_route_spec() -> Obj:
    kinds = ("Exact", "RegularExpression")
    method = _object(type=_one_of(*kinds, default="Exact"), service=_STRING, method=_STRING)
    header = _object(
        "name", "value", type=_one_of(*kinds, default="Exact"), name=_STRING, value=_STRING
    )
    filters = ("RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "ExtensionRef")
    rule = _object(
        matches=_list(_object(method=method, headers=_list(header, 16, "name")), 64),
        filters=_list(_object("type", type=_one_of(*filters)), 16),
        backendRefs=_list(_reference("Service", "", port=_PORT, weight=_WEIGHT), 16),
    )
    return _object(
        parentRefs=_list(_reference("Gateway", GROUP, sectionName=_STRING, port=_PORT), 32),
        hostnames=_list(_HOSTNAME, 16),
        rules=_list(rule, 16),
    )


def _grant_spec() -> Obj:
    from_ = _object("group", "kind", "namespace", group=_STRING, kind=_STRING, namespace=_STRING)
    to = _object("group", "kind", group=_STRING, kind=_STRING, name=_STRING)
    return _object("from", "to", **{"from": _list(from_, 16), "to": _list(to, 16)})


def definitions() -> Sequence[Obj]:
    """The definitions of the five kinds."""
    return (
        _definition("GatewayClass", "gatewayclasses", "gc", _class_spec(), "Cluster"),
        _definition("Gateway", "gateways", "gtw", _gateway_spec()),
        _definition("HTTPRoute", "httproutes", "", _route_spec()),
        _definition("GRPCRoute", "grpcroutes", "", _grpc_route_spec()),
        _definition(
            "ReferenceGrant", "referencegrants", "refgrant", _grant_spec(), version="v1beta1"
        ),
    )


def _definition(
    kind: str,
    plural: str,
    short: str,
    spec: Obj,
    scope: str = "Namespaced",
    version: str = "v1",
) -> Obj:
    schema = _object(
        "spec", apiVersion=_STRING, kind=_STRING, metadata={"type": "object"}, spec=spec
    )
    has_status = kind != "ReferenceGrant"
    if has_status:
        schema["properties"]["status"] = _object()
    served: Obj = {
        "name": version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
    }
    if has_status:
        served["subresources"] = {"status": {}}
    names: Obj = {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": plural,
        "singular": kind.lower(),
    }
    names |= {"shortNames": [short]} if short else {}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{GROUP}",
            # Groups of k8s.io want to know who said that they may be served.
            "annotations": {
                "api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api"
            },
        },
        "spec": {
            "group": GROUP,
            "scope": scope,
            "names": {**names, "categories": ["gateway-api"]},
            "versions": [served],
        },
    }
