"""``certificatesigningrequests/approval``: say yes or no to a request, once.

Source of semantics: upstream's ``pkg/registry/certificates/certificates`` (approval strategy) and
``pkg/apis/certificates/validation``.
"""

from dataclasses import replace

from sagong.api.call import Answer, Call, Preconditions, Verb
from sagong.api.errors import invalid
from sagong.api.meta import deep_copy
from sagong.api.schema import Schemas
from sagong.api.types import Obj, User
from sagong.api.validation import ErrorList, Path
from sagong.core.clock import format_time
from sagong.server.handlers import Context, Handler
from sagong.server.registry.patch_kinds import patched

_GROUP = "certificates.k8s.io"
_KIND = "CertificateSigningRequest"
_CONDITIONS = Path("status").child("conditions")
# What a decision may change of the metadata, as any update may.
_METADATA = ("labels", "annotations", "finalizers", "ownerReferences")
_DECISIONS = ("Approved", "Denied")


def approval(schemas: Schemas) -> Handler:
    """The handler of GET, PUT and PATCH."""

    async def handle(call: Call, user: User, context: Context) -> Answer:
        if call.verb is Verb.GET:
            return await context.storage.execute(replace(call, subresource=""), user)
        body = call.body if isinstance(call.body, dict) else {}
        metadata = body.get("metadata") or {}
        wanted = Preconditions(metadata.get("uid") or None, metadata.get("resourceVersion") or None)
        now = format_time(context.clock.now())

        def change(request: Obj) -> Obj:
            asked = body
            if call.verb is Verb.PATCH:
                node = schemas.of(_GROUP, call.resource.version, _KIND)
                asked = patched(deep_copy(request), call, node)
            decided = decide(request, asked, now)
            found = check_decision(decided, request)
            if found:
                raise invalid(_GROUP, _KIND, call.name, found)
            return decided

        options = replace(call.options, preconditions=wanted)
        return await context.storage.modify(
            replace(call, options=options), user, change, subresource="approval"
        )

    return handle


def decide(request: Obj, asked: Obj, now: str) -> Obj:
    """The request with the asked-for conditions and metadata; nothing else of it changes."""
    old = _conditions(request)
    conditions: list[Obj] = deep_copy(_conditions(asked))
    for condition in conditions:
        same = next((c for c in old if c.get("type") == condition.get("type")), None)
        if not condition.get("lastUpdateTime"):
            condition["lastUpdateTime"] = now
        if not condition.get("lastTransitionTime"):
            kept = same is not None and same.get("status") == condition.get("status")
            condition["lastTransitionTime"] = (
                same.get("lastTransitionTime", now) if kept and same else now
            )
        condition.setdefault("status", "True")
    decided: Obj = deep_copy(request)
    status = {**(decided.get("status") or {}), "conditions": conditions}
    if not conditions:
        del status["conditions"]
    for field in _METADATA:
        decided["metadata"].pop(field, None)
        if value := (asked.get("metadata") or {}).get(field):
            decided["metadata"][field] = deep_copy(value)
    return decided | {"status": status}


def check_decision(new: Obj, old: Obj) -> ErrorList:
    """A decision is for ever, and there is at most one."""
    found = ErrorList()
    for type_ in _DECISIONS:
        before, after = _facts(old, type_), _facts(new, type_)
        if before and not after:
            found.forbidden(
                _CONDITIONS,
                f'updates may not remove a condition of type "{type_}"',
            )
        elif before and before != after:
            found.forbidden(
                _CONDITIONS,
                f'updates may not modify a condition of type "{type_}"',
            )
    if _facts(new, "Failed") != _facts(old, "Failed"):
        found.forbidden(
            _CONDITIONS, 'updates may not add, remove or modify a condition of type "Failed"'
        )
    for index, condition in enumerate(_conditions(new)):
        path = _CONDITIONS.index(index)
        if not condition.get("type"):
            found.required(path.child("type"))
        elif condition["type"] in (*_DECISIONS, "Failed") and condition.get("status") != "True":
            found.not_supported(path.child("status"), condition.get("status"), ["True"])
    if all(_facts(new, type_) for type_ in _DECISIONS):
        index = len(_conditions(new)) - 1
        found.invalid(
            _CONDITIONS.index(index).child("type"),
            _conditions(new)[index]["type"],
            "Approved and Denied conditions are mutually exclusive",
        )
    return found


def _conditions(request: Obj) -> list[Obj]:
    return (request.get("status") or {}).get("conditions") or []


def _facts(request: Obj, type_: str) -> list[tuple[str, str, str]]:
    """What conditions of a type say, without their times."""
    return [
        (c.get("status", ""), c.get("reason", ""), c.get("message", ""))
        for c in _conditions(request)
        if c.get("type") == type_
    ]
