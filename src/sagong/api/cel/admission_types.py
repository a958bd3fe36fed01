"""What admission's expressions may refer to: ``object``, ``request`` and the rest, with types."""

from collections.abc import Mapping
from dataclasses import replace

from sagong.api.cel.environment import Environment, Program
from sagong.api.cel.errors import CompileError, Unfit
from sagong.api.cel.library.authorizer import AUTHORIZER, RESOURCE
from sagong.api.cel.library.kubernetes import kubernetes_functions
from sagong.api.cel.mutation_types import MUTATION_TYPES
from sagong.api.cel.times import timestamp_of
from sagong.api.cel.types import (
    BOOL,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    Field,
    Type,
    list_of,
    map_of,
    struct,
)


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
_MOMENT = replace(TIMESTAMP, convert=timestamp_of)
_META = struct(
    "kubernetes.NamespaceMetadata",
    {
        **_fields(
            name=STRING,
            generateName=STRING,
            namespace=STRING,
            labels=map_of(STRING, STRING),
            annotations=map_of(STRING, STRING),
            creationTimestamp=_MOMENT,
            deletionGracePeriodSeconds=INT,
            deletionTimestamp=_MOMENT,
            generation=INT,
            resourceVersion=STRING,
            finalizers=list_of(STRING),
        ),
        "UID": Field("uid", STRING),
    },
)
_CONDITION = struct(
    "kubernetes.NamespaceCondition",
    _fields(status=STRING, type=STRING, lastTransitionTime=_MOMENT, message=STRING, reason=STRING),
)
NAMESPACE = struct(
    "kubernetes.Namespace",
    _fields(
        metadata=_META,
        spec=struct("kubernetes.NamespaceSpec", _fields(finalizers=list_of(STRING))),
        status=struct(
            "kubernetes.NamespaceStatus", _fields(conditions=list_of(_CONDITION), phase=STRING)
        ),
    ),
)
_AUTHORIZER: Mapping[str, Type] = {
    "authorizer": AUTHORIZER,
    "authorizer.requestResource": RESOURCE,
}


def admission_environment(
    *, has_params: bool = False, has_authorizer: bool = True, mutates: bool = False
) -> Environment:
    """The environment of a webhook's match conditions; with ``params`` that of a policy's."""
    variables: dict[str, Type] = {
        "object": DYN,
        "oldObject": DYN,
        "request": REQUEST,
        "namespaceObject": NAMESPACE,
    }
    if has_params:
        variables["params"] = DYN
    if has_authorizer:
        variables.update(_AUTHORIZER)
    structs = MUTATION_TYPES if mutates else None
    return Environment(functions=kubernetes_functions(), variables=variables, structs=structs)


class PolicyEnvironment:
    """The environments of one policy's expressions; each variable is known to those after it."""

    def __init__(self, *, has_params: bool, mutates: bool = False) -> None:
        self.conditions = admission_environment(has_params=has_params)
        self._full = admission_environment(has_params=has_params, mutates=mutates)
        self._messages = admission_environment(
            has_params=has_params, has_authorizer=False, mutates=mutates
        )
        self._variables: dict[str, Field] = {}

    def variable(self, name: str, text: str) -> Program:
        """Compile a variable and make it known. Raises Unfit; then it stays unknown."""
        environment = self.expressions()
        try:
            program = environment.compile(text)
        except CompileError as error:
            raise Unfit(f"compilation failed: {error}") from None
        self._variables[name] = Field(name, program.type)
        return program

    def expressions(self) -> Environment:
        """What validations, mutations and variables may refer to."""
        return self._full.extended({"variables": self._composed()})

    def messages(self) -> Environment:
        """What message expressions may refer to: anything but ``authorizer``."""
        return self._messages.extended({"variables": self._composed()})

    def _composed(self) -> Type:
        return struct("kubernetes.variables", dict(self._variables))
