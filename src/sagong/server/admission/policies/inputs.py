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
from sagong.api.types import Obj, User
from sagong.server.admission.interface import Attributes
from sagong.server.admission.policies.seen import Seen
from sagong.server.admission.webhooks.reviews import request_of
from sagong.server.authz.interface import Attributes as Asked
from sagong.server.authz.interface import Authorizer, Effect

T = TypeVar("T")


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
        self,
        seen: Seen,
        answering: Answering | None,
        extra: Mapping[str, Any],
        made: dict[str, Any],
    ) -> None:
        self._seen = seen
        self._answering = answering
        self._extra = extra
        self._made = made

    def __getitem__(self, name: str) -> Any:
        if name in self._extra:
            return self._extra[name]
        if name not in self._made:
            self._made[name] = _MAKERS[name](self._seen, self._answering)
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in _MAKERS or name in self._extra

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self._extra, *_MAKERS)))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def inputs_of(
    seen: Seen,
    answering: Answering | None,
    extra: Mapping[str, Any] | None = None,
    made: dict[str, Any] | None = None,
) -> Inputs:
    """``object``, ``oldObject``, ``request``, ``namespaceObject``, ``authorizer`` and ``extra``.

    ``made``: what was made for others that see the same, and is not made again.
    """
    return Inputs(seen, answering, extra or {}, {} if made is None else made)


def _object(seen: Seen, answering: Answering | None) -> Any:
    return seen.obj


def _old_object(seen: Seen, answering: Answering | None) -> Any:
    return seen.old


def _request(seen: Seen, answering: Answering | None) -> Obj:
    request = request_of(seen.attributes, seen.wanted)
    if request["options"] is None:
        del request["options"]
    if "name" not in request:
        request["name"] = _name_of(seen.attributes)
    return request


def _name_of(attributes: Attributes) -> str:
    metadata = (attributes.obj or {}).get("metadata") or {}
    return attributes.name or metadata.get("name") or ""


def _namespace(seen: Seen, answering: Answering | None) -> Obj | None:
    """The namespace of the object; a Namespace has none."""
    attributes = seen.attributes
    if attributes.resource.name == "namespaces" or not attributes.namespace:
        return None
    found = attributes.lister.get("namespaces", "", attributes.namespace)
    return None if found is None else found.obj


def _authorizer(seen: Seen, answering: Answering | None) -> Any:
    return None if answering is None else authorizer(answering.answers)


def _requested(seen: Seen, answering: Answering | None) -> Any:
    if answering is None:
        return None
    attributes = seen.attributes
    question = Question(
        Subject(),
        group=attributes.resource.group,
        resource=attributes.resource.plural,
        subresource=attributes.subresource,
        namespace=attributes.namespace,
        name=_name_of(attributes),
    )
    return request_resource(answering.answers, question)


_MAKERS: Mapping[str, Callable[[Seen, Answering | None], Any]] = {
    "object": _object,
    "oldObject": _old_object,
    "request": _request,
    "namespaceObject": _namespace,
    "authorizer": _authorizer,
    "authorizer.requestResource": _requested,
}
