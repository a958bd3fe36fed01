"""Policies and bindings, compiled once for each change of them. Pure."""

from dataclasses import dataclass

from sagong.api.cel.admission_types import PolicyEnvironment
from sagong.api.cel.environment import Environment, Program
from sagong.api.cel.errors import Unfit
from sagong.api.cel.library.json_patch import JSON_PATCH
from sagong.api.cel.mutation_types import OBJECT
from sagong.api.cel.types import BOOL, NULL, STRING, Type, list_of
from sagong.api.types import Obj
from sagong.server.admission.policies.constraints import Constraints, constraints_of
from sagong.server.admission.policies.evaluating import Expression
from sagong.server.admission.policies.match_conditions import MatchConditions, compile_conditions


@dataclass(frozen=True, slots=True)
class Validation:
    expression: Expression
    message: str
    message_expression: Expression | None
    reason: str


@dataclass(frozen=True, slots=True)
class AuditAnnotation:
    key: str
    expression: Expression


@dataclass(frozen=True, slots=True)
class Mutation:
    """``is_patch``: the expression gives JSON-patch operations, else a configuration to merge."""

    is_patch: bool
    expression: Expression


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    name: str
    constraints: Constraints
    conditions: MatchConditions
    variables: tuple[tuple[str, Expression], ...]
    fails_open: bool
    param_kind: tuple[str, str] | None  # apiVersion and kind
    validations: tuple[Validation, ...] = ()
    audit_annotations: tuple[AuditAnnotation, ...] = ()
    mutations: tuple[Mutation, ...] = ()
    is_reinvoked: bool = False

    @property
    def failure_policy(self) -> str:
        return "Ignore" if self.fails_open else "Fail"


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    name: str
    policy: str
    constraints: Constraints
    param_ref: Obj | None
    actions: tuple[str, ...]


def binding_of(binding: Obj) -> Binding:
    spec = binding["spec"]
    return Binding(
        name=binding["metadata"]["name"],
        policy=spec.get("policyName") or "",
        constraints=constraints_of(spec.get("matchResources")),
        param_ref=spec.get("paramRef"),
        actions=tuple(spec.get("validationActions") or ()),
    )


def policy_of(policy: Obj, *, mutates: bool) -> Policy:
    """A policy of either kind; what does not compile counts as failed when it is to be run."""
    spec = policy["spec"]
    kind = spec.get("paramKind")
    environment = PolicyEnvironment(has_params=kind is not None, mutates=mutates)
    conditions = spec.get("matchConditions") or ()
    variables = tuple(_variable(environment, given) for given in spec.get("variables") or ())
    expressions, messages = environment.expressions(), environment.messages()
    return Policy(
        name=policy["metadata"]["name"],
        constraints=constraints_of(spec.get("matchConstraints")),
        conditions=compile_conditions(conditions, environment.conditions),
        variables=variables,
        fails_open=spec.get("failurePolicy") == "Ignore",
        param_kind=None if kind is None else (kind.get("apiVersion", ""), kind.get("kind", "")),
        validations=tuple(
            _validation(given, expressions, messages) for given in spec.get("validations") or ()
        ),
        audit_annotations=tuple(
            AuditAnnotation(
                given.get("key") or "",
                _expression(expressions, given.get("valueExpression") or "", STRING, NULL),
            )
            for given in spec.get("auditAnnotations") or ()
        ),
        mutations=tuple(_mutation(given, expressions) for given in spec.get("mutations") or ()),
        is_reinvoked=spec.get("reinvocationPolicy") == "IfNeeded",
    )


def _variable(environment: PolicyEnvironment, given: Obj) -> tuple[str, Expression]:
    name, text = given.get("name") or "", given.get("expression") or ""
    program: Program | None = None
    problem = ""
    try:
        program = environment.variable(name, text)
    except Unfit as error:
        problem = str(error)
    return name, Expression(text, program, problem)


def _expression(environment: Environment, text: str, *wanted: Type) -> Expression:
    try:
        return Expression(text, environment.compile_as(text, *wanted))
    except Unfit as error:
        return Expression(text, None, str(error))


def _validation(given: Obj, expressions: Environment, messages: Environment) -> Validation:
    message = given.get("messageExpression") or ""
    return Validation(
        expression=_expression(expressions, given.get("expression") or "", BOOL),
        message=(given.get("message") or "").strip(),
        message_expression=_expression(messages, message, STRING) if message else None,
        reason=given.get("reason") or "Invalid",
    )


def _mutation(given: Obj, expressions: Environment) -> Mutation:
    if given.get("patchType") == "JSONPatch":
        text = (given.get("jsonPatch") or {}).get("expression") or ""
        return Mutation(True, _expression(expressions, text, list_of(JSON_PATCH)))
    text = (given.get("applyConfiguration") or {}).get("expression") or ""
    return Mutation(False, _expression(expressions, text, OBJECT))
