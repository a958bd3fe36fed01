"""Validation of ingresses and ingress classes."""

from sagong.api import names
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.addresses import parse_ip
from sagong.server.kinds.core.service_validation import validate_ingress_points

_SPEC = Path("spec")
_BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_BAD_ENDINGS = ("/..", "/.")
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_CONTROLLER_MAX = 250
_CLASS_ANNOTATION = "kubernetes.io/ingress.class"


def validate_ingress(ingress: Obj, errors: ErrorList) -> None:
    spec = ingress.get("spec") or {}
    rules = spec.get("rules") or []
    if not rules and spec.get("defaultBackend") is None:
        message = "either `defaultBackend` or `rules` must be specified"
        errors.invalid(_SPEC, spec.get("rules"), message)
    if spec.get("defaultBackend") is not None:
        _validate_backend(spec["defaultBackend"], _SPEC.child("defaultBackend"), errors)
    for i, rule in enumerate(rules):
        _validate_rule(rule, _SPEC.child("rules").index(i), errors)
    for i, tls in enumerate(spec.get("tls") or ()):
        for j, host in enumerate(tls.get("hosts") or ()):
            _validate_host(host, _SPEC.child("tls").index(i).child("hosts").index(j), errors)
        if tls.get("secretName"):
            where = _SPEC.child("tls").index(i).child("secretName")
            checks.dns_subdomain(tls["secretName"], where, errors)
    if spec.get("ingressClassName") is not None:
        name = spec["ingressClassName"]
        checks.dns_subdomain(name, _SPEC.child("ingressClassName"), errors)


def validate_ingress_create(ingress: Obj, errors: ErrorList) -> None:
    """The class is not named in two ways."""
    annotation = (ingress["metadata"].get("annotations") or {}).get(_CLASS_ANNOTATION)
    named = (ingress.get("spec") or {}).get("ingressClassName")
    validate_ingress(ingress, errors)
    if annotation is not None and named is not None and annotation != named:
        where = Path("annotations").child(_CLASS_ANNOTATION)
        message = "must match `ingressClassName` when both are specified"
        errors.invalid(where, annotation, message)


def validate_ingress_status_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    points = ((new.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    path = Path("status").child("loadBalancer", "ingress")
    validate_ingress_points(points, path, errors, with_mode=False)


def _validate_host(host: str, path: Path, errors: ErrorList) -> None:
    rule = names.wildcard_subdomain if "*" in host else names.dns1123_subdomain
    checks.name(host, rule, path, errors)


def _validate_rule(rule: Obj, path: Path, errors: ErrorList) -> None:
    host = rule.get("host") or ""
    if host:
        if parse_ip(host) is not None:
            message = "must be a DNS name, not an IP address"
            errors.invalid(path.child("host"), host, message)
        _validate_host(host, path.child("host"), errors)
    if rule.get("http") is None:
        return
    paths, where = rule["http"].get("paths") or [], path.child("http", "paths")
    checks.required(paths, where, errors)
    for i, entry in enumerate(paths):
        _validate_path(entry, where.index(i), errors)
        _validate_backend(entry.get("backend") or {}, where.index(i).child("backend"), errors)


def _validate_path(entry: Obj, path: Path, errors: ErrorList) -> None:
    type_, value, where = entry.get("pathType"), entry.get("path") or "", path.child("path")
    if type_ is None:
        errors.required(path.child("pathType"), "pathType must be specified")
        return
    if type_ == "ImplementationSpecific":
        if value and not value.startswith("/"):
            errors.invalid(where, value, "must be an absolute path")
    elif type_ in ("Exact", "Prefix"):
        if not value.startswith("/"):
            errors.invalid(where, value, "must be an absolute path")
        for bad in _BAD_SEQUENCES:
            if bad in value:
                errors.invalid(where, value, f"must not contain '{bad}'")
        for bad in _BAD_ENDINGS:
            if value.endswith(bad):
                errors.invalid(where, value, f"cannot end with '{bad}'")
    else:
        errors.not_supported(path.child("pathType"), type_, list(_PATH_TYPES))


def _validate_backend(backend: Obj, path: Path, errors: ErrorList) -> None:
    service, resource = backend.get("service"), backend.get("resource")
    if resource is not None and service is not None:
        errors.invalid(path, "", "cannot set both resource and service backends")
    elif resource is not None:
        _validate_reference(resource, path.child("resource"), errors)
    elif service is None:
        errors.invalid(path, "", "resource or service backend is required")
    else:
        _validate_service(service, path, errors)


def _validate_service(service: Obj, path: Path, errors: ErrorList) -> None:
    """``path`` is the backend's."""
    name, where = service.get("name") or "", path.child("service", "name")
    if checks.required(name, where, errors):
        checks.dns_label_1035(name, where, errors)
    port = service.get("port") or {}
    by_name, by_number = port.get("name"), port.get("number")
    if by_name and by_number:
        errors.invalid(path, "", "cannot set both port name & port number")
    elif by_name:
        checks.port_name(by_name, path.child("service", "port", "name"), errors)
    elif by_number:
        checks.port_number(by_number, path.child("service", "port", "number"), errors)
    else:
        errors.required(path, "port name or number is required")


def validate_ingress_class(obj: Obj, errors: ErrorList) -> None:
    spec = obj.get("spec") or {}
    controller, where = spec.get("controller") or "", _SPEC.child("controller")
    if len(controller) > _CONTROLLER_MAX:
        errors.too_long(where, _CONTROLLER_MAX)
    checks.domain_prefixed_path(controller, where, errors)
    parameters = spec.get("parameters")
    if parameters is not None:
        _validate_parameters(parameters, _SPEC.child("parameters"), errors)


def _validate_parameters(parameters: Obj, path: Path, errors: ErrorList) -> None:
    _validate_reference(parameters, path, errors)
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if not checks.one_of(scope or "", ("Cluster", "Namespace"), path.child("scope"), errors):
        return
    if scope == "Namespace":
        where = path.child("namespace")
        if namespace is None:
            errors.required(where, "`parameters.scope` is set to 'Namespace'")
        else:
            checks.dns_label(str(namespace), where, errors)
    elif namespace is not None:
        message = "`parameters.scope` is set to 'Cluster'"
        errors.forbidden(path.child("namespace"), message)


def _validate_reference(reference: Obj, path: Path, errors: ErrorList) -> None:
    """A TypedLocalObjectReference."""
    if reference.get("apiGroup") is not None:
        checks.dns_subdomain(reference["apiGroup"], path.child("apiGroup"), errors)
    for field in ("kind", "name"):
        value, where = reference.get(field) or "", path.child(field)
        if checks.required(value, where, errors, f"{field} is required"):
            checks.name(value, names.path_segment_name, where, errors)


def validate_ingress_class_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    ours, theirs = new.get("spec") or {}, old.get("spec") or {}
    where = _SPEC.child("controller")
    checks.unchanged(ours.get("controller"), theirs.get("controller"), where, errors)
