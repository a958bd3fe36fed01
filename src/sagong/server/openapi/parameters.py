"""Query and path parameters, and the descriptions of operations' bodies, in OpenAPI v3 form."""

from collections.abc import Sequence

from sagong.api.types import Obj

PRETTY = (
    "pretty",
    "string",
    "If 'true', then the output is pretty printed. Defaults to 'false' unless the user-agent "
    "indicates a browser or command-line HTTP tool (curl and wget).",
)
_DRY_RUN = (
    "dryRun",
    "string",
    "When present, indicates that modifications should not be persisted. Valid values are: All.",
)
_MANAGER = (
    "fieldManager",
    "string",
    "A name for the actor or entity that makes the changes, at most 128 printable characters.",
)
_VALIDATION = (
    "fieldValidation",
    "string",
    "What to do about unknown or duplicate fields: Ignore, Warn (the default) or Strict.",
)
_FORCE = ("force", "boolean", "Take fields over from other managers; only for apply patches.")
_LIST = (
    ("allowWatchBookmarks", "boolean", 'Requests watch events with type "BOOKMARK".'),
    ("continue", "string", "Where a chunked list goes on, as an earlier answer said."),
    ("fieldSelector", "string", "Restricts the objects by their fields. Default: everything."),
    ("labelSelector", "string", "Restricts the objects by their labels. Default: everything."),
    ("limit", "integer", "The most objects to return in one answer."),
    ("resourceVersion", "string", "Constrains which resource versions may be answered from."),
    ("resourceVersionMatch", "string", "How resourceVersion is applied to lists."),
    ("sendInitialEvents", "boolean", "Begin a watch with the current state."),
    ("timeoutSeconds", "integer", "How long a list or watch may take, whatever happens."),
    ("watch", "boolean", "Watch for changes and return them as a stream of notifications."),
)
_DELETE = (
    _DRY_RUN,
    ("gracePeriodSeconds", "integer", "Seconds before the object is deleted; zero: at once."),
    (
        "ignoreStoreReadErrorWithClusterBreakingPotential",
        "boolean",
        "Delete an object that cannot be read.",
    ),
    ("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
    ("propagationPolicy", "string", "Orphan, Background or Foreground."),
)
_BY_ACTION: dict[str, Sequence[tuple[str, str, str]]] = {
    "list": _LIST,
    "post": (_DRY_RUN, _MANAGER, _VALIDATION),
    "put": (_DRY_RUN, _MANAGER, _VALIDATION),
    "patch": (_DRY_RUN, _MANAGER, _VALIDATION, _FORCE),
    "delete": _DELETE,
    "deletecollection": tuple(sorted((*_LIST[1:6], *_LIST[6:9], *_DELETE))),
    "get": (),
}


def query_parameters(action: str) -> list[Obj]:
    """The query parameters of an action (get, list, post, put, patch, delete, ...)."""
    return [
        {
            "name": name,
            "in": "query",
            "description": description,
            "schema": {"type": type_, "uniqueItems": True},
        }
        for name, type_, description in _BY_ACTION[action]
    ]


def path_parameters(path: str, kind: str) -> list[Obj]:
    """The parameters that a path's braces name, and ``pretty``, which every path has."""
    texts = {
        "name": f"name of the {kind}",
        "namespace": "object name and auth scope, such as for teams and projects",
        "path": "path to the resource",
    }
    found: list[Obj] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": text,
            "schema": {"type": "string", "uniqueItems": True},
        }
        for name, text in texts.items()
        if "{" + name + "}" in path
    ]
    name, type_, description = PRETTY
    found.append(
        {
            "name": name,
            "in": "query",
            "description": description,
            "schema": {"type": type_, "uniqueItems": True},
        }
    )
    return found
