"""Admission of what is not stored: actions (Binding, Eviction, reviews) and connections."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sagong.api.call import Call
from sagong.api.meta import deep_copy
from sagong.api.types import Obj, User
from sagong.server.admission.interface import Attributes, Operation
from sagong.server.registry.backend import Backend

_FLAGS = frozenset(("stdin", "stdout", "stderr", "tty"))


@dataclass(frozen=True, slots=True)
class Admitted:
    """The call as admission left it."""

    call: Call
    warnings: Sequence[str]


async def admit_action(backend: Backend, call: Call, user: User) -> Admitted:
    """Admission of a creation that a handler carries out. Raises what it refuses with."""
    if not isinstance(call.body, dict):
        return Admitted(call, ())
    obj: Obj = deep_copy(call.body)
    metadata = obj.get("metadata")
    said = metadata.get("name") if isinstance(metadata, dict) else None
    _set_type(obj, call)
    attributes = _attributes(backend, call, user, Operation.CREATE, call.name or said or "", obj)
    await backend.admission.admit(attributes)
    await backend.admission.validate(attributes)
    return Admitted(replace(call, body=obj), attributes.warnings)


async def admit_connection(
    backend: Backend, call: Call, user: User, query: Iterable[tuple[str, str]], rest: str
) -> None:
    """Admission of a connection (exec, proxy, ...). Raises what it refuses with."""
    if call.subresource == "log":
        return  # only read
    options = connection_options(call, query, rest)
    attributes = _attributes(backend, call, user, Operation.CONNECT, call.name, options)
    await backend.admission.admit(attributes)
    await backend.admission.validate(attributes)


def connection_options(call: Call, query: Iterable[tuple[str, str]], rest: str) -> Obj:
    """The options object of a connection (PodExecOptions, ...), as its query says. Pure."""
    options: Obj = {}
    _set_type(options, call)
    if call.subresource == "proxy":
        if rest:
            options["path"] = rest
        return options
    for name, value in query:
        if name in _FLAGS:
            if value.lower() not in ("0", "false", "f"):
                options[name] = True
        elif name == "container":
            options[name] = value
        elif name == "command":
            options.setdefault(name, []).append(value)
        elif name == "ports":
            found = [int(port) for port in value.split(",") if port.isdigit()]
            options.setdefault(name, []).extend(found)
    return options


def _set_type(obj: Obj, call: Call) -> None:
    resource = call.resource
    sub = resource.subresource(call.subresource) if call.subresource else None
    if sub is None or sub.group is None:
        api_version = resource.api_version
    else:
        api_version = f"{sub.group}/{sub.version}" if sub.group else str(sub.version)
    obj.setdefault("kind", resource.kind if sub is None else sub.kind)
    obj.setdefault("apiVersion", api_version)


def _attributes(
    backend: Backend, call: Call, user: User, operation: Operation, name: str, obj: Obj
) -> Attributes:
    return Attributes(
        operation=operation,
        resource=call.resource,
        subresource=call.subresource,
        namespace=call.namespace or "",
        name=name,
        obj=obj,
        old=None,
        options=call.options,
        user=user,
        lister=backend.caches,
        annotations=call.notes,
    )
