"""``componentstatuses``, deprecated long ago: the store, asked whether it answers."""

from sagong.api import errors
from sagong.api.call import Answer, Call, Listing, Single, Verb
from sagong.api.types import Encoded, Obj, User
from sagong.server.handlers import Context

_COMPONENTS = ("controller-manager", "etcd-0", "scheduler")


async def component_statuses(call: Call, user: User, context: Context) -> Answer:
    """Get or list. Whoever asks has reached them: they all run in this process."""
    if call.verb is Verb.GET:
        if call.name not in _COMPONENTS:
            raise errors.not_found("", "componentstatuses", call.name)
        return Single(Encoded(_status(call.name)))
    items = [Encoded(_status(name)) for name in _COMPONENTS]
    return Listing(call.resource, items, "")


def _status(name: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "ComponentStatus",
        "metadata": {"name": name},
        "conditions": [{"type": "Healthy", "status": "True", "message": "ok"}],
    }
