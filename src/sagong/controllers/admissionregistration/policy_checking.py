"""What the types of the kinds that a policy is about say of its expressions. Pure.

Expressions of policies are compiled with ``object`` of any type; here they are checked once more
for each kind that the policy's rules name. Source of semantics: apiserver's
``pkg/admission/plugin/policy/validating/typechecking.go``.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from sagong.api.cel.admission_types import admission_environment
from sagong.api.cel.environment import Environment
from sagong.api.cel.errors import CompileError
from sagong.api.cel.types import DYN, Field, Type, struct
from sagong.api.resources import ResourceTable
from sagong.api.types import Obj, Resource

KINDS_MAX = 10  # upstream's maxTypesToCheck: more are not looked at

# The type of a kind's objects; None if nothing is known of them.
TypeOf = Callable[[Resource], Type | None]


@dataclass(frozen=True, slots=True)
class Warned:
    """What is wrong with one expression, for each kind that has something against it."""

    field: str
    text: str


def check_policy(policy: Obj, resources: ResourceTable, type_of: TypeOf) -> Sequence[Warned]:
    """The warnings of a policy's validations, in their order."""
    spec = policy["spec"]
    kinds = [(r, found) for r in _kinds_of(spec, resources) if (found := type_of(r)) is not None]
    if not kinds:
        return ()
    params = _param_type(spec, resources, type_of)
    environments = [(kind, _environment(spec, type_, params)) for kind, type_ in kinds]
    warned: list[Warned] = []
    for i, validation in enumerate(spec.get("validations") or ()):
        for name in ("expression", "messageExpression"):
            text = validation.get(name) or ""
            said = [_said(kind, env, text) for kind, env in environments] if text else []
            complaints = [one for one in said if one]
            if complaints:
                warned.append(Warned(f"spec.validations[{i}].{name}", "\n".join(complaints)))
    return warned


def _kinds_of(spec: Obj, resources: ResourceTable) -> Sequence[Resource]:
    """The kinds that the rules name; rules with wildcards name none."""
    found: dict[Resource, None] = {}
    for rule in (spec.get("matchConstraints") or {}).get("resourceRules") or ():
        groups, versions = rule.get("apiGroups") or (), rule.get("apiVersions") or ()
        for group, version, plural in product(groups, versions, rule.get("resources") or ()):
            resource = resources.find(group, version, plural)
            if resource is not None:
                found[resource] = None
    ordered = sorted(found, key=lambda r: (r.group, r.version, r.kind))
    return ordered[:KINDS_MAX]


def _param_type(spec: Obj, resources: ResourceTable, type_of: TypeOf) -> Type | None:
    kind = spec.get("paramKind")
    if kind is None:
        return None
    resource = resources.of_kind(kind.get("apiVersion") or "", kind.get("kind") or "")
    return DYN if resource is None else type_of(resource) or DYN


def _environment(spec: Obj, type_: Type, params: Type | None) -> Environment:
    base = admission_environment(has_params=params is not None)
    typed = {"object": type_, "oldObject": type_}
    environment = base.extended(typed if params is None else {**typed, "params": params})
    known: dict[str, Field] = {}
    for variable in spec.get("variables") or ():
        name = variable.get("name") or ""
        composed = environment.extended({"variables": struct("kubernetes.variables", dict(known))})
        try:
            found = composed.checked(variable.get("expression") or "").type
        except CompileError:
            found = DYN  # what is wrong with it was said when the policy was written, or is dynamic
        known[name] = Field(name, found)
    return environment.extended({"variables": struct("kubernetes.variables", known)})


def _said(kind: Resource, environment: Environment, text: str) -> str:
    try:
        environment.checked(text)
    except CompileError as error:
        return f"{kind.api_version}, Kind={kind.kind}: {error}\n"
    return ""


def warnings_of(warned: Iterable[Warned]) -> list[Obj]:
    """As the policy's status has them."""
    return [{"fieldRef": one.field, "warning": one.text} for one in warned]
