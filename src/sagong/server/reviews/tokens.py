"""``serviceaccounts/token``: a token for an account, bound to a pod, secret or node.

Source of semantics: upstream's ``pkg/registry/core/serviceaccount/storage/token.go``.
"""

from dataclasses import dataclass

from sagong.api.call import Answer, Call
from sagong.api.errors import BadRequest, Conflict, forbidden, invalid, not_found
from sagong.api.meta import name_of, namespace_of, uid_of
from sagong.api.types import Obj, Resource, User
from sagong.api.validation import ErrorList, Path
from sagong.core.clock import format_time
from sagong.server.admission.interface import Lister
from sagong.server.admission.node_restriction import TokenRefused, check_token_request
from sagong.server.admission.service_account import TOKEN_SECONDS
from sagong.server.authn.service_accounts import Binding, TokenIssuer
from sagong.server.handlers import Context, Handler
from sagong.server.reviews.receiving import Receiver

DEFAULT_SECONDS = 3600
MIN_SECONDS = 600
MAX_SECONDS = 2**32
# Tokens mounted into pods live a year, so that programs that never read them again go on; they are
# to be warned about after the hour that was asked for (upstream's ExpirationExtensionSeconds).
EXTENDED_SECONDS = 365 * 24 * 3600

_GROUP = "authentication.k8s.io"
_REQUEST = Resource(_GROUP, "v1", "tokenrequests", "TokenRequest", namespaced=True)
_PLURALS = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is asked for, checked."""

    audiences: tuple[str, ...]
    seconds: int
    bound: Obj | None


def token_request(
    receiver: Receiver, issuer: TokenIssuer, api_audiences: tuple[str, ...]
) -> Handler:
    """The handler; tokens are for the API itself unless other audiences are asked for."""

    async def handle(call: Call, user: User, context: Context) -> Answer:
        now = context.clock.now()
        received = receiver.receive(call, now, resource=_REQUEST)
        request, namespace = received.obj, call.namespace or ""
        account = context.lister.get("serviceaccounts", namespace, call.name)
        if account is None:
            raise not_found("", "serviceaccounts", call.name)
        _check_metadata(request, call.name, namespace)
        wanted = _read(request, api_audiences)
        _check_node(context.lister, user, call, wanted.bound)
        binding = _binding(context.lister, wanted.bound, call.name, namespace)
        token = _issue(issuer, account.obj, wanted, binding, api_audiences)
        metadata = {"name": call.name, "namespace": namespace}
        request["metadata"] = {**metadata, "creationTimestamp": format_time(now)}
        request["status"] = {
            "token": token,
            "expirationTimestamp": format_time(now + wanted.seconds),
        }
        return received.answer()

    return handle


def _check_metadata(request: Obj, name: str, namespace: str) -> None:
    found = ErrorList()
    for field, given, wanted in (
        ("name", name_of(request), name),
        ("namespace", namespace_of(request), namespace),
    ):
        if given not in ("", wanted):
            what = f"must match the service account {field} if specified"
            found.invalid(Path("metadata").child(field), given, what)
            raise invalid(_GROUP, "TokenRequest", name, found)


def _read(request: Obj, api_audiences: tuple[str, ...]) -> _Wanted:
    """Fills in defaults, in the request too."""
    spec = request["spec"]
    if not spec.get("audiences"):
        spec["audiences"] = list(api_audiences)
    if spec.get("expirationSeconds") is None:
        spec["expirationSeconds"] = DEFAULT_SECONDS
    seconds = spec["expirationSeconds"]
    found = ErrorList()
    path = Path("spec").child("expirationSeconds")
    if seconds < MIN_SECONDS:
        found.invalid(path, seconds, "may not specify a duration less than 10 minutes")
    if seconds > MAX_SECONDS:
        found.invalid(path, seconds, "may not specify a duration larger than 2^32 seconds")
    if found:
        raise invalid(_GROUP, "TokenRequest", "", found)
    return _Wanted(tuple(spec["audiences"]), seconds, spec.get("boundObjectRef"))


def _check_node(lister: Lister, user: User, call: Call, bound: Obj | None) -> None:
    try:
        check_token_request(lister, user, call.namespace or "", bound)
    except TokenRefused as error:
        raise forbidden("", "serviceaccounts", call.name, str(error)) from None


def _binding(lister: Lister, bound: Obj | None, account: str, namespace: str) -> Binding:
    """The object that a reference names. Raises NotFound, Conflict, BadRequest."""
    if bound is None:
        return Binding()
    kind = bound.get("kind", "")
    plural = _PLURALS.get(kind)
    if plural is None or bound.get("apiVersion", "v1") != "v1":
        version = bound.get("apiVersion", "")
        raise BadRequest(f"cannot bind token to object of type {version}, Kind={kind}")
    name = bound.get("name", "")
    found = lister.get(plural, "" if kind == "Node" else namespace, name)
    if found is None:
        raise not_found("", plural, name)
    wanted_uid = bound.get("uid")
    if wanted_uid and wanted_uid != uid_of(found.obj):
        raise Conflict(
            f'Operation cannot be fulfilled on {kind} "{name}": the UID in the bound object'
            f" reference ({wanted_uid}) does not match the UID in record. The object might have"
            " been deleted and then recreated",
            details={"name": name, "kind": kind},
        )
    if kind == "Secret":
        return Binding(secret=found.obj)
    if kind == "Node":
        return Binding(node=found.obj)
    return _pod_binding(lister, found.obj, account)


def _pod_binding(lister: Lister, pod: Obj, account: str) -> Binding:
    if pod["spec"].get("serviceAccountName") != account:
        raise BadRequest(
            f'cannot bind token for serviceaccount "{account}" to pod running with different'
            " serviceaccount name."
        )
    node_name = pod["spec"].get("nodeName")
    if not node_name:
        return Binding(pod=pod)
    node = lister.get("nodes", "", node_name)
    return Binding(pod=pod, node=node.obj if node else {"metadata": {"name": node_name}})


def _issue(
    issuer: TokenIssuer,
    account: Obj,
    wanted: _Wanted,
    binding: Binding,
    api_audiences: tuple[str, ...],
) -> str:
    mounted = (
        binding.pod is not None
        and wanted.seconds == TOKEN_SECONDS
        and set(wanted.audiences) <= set(api_audiences)
    )
    return issuer.issue(
        account,
        audiences=wanted.audiences,
        ttl_seconds=EXTENDED_SECONDS if mounted else wanted.seconds,
        warn_after_seconds=wanted.seconds if mounted else 0,
        binding=binding,
    )
