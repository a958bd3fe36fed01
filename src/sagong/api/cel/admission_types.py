"""What admission's expressions may refer to: ``object``, ``request`` and the rest, with types."""

from collections.abc import Mapping

from sagong.api.cel.environment import Environment
from sagong.api.cel.library.authorizer import AUTHORIZER, RESOURCE
from sagong.api.cel.library.kubernetes import kubernetes_functions
from sagong.api.cel.types import BOOL, DYN, STRING, Field, Type, list_of, map_of, struct

_OBJECT_VARIABLES: Mapping[str, Type] = {"object": DYN, "oldObject": DYN}


def _fields(**types: Type) -> dict[str, Field]:
    return {name: Field(name, type_) for name, type_ in types.items()}


def _triple(name: str, *words: str) -> Type:
    return struct(f"kubernetes.{name}", _fields(**dict.fromkeys(words, STRING)))


_KIND = _triple("GroupVersionKind", "group", "version", "kind")
_RESOURCE = _triple("GroupVersionResource", "group", "version", "resource")
USER_INFO = struct(
    "kubernetes.UserInfo",
    _fields(
        username=STRING, uid=STRING, groups=list_of(STRING), extra=map_of(STRING, list_of(STRING))
    ),
)
REQUEST = struct(
    "kubernetes.AdmissionRequest",
    _fields(
        kind=_KIND,
        resource=_RESOURCE,
        subResource=STRING,
        requestKind=_KIND,
        requestResource=_RESOURCE,
        requestSubResource=STRING,
        name=STRING,
        namespace=STRING,
        operation=STRING,
        userInfo=USER_INFO,
        dryRun=BOOL,
        options=DYN,
    ),
)
_META = struct(
    "kubernetes.NamespaceMetadata",
    _fields(
        name=STRING,
        generateName=STRING,
        namespace=STRING,
        labels=map_of(STRING, STRING),
        annotations=map_of(STRING, STRING),
        UID=STRING,
        creationTimestamp=DYN,
        deletionGracePeriodSeconds=DYN,
        deletionTimestamp=DYN,
        resourceVersion=STRING,
        generation=DYN,
        finalizers=list_of(STRING),
    ),
)
NAMESPACE = struct(
    "kubernetes.Namespace",
    _fields(
        metadata=_META,
        spec=struct("kubernetes.NamespaceSpec", _fields(finalizers=list_of(STRING))),
        status=struct("kubernetes.NamespaceStatus", _fields(phase=STRING)),
    ),
)


def admission_environment(
    *,
    has_params: bool = False,
    has_authorizer: bool = True,
    structs: Mapping[str, Type] | None = None,
) -> Environment:
    """The environment of match conditions; policies add ``params`` and ``variables``."""
    variables: dict[str, Type] = dict(_OBJECT_VARIABLES)
    variables["request"] = REQUEST
    variables["namespaceObject"] = NAMESPACE
    if has_params:
        variables["params"] = DYN
    if has_authorizer:
        variables["authorizer"] = AUTHORIZER
        variables["authorizer.requestResource"] = RESOURCE
    return Environment(functions=kubernetes_functions(), variables=variables, structs=structs)
