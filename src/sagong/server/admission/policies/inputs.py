"""The variables of admission's expressions, made from one write.

What is costly to make (``request``, ``namespaceObject``) is made when an expression refers to it.
Checks of ``authorizer`` are answered between evaluations: see ``Answering``.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from sagong.api.cel.library.authorizer import (
    Decided,
    Question,
    Subject,
    Undecided,
    authorizer,
    request_resource,
)
from sagong.api.types import Obj, Resource, User
from sagong.server.admission.interface import Attributes, Operation
from sagong.server.authz.interface import Attributes as Asked
from sagong.server.authz.interface import Authorizer, Effect

T = TypeVar("T")

_OPTION_KINDS = {
    Operation.CREATE: "CreateOptions",
    Operation.UPDATE: "UpdateOptions",
    Operation.DELETE: "DeleteOptions",
}


class Answering:
    """Finds the answers that ``authorizer`` checks need: the rest of an evaluation is pure.

    An expression that asks something new is evaluated again once the answer is known; what a check
    costs bounds how often.
    """

    def __init__(self, authorizer_: Authorizer, user: User) -> None:
        self._authorizer = authorizer_
        self._user = user
        self.answers: dict[Question, Decided] = {}

    async def settle(self, evaluate: Callable[[], T]) -> T:
        """The result of a pure evaluation that may raise Undecided."""
        while True:
            try:
                return evaluate()
            except Undecided as asked:
                question = asked.question
            decision = await self._authorizer.authorize(self._asked(question))
            allowed = decision.effect is Effect.ALLOW
            self.answers[question] = Decided(allowed, decision.reason)

    def _asked(self, question: Question) -> Asked:
        return Asked(
            user=self._subject(question.subject),
            verb=question.verb,
            group=question.group,
            version="*" if question.resource else "",
            resource=question.resource,
            subresource=question.subresource,
            namespace=question.namespace,
            name=question.name,
            path=question.path,
            is_resource=not question.path,
            field_selector=question.field_selector,
        )

    def _subject(self, subject: Subject) -> User:
        if subject.service_account is None:
            return self._user
        namespace, name = subject.service_account
        groups = (
            "system:serviceaccounts",
            f"system:serviceaccounts:{namespace}",
            "system:authenticated",
        )
        return User(f"system:serviceaccount:{namespace}:{name}", groups=groups)


class Inputs(Mapping[str, Any]):
    """Variables by name, each made when first looked up."""

    def __init__(
        self, attributes: Attributes, answering: Answering | None, extra: Mapping[str, Any]
    ) -> None:
        self._attributes = attributes
        self._answering = answering
        self._made: dict[str, Any] = dict(extra)

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _MAKERS[name](self._attributes, self._answering)
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._made or name in _MAKERS

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self._made, *_MAKERS)))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def inputs_of(
    attributes: Attributes, answering: Answering | None, extra: Mapping[str, Any] | None = None
) -> Inputs:
    """``object``, ``oldObject``, ``request``, ``namespaceObject``, ``authorizer`` and ``extra``."""
    return Inputs(attributes, answering, extra or {})


def _object(attributes: Attributes, answering: Answering | None) -> Any:
    return attributes.obj


def _old_object(attributes: Attributes, answering: Answering | None) -> Any:
    return attributes.old


def _request(attributes: Attributes, answering: Answering | None) -> Obj:
    resource, user = attributes.resource, attributes.user
    request: Obj = {
        "kind": _kind(resource),
        "resource": _resource(resource),
        "subResource": attributes.subresource,
        "requestKind": _kind(attributes.asked),
        "requestResource": _resource(attributes.asked),
        "requestSubResource": attributes.subresource,
        "name": _name_of(attributes),
        "namespace": attributes.namespace,
        "operation": str(attributes.operation),
        "userInfo": user_info(user),
        "dryRun": attributes.dry_run,
        "options": _options(attributes),
    }
    return {key: value for key, value in request.items() if value not in ("", None)}


def _name_of(attributes: Attributes) -> str:
    metadata = (attributes.obj or {}).get("metadata") or {}
    return attributes.name or metadata.get("name") or ""


def _kind(resource: Resource) -> Obj:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _resource(resource: Resource) -> Obj:
    return {"group": resource.group, "version": resource.version, "resource": resource.plural}


def user_info(user: User) -> Obj:
    info: Obj = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    if user.groups:
        info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info


def _options(attributes: Attributes) -> Obj | None:
    kind = _OPTION_KINDS.get(attributes.operation)
    if kind is None:
        return None
    given = attributes.options
    options: Obj = {"kind": kind, "apiVersion": "meta.k8s.io/v1"}
    if given.dry_run:
        options["dryRun"] = ["All"]
    if kind == "DeleteOptions":
        if given.grace_period_seconds is not None:
            options["gracePeriodSeconds"] = given.grace_period_seconds
        if given.propagation_policy is not None:
            options["propagationPolicy"] = given.propagation_policy
        return options
    if given.field_manager:
        options["fieldManager"] = given.field_manager
    if given.field_validation:
        options["fieldValidation"] = given.field_validation
    return options


def _namespace(attributes: Attributes, answering: Answering | None) -> Obj | None:
    """The namespace of the object; a Namespace is its own."""
    if attributes.resource.name == "namespaces":
        return None
    if not attributes.namespace:
        return None
    found = attributes.lister.get("namespaces", "", attributes.namespace)
    return None if found is None else found.obj


def _authorizer(attributes: Attributes, answering: Answering | None) -> Any:
    return None if answering is None else authorizer(answering.answers)


def _requested(attributes: Attributes, answering: Answering | None) -> Any:
    if answering is None:
        return None
    question = Question(
        Subject(),
        group=attributes.resource.group,
        resource=attributes.resource.plural,
        subresource=attributes.subresource,
        namespace=attributes.namespace,
        name=_name_of(attributes),
    )
    return request_resource(answering.answers, question)


_MAKERS: Mapping[str, Callable[[Attributes, Answering | None], Any]] = {
    "object": _object,
    "oldObject": _old_object,
    "request": _request,
    "namespaceObject": _namespace,
    "authorizer": _authorizer,
    "authorizer.requestResource": _requested,
}
