"""``/``: the list of everything that is served."""

from collections.abc import Callable, Sequence

from sagong.api.resources import ResourceTable
from sagong.server.discovery.documents import groups_of
from sagong.server.http.exchange import Exchange
from sagong.server.http.messages import Answered
from sagong.server.http.negotiation import JSON
from sagong.server.http.responses import object_response
from sagong.server.http.routing import Endpoint


def paths(table: ResourceTable, others: Callable[[], Sequence[str]]) -> Endpoint:
    """The endpoint; ``others`` are paths besides those of groups and versions."""

    async def answer(exchange: Exchange) -> Answered:
        found = {"/api", "/api/v1", "/apis", "/apis/", *others()}
        for group, versions in groups_of(table):
            if group:
                found.add(f"/apis/{group}")
                found.update(f"/apis/{group}/{version}" for version in versions)
        return object_response({"paths": sorted(found)}, JSON, exchange)

    return answer
