"""The paths of a resource with their operations, in OpenAPI v3 form, with upstream's names."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sagong.api.types import Obj, Resource, Subresource
from sagong.server.openapi.parameters import path_parameters, query_parameters

# The name of a kind's definition, None for kinds that are not published.
FindDefinition = Callable[[str, str, str], str | None]
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_METHODS = {
    "get": ("get", "read"),
    "list": ("get", "list"),
    "create": ("post", "create"),
    "update": ("put", "replace"),
    "patch": ("patch", "patch"),
    "delete": ("delete", "delete"),
    "deletecollection": ("delete", "deleteCollection"),
}
_JSON_TYPES = (
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
)
_PATCH_TYPES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
_CONNECT = ("attach", "exec", "portforward", "proxy")


@dataclass(frozen=True, slots=True)
class Place:
    """One path of a resource, and the verbs that it has there."""

    path: str
    verbs: tuple[str, ...]
    sub: Subresource | None
    everywhere: bool = False  # the list over all namespaces


def paths_of(resource: Resource, find: FindDefinition) -> dict[str, Obj]:
    """Every path of a resource."""
    found = {}
    for place in _places(resource):
        item: Obj = {}
        for verb in place.verbs:
            if verb in _METHODS:
                method, _ = _METHODS[verb]
                item[method] = _operation(resource, place, verb, find)
        kind = place.sub.kind if place.sub else resource.kind
        item["parameters"] = path_parameters(place.path, kind)
        found[place.path] = item
    return found


def _places(resource: Resource) -> Iterator[Place]:
    root = resource.path(namespace="{namespace}" if resource.namespaced else None)
    collection = tuple(v for v in ("list", "create", "deletecollection") if v in resource.verbs)
    if collection:
        yield Place(root, collection, None)
    single = tuple(v for v in ("get", "update", "patch", "delete") if v in resource.verbs)
    if single:
        yield Place(root + "/{name}", single, None)
    for sub in resource.discovered:
        if sub.name not in _CONNECT:
            yield Place(f"{root}/{{name}}/{sub.name}", sub.verbs, sub)
    if resource.namespaced and "list" in resource.verbs:
        yield Place(resource.path(), ("list",), None, everywhere=True)


def group_title(group: str) -> str:
    """``Core``, ``Apps``, ``RbacAuthorization``: the group in operation ids."""
    if not group:
        return "Core"
    name = group.removesuffix(".k8s.io")
    return "".join(part[:1].upper() + part[1:] for part in name.replace("-", ".").split("."))


def tag_of(resource: Resource) -> str:
    title = group_title(resource.group)
    return f"{title[:1].lower()}{title[1:]}_{resource.version}"


def _operation(resource: Resource, place: Place, verb: str, find: FindDefinition) -> Obj:
    method, word = _METHODS[verb]
    action = (
        "list" if verb == "list" else "deletecollection" if verb == "deletecollection" else (method)
    )
    operation: Obj = {
        "tags": [tag_of(resource)],
        "description": _description(resource, place, word),
        "operationId": _operation_id(resource, place, verb),
        "parameters": query_parameters(action),
        "responses": _responses(resource, place, verb, find),
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _gvk(resource, place),
    }
    body = _body(resource, place, verb, find)
    if body is not None:
        operation["requestBody"] = body
    return operation


def _operation_id(resource: Resource, place: Place, verb: str) -> str:
    _, word = _METHODS[verb]
    collection = ""
    if verb == "deletecollection":
        word, collection = "delete", "Collection"
    scope = "Namespaced" if resource.namespaced and not place.everywhere else ""
    middle = f"{group_title(resource.group)}{_title(resource.version)}"
    sub = _title(place.sub.name) if place.sub else ""
    tail = "ForAllNamespaces" if place.everywhere else ""
    return f"{word}{middle}{collection}{scope}{resource.kind}{sub}{tail}"


def _title(text: str) -> str:
    special = {"ephemeralcontainers": "Ephemeralcontainers"}
    return special.get(text, text[:1].upper() + text[1:])


def _description(resource: Resource, place: Place, word: str) -> str:
    what = f"{place.sub.name} of the specified {resource.kind}" if place.sub else None
    texts = {
        "read": f"read {what or 'the specified ' + resource.kind}",
        "list": f"list or watch objects of kind {resource.kind}",
        "create": f"create {what or 'a ' + resource.kind}",
        "replace": f"replace {what or 'the specified ' + resource.kind}",
        "patch": f"partially update {what or 'the specified ' + resource.kind}",
        "delete": f"delete a {resource.kind}",
        "deleteCollection": f"delete collection of {resource.kind}",
    }
    return texts[word]


def _gvk(resource: Resource, place: Place) -> Obj:
    sub = place.sub
    if sub is None:
        return {"group": resource.group, "version": resource.version, "kind": resource.kind}
    group = resource.group if sub.group is None else sub.group
    return {"group": group, "version": sub.version or resource.version, "kind": sub.kind}


def _schema(
    resource: Resource, place: Place, find: FindDefinition, *, is_list: bool = False
) -> Obj:
    gvk = _gvk(resource, place)
    kind = gvk["kind"] + ("List" if is_list else "")
    name = find(gvk["group"], gvk["version"], kind)
    return {"$ref": f"#/components/schemas/{name}"} if name else {"type": "object"}


def _content(types: tuple[str, ...], schema: Obj) -> Obj:
    return {type_: {"schema": schema} for type_ in types}


def _body(resource: Resource, place: Place, verb: str, find: FindDefinition) -> Obj | None:
    if verb in ("create", "update"):
        content = {"*/*": {"schema": _schema(resource, place, find)}}
        return {"content": content, "required": True}
    if verb == "patch":
        schema = {"$ref": f"#/components/schemas/{_META}Patch"}
        return {"content": _content(_PATCH_TYPES, schema), "required": True}
    if verb in ("delete", "deletecollection"):
        schema = {"$ref": f"#/components/schemas/{_META}DeleteOptions"}
        return {"content": {"*/*": {"schema": schema}}}
    return None


def _responses(resource: Resource, place: Place, verb: str, find: FindDefinition) -> Obj:
    if verb in ("delete", "deletecollection"):
        schema: Obj = {"$ref": f"#/components/schemas/{_META}Status"}
    else:
        schema = _schema(resource, place, find, is_list=verb == "list")
    types: tuple[str, ...] = _JSON_TYPES
    if verb == "list":
        types = (*_JSON_TYPES, "application/json;stream=watch")
    responses: Obj = {"200": {"description": "OK", "content": _content(types, schema)}}
    if verb in ("create", "update", "patch"):
        responses["201"] = {"description": "Created", "content": _content(types, schema)}
    if verb in ("create", "delete"):
        responses["202"] = {"description": "Accepted", "content": _content(types, schema)}
    responses["401"] = {"description": "Unauthorized"}
    return responses
