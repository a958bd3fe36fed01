"""``authorizer``: ask whether somebody may do something (Kubernetes' ``library/authz.go``).

Pure: a check looks its answer up among those that were given; one that is not there raises
``Undecided``, upon which the caller finds the answer and evaluates again. Its price is what it
would take to ask a remote authorizer, so an expression has a few checks at most.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sagong.api.cel.declarations import Declaring, Overload
from sagong.api.cel.errors import EvaluationError
from sagong.api.cel.types import BOOL, STRING, Type, opaque
from sagong.api.names import dns1123_label, dns1123_subdomain

CHECK_COST = 350_000

AUTHORIZER = opaque("kubernetes.authorization.Authorizer")
PATH = opaque("kubernetes.authorization.PathCheck")
GROUP = opaque("kubernetes.authorization.GroupCheck")
RESOURCE = opaque("kubernetes.authorization.ResourceCheck")
DECISION = opaque("kubernetes.authorization.Decision")


@dataclass(frozen=True, slots=True)
class Subject:
    """On whose behalf is asked: the request's user, or a service account by name."""

    service_account: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What an authorizer is asked."""

    subject: Subject
    verb: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    field_selector: str = ""
    label_selector: str = ""


@dataclass(frozen=True, slots=True)
class Decided:
    """The answer: allowed or not, why, and what went wrong if it could not be found out."""

    allowed: bool
    reason: str = ""
    error: str = ""

    type_name = DECISION.name

    def equals(self, other: Any) -> bool:
        return isinstance(other, Decided) and self == other


class Undecided(Exception):
    """Evaluation needs an answer that it was not given."""

    def __init__(self, question: Question) -> None:
        super().__init__(str(question))
        self.question = question


Answers = Mapping[Question, Decided]


@dataclass(frozen=True, slots=True)
class _Asking:
    """An authorizer, or what has been said so far of a check."""

    type_name: str
    question: Question
    answers: Answers

    def equals(self, other: Any) -> bool:
        return isinstance(other, _Asking) and self.question == other.question

    def saying(self, type_: Type, **words: Any) -> "_Asking":
        return _Asking(type_.name, replace(self.question, **words), self.answers)


def authorizer(answers: Answers) -> _Asking:
    """The value of ``authorizer``; ``answers`` may grow between evaluations."""
    return _Asking(AUTHORIZER.name, Question(Subject()), answers)


def request_resource(answers: Answers, question: Question) -> _Asking:
    """The value of ``authorizer.requestResource``: a check of what the request is about."""
    return _Asking(RESOURCE.name, question, answers)


def _path(asking: _Asking, path: str) -> _Asking:
    if not path:
        raise EvaluationError("path must not be empty")
    return asking.saying(PATH, path=path)


def _service_account(asking: _Asking, namespace: str, name: str) -> _Asking:
    for text, problems, what in (
        (name, dns1123_subdomain(name), "name"),
        (namespace, dns1123_label(namespace), "namespace"),
    ):
        if problems:
            raise EvaluationError(f'Invalid service account {what} "{text}"')
    question = replace(asking.question, subject=Subject((namespace, name)))
    return _Asking(AUTHORIZER.name, question, asking.answers)


def _check(asking: _Asking, verb: str) -> Decided:
    question = replace(asking.question, verb=verb)
    found = asking.answers.get(question)
    if found is None:
        raise Undecided(question)
    return found


def _check_price(args: Sequence[Any]) -> int:
    return CHECK_COST


def functions() -> dict[str, list[Overload]]:
    declaring = Declaring()
    member = declaring.member
    member("path", "authorizer_path", (AUTHORIZER, STRING), PATH, _path)
    member("check", "pathcheck_check", (PATH, STRING), DECISION, _check, _check_price)
    member("group", "authorizer_group", (AUTHORIZER, STRING), GROUP,
           lambda a, group: a.saying(GROUP, group=group))  # fmt: skip
    member("serviceAccount", "authorizer_serviceaccount", (AUTHORIZER, STRING, STRING), AUTHORIZER,
           _service_account)  # fmt: skip
    member("resource", "groupcheck_resource", (GROUP, STRING), RESOURCE,
           lambda a, resource: a.saying(RESOURCE, resource=resource))  # fmt: skip
    for name, word in (
        ("subresource", "subresource"),
        ("namespace", "namespace"),
        ("name", "name"),
        ("fieldSelector", "field_selector"),
        ("labelSelector", "label_selector"),
    ):
        member(name, f"resourcecheck_{name.lower()}", (RESOURCE, STRING), RESOURCE, _saying(word))
    member("check", "resourcecheck_check", (RESOURCE, STRING), DECISION, _check, _check_price)
    member("errored", "decision_errored", (DECISION,), BOOL, lambda d: bool(d.error))
    member("error", "decision_error", (DECISION,), STRING, lambda d: d.error)
    member("allowed", "decision_allowed", (DECISION,), BOOL, lambda d: d.allowed)
    member("reason", "decision_reason", (DECISION,), STRING, lambda d: d.reason)
    return declaring.functions()


def _saying(word: str) -> Any:
    return lambda asking, text: asking.saying(RESOURCE, **{word: text})
