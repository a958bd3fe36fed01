"""What a request to an extension asks for, in authorisation's words. Pure.

Source of semantics: apiserver's ``pkg/endpoints/request/requestinfo.go``; which resources there are
is known to the extension only.
"""

from collections.abc import Mapping
from urllib.parse import unquote

from sagong.api.types import User
from sagong.server.authz.interface import Attributes

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
_NAME_FIELD = "metadata.name="


def asked_of(path: str, method: str, query: Mapping[str, str], user: User) -> Attributes:
    parts = [unquote(part) for part in path.strip("/").split("/")]
    rest = parts[3:]
    if not rest:
        return Attributes(user, method.lower(), path=path, is_resource=False)
    watches = rest[0] == "watch" and len(rest) > 1
    if watches:
        rest = rest[1:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    name = rest[1] if len(rest) > 1 else ""
    watches = watches or query.get("watch", "").lower() not in ("", "0", "false")
    verb = _verb(method, name, watches=watches)
    if not name and verb in ("list", "watch", "deletecollection"):
        name = _selected(query.get("fieldSelector", ""))
    return Attributes(
        user=user,
        verb=verb,
        group=parts[1],
        version=parts[2],
        resource=rest[0],
        subresource=rest[2] if len(rest) > 2 else "",
        namespace=namespace,
        name=name,
        path=path,
        field_selector=query.get("fieldSelector", ""),
    )


def _verb(method: str, name: str, *, watches: bool) -> str:
    if method in ("GET", "HEAD"):
        if name and not watches:
            return "get"
        return "watch" if watches else "list"
    if method == "DELETE":
        return "delete" if name else "deletecollection"
    return _VERBS.get(method, method.lower())


def _selected(selector: str) -> str:
    for term in selector.split(","):
        if term.startswith(_NAME_FIELD):
            return term.removeprefix(_NAME_FIELD).removeprefix("=")
    return ""
