"""SubjectAccessReview and its kin: may somebody do something, and all that I may do.

Source of semantics: upstream's ``pkg/registry/authorization`` and ``pkg/apis/authorization``.
"""

from collections.abc import Sequence

from sagong.api.call import Answer, Call
from sagong.api.errors import BadRequest
from sagong.api.types import Obj, User
from sagong.api.validation import ErrorList, Path
from sagong.server.admission.rbac_escalation import Resolver
from sagong.server.authz.interface import Attributes, Authorizer, Effect
from sagong.server.authz.union import PRIVILEGED_GROUP
from sagong.server.handlers import Context, Handler
from sagong.server.reviews.receiving import Receiver, check

_GROUP = "authorization.k8s.io"
_SPEC = Path("spec")
_BOTH = "cannot be specified in combination with resourceAttributes"
_NEITHER = "exactly one of nonResourceAttributes or resourceAttributes must be specified"


def subject_access_review(receiver: Receiver) -> Handler:
    """May the user that the spec describes do something?"""

    async def handle(call: Call, user: User, context: Context) -> Answer:
        received = receiver.receive(call, context.clock.now())
        found = ErrorList()
        _check_spec(received.obj["spec"], found)
        _check_subject(received.obj["spec"], found)
        check(_GROUP, found)
        subject = _subject(received.obj["spec"])
        received.obj["status"] = await _answer(context.authorizer, subject, received.obj["spec"])
        return received.answer()

    return handle


def local_subject_access_review(receiver: Receiver) -> Handler:
    """The same, of one namespace only."""

    async def handle(call: Call, user: User, context: Context) -> Answer:
        received = receiver.receive(call, context.clock.now())
        spec = received.obj["spec"]
        found = ErrorList()
        namespace = received.obj["metadata"].setdefault("namespace", call.namespace)
        if namespace != call.namespace:
            raise BadRequest(
                f"namespace on request: {call.namespace} does not match namespace on object:"
                f" {namespace}"
            )
        _check_spec(spec, found)
        _check_subject(spec, found)
        asked = spec.get("resourceAttributes")
        if asked is not None and asked.get("namespace", "") != namespace:
            path = _SPEC.child("resourceAttributes", "namespace")
            found.invalid(path, asked.get("namespace", ""), "must match metadata.namespace")
        if spec.get("nonResourceAttributes") is not None:
            path = _SPEC.child("nonResourceAttributes")
            found.invalid(path, spec["nonResourceAttributes"], "disallowed on this kind of request")
        check(_GROUP, found)
        received.obj["status"] = await _answer(context.authorizer, _subject(spec), spec)
        return received.answer()

    return handle


def self_subject_access_review(receiver: Receiver) -> Handler:
    """May I do something?"""

    async def handle(call: Call, user: User, context: Context) -> Answer:
        received = receiver.receive(call, context.clock.now())
        found = ErrorList()
        _check_spec(received.obj["spec"], found)
        check(_GROUP, found)
        received.obj["status"] = await _answer(context.authorizer, user, received.obj["spec"])
        return received.answer()

    return handle


def self_subject_rules_review(receiver: Receiver, resolver: Resolver) -> Handler:
    """All that I may do in a namespace."""

    async def handle(call: Call, user: User, context: Context) -> Answer:
        received = receiver.receive(call, context.clock.now())
        namespace = received.obj["spec"].get("namespace") or ""
        if not namespace:
            raise BadRequest("no namespace on request")
        rules = [*_privileged(user), *resolver.rules_for(user, namespace)]
        problems = resolver.problems_for(user, namespace)
        status: Obj = {
            "resourceRules": [_resource_rule(rule) for rule in rules if rule.get("resources")],
            "nonResourceRules": [
                {"verbs": rule["verbs"], "nonResourceURLs": rule["nonResourceURLs"]}
                for rule in rules
                if rule.get("nonResourceURLs")
            ],
            "incomplete": bool(problems),
        }
        if problems:
            status["evaluationError"] = ", ".join(problems)
        received.obj["status"] = status
        return received.answer()

    return handle


def _privileged(user: User) -> Sequence[Obj]:
    if PRIVILEGED_GROUP not in user.groups:
        return ()
    return (
        {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
        {"verbs": ["*"], "nonResourceURLs": ["*"]},
    )


def _resource_rule(rule: Obj) -> Obj:
    fields = ("verbs", "apiGroups", "resources", "resourceNames")
    return {name: rule[name] for name in fields if rule.get(name)}


def _check_spec(spec: Obj, found: ErrorList) -> None:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and path is not None:
        # Shown as upstream's internal type, by Go's field names.
        shown = {"Path": path.get("path") or "", "Verb": path.get("verb") or ""}
        found.invalid(_SPEC.child("nonResourceAttributes"), shown, _BOTH)
    if resource is None and path is None:
        found.invalid(_SPEC.child("resourceAttributes"), None, _NEITHER)


def _check_subject(spec: Obj, found: ErrorList) -> None:
    if not spec.get("user") and not spec.get("groups"):
        found.invalid(_SPEC.child("user"), "", "at least one of user or group must be specified")


def _subject(spec: Obj) -> User:
    extra = {key.lower(): tuple(values or ()) for key, values in (spec.get("extra") or {}).items()}
    return User(
        name=spec.get("user") or "",
        uid=spec.get("uid") or "",
        groups=tuple(spec.get("groups") or ()),
        extra=extra,
    )


async def _answer(authorizer: Authorizer, user: User, spec: Obj) -> Obj:
    decision = await authorizer.authorize(_question(user, spec))
    status: Obj = {"allowed": decision.effect is Effect.ALLOW}
    if decision.effect is Effect.DENY:
        status["denied"] = True
    if decision.reason:
        status["reason"] = decision.reason
    return status


def _question(user: User, spec: Obj) -> Attributes:
    path = spec.get("nonResourceAttributes")
    if path is not None:
        return Attributes(
            user, path.get("verb") or "", path=path.get("path") or "", is_resource=False
        )
    asked = spec["resourceAttributes"]
    return Attributes(
        user=user,
        verb=asked.get("verb") or "",
        group=asked.get("group") or "",
        version=asked.get("version") or "*",
        resource=asked.get("resource") or "",
        subresource=asked.get("subresource") or "",
        namespace=asked.get("namespace") or "",
        name=asked.get("name") or "",
    )
