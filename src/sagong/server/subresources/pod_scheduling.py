"""``pods/scheduling``: how a scheduler decided about a pod, published by it and read by people.

Not part of Kubernetes. Records are kept in memory, those of the last pods decided about: they
explain the present and are no history. Any scheduler that may update the subresource can publish.
"""

from collections import OrderedDict
from dataclasses import replace

from sagong.api import errors
from sagong.api.call import Answer, Call, Options, Single, Verb
from sagong.api.meta import uid_of
from sagong.api.scheduling import API_VERSION, KIND
from sagong.api.types import Encoded, Obj, User
from sagong.server.handlers import Context, Handler

RECORDS_MAX = 2000  # past it the record that was published longest ago is dropped


def pod_scheduling() -> Handler:
    """A handler with records of its own."""
    records: OrderedDict[str, Encoded] = OrderedDict()

    async def handle(call: Call, user: User, context: Context) -> Answer:
        get = replace(call, verb=Verb.GET, subresource="", options=Options(), body=None)
        answer = await context.storage.execute(get, user)
        assert isinstance(answer, Single)
        uid = uid_of(answer.obj)
        if call.verb == Verb.UPDATE:
            _check(call.body, call.name, uid)
            records[uid] = Encoded(call.body)
            records.move_to_end(uid)
            if len(records) > RECORDS_MAX:
                records.popitem(last=False)
        found = records.get(uid)
        if found is None:
            raise errors.NotFound(f'no decision about pod "{call.name}" is kept', details={})
        return Single(found)

    return handle


def _check(record: Obj, name: str, uid: str) -> None:
    """Raises BadRequest, or Conflict if the record is about an earlier pod of the name."""
    if record.get("apiVersion") != API_VERSION or record.get("kind") != KIND:
        raise errors.BadRequest(f"the body must be of kind {KIND} in {API_VERSION}")
    if uid_of(record) != uid:
        message = f"the UID in the record is not that of the pod: {uid}"
        raise errors.conflict("", "pods/scheduling", name, message)
