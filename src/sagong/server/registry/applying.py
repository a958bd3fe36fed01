"""Server-side apply: the call's body as the configuration of its manager."""

from dataclasses import replace

from sagong.api import errors
from sagong.api.apply.managed import apply
from sagong.api.call import Call
from sagong.api.meta import deep_copy
from sagong.api.types import Obj
from sagong.server.registry.ownership import writer_of
from sagong.server.registry.receiving import check_type, checked
from sagong.server.registry.served import Served


def check_apply(call: Call) -> None:
    """An apply must name its manager. Raises Invalid."""
    if call.options.field_manager:
        return
    cause = {
        "reason": "FieldValueRequired",
        "message": "Required value: is required for apply patch",
        "field": "fieldManager",
    }
    raise errors.invalid("meta.k8s.io", "PatchOptions", "", [cause])


def apply_onto(
    current: Obj | None, call: Call, served: Served, now: float, warnings: list[str]
) -> Obj:
    """The object after the apply, with its managedFields. Raises Conflict, BadRequest."""
    configuration = _configuration(call, served, warnings)
    if served.node is None:
        raise errors.UnsupportedMediaType("apply needs a schema")
    new = apply(
        current,
        configuration,
        served.node,
        writer_of(served, call, now),
        force=bool(call.options.force),
    )
    copied: Obj = deep_copy(new)
    checked(copied, replace(call, duplicates=()), served, [])
    return copied


def _configuration(call: Call, served: Served, warnings: list[str]) -> Obj:
    if not isinstance(call.body, dict):
        raise errors.BadRequest("error decoding YAML: the configuration is not an object")
    configuration: Obj = deep_copy(call.body)
    check_type(configuration, served.resource)
    if not isinstance(configuration["metadata"], dict):
        raise errors.BadRequest("error decoding YAML: metadata is not an object")
    configuration["metadata"].setdefault("name", call.name)
    if call.namespace and call.resource.namespaced:
        configuration["metadata"].setdefault("namespace", call.namespace)
    checked(configuration, call, served, warnings, configuration=True)
    return configuration
