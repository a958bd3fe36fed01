"""TokenReview and SelfSubjectReview: whose token is that, and who am I.

Source of semantics: upstream's ``pkg/registry/authentication``.
"""

from sagong.api.call import Answer, Call
from sagong.api.errors import BadRequest, InternalError
from sagong.api.types import Obj, User
from sagong.core.clock import format_time
from sagong.server.authn.interface import BadToken, TokenAuthenticator
from sagong.server.handlers import Context, Handler
from sagong.server.reviews.receiving import Receiver, user_info


def token_review(receiver: Receiver, api_audiences: tuple[str, ...]) -> Handler:
    """The handler; a token that is asked about without audiences must be for the API itself."""

    async def handle(call: Call, user: User, context: Context) -> Answer:
        received = receiver.receive(call, context.clock.now())
        spec = received.obj["spec"]
        token = spec.get("token") or ""
        if not token:
            raise BadRequest("token is required for TokenReview in authentication")
        audiences = tuple(spec.get("audiences") or api_audiences)
        received.obj["status"] = await _status(context, token, audiences)
        return received.answer()

    return handle


async def _status(context: Context, token: str, audiences: tuple[str, ...]) -> Obj:
    methods = context.authenticator
    if not isinstance(methods, TokenAuthenticator):
        raise InternalError("this server knows no tokens")
    try:
        found = await methods.authenticate_token(token, audiences)
    except BadToken as error:
        return {"user": {}, "error": error.why}
    if found is None:
        return {"user": {}, "error": "invalid bearer token"}
    return {
        "authenticated": True,
        "user": _info(found.user),
        "audiences": list(found.audiences),
    }


def self_subject_review(receiver: Receiver) -> Handler:
    async def handle(call: Call, user: User, context: Context) -> Answer:
        now = context.clock.now()
        received = receiver.receive(call, now)
        received.obj.pop("spec", None)
        received.obj["metadata"]["creationTimestamp"] = format_time(now)
        received.obj["status"] = {"userInfo": _info(user)}
        return received.answer()

    return handle


def _info(user: User) -> Obj:
    return user_info(user.name, user.uid, user.groups, dict(user.extra))
