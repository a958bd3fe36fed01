"""Discovery over HTTP: plain, or aggregated with an ETag where the client accepts that."""

import hashlib
from collections.abc import Callable

import orjson

from sagong.api import errors
from sagong.api.resources import ResourceTable
from sagong.api.types import Obj
from sagong.server.aggregation.aggregator import Aggregator
from sagong.server.discovery import documents
from sagong.server.discovery.merging import merged_groups
from sagong.server.http.exchange import Exchange
from sagong.server.http.messages import Answered, Response
from sagong.server.http.negotiation import Accepted, clauses_of, negotiate
from sagong.server.http.responses import object_response
from sagong.server.http.routing import Endpoint

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class Discovery:
    """Finds the discovery endpoint of a path; documents are made when asked for and kept."""

    def __init__(
        self, table: ResourceTable, address: str, aggregator: Aggregator | None = None
    ) -> None:
        self._table = table
        self._aggregator = aggregator
        self._address = address
        self._made: dict[str, bytes] = {}
        self._made_of = self._state()

    def _state(self) -> object:
        return self._table.version, self._aggregator.state() if self._aggregator else None

    def _groups(self) -> documents.Groups:
        local = documents.groups_of(self._table)
        if self._aggregator is None or not self._aggregator.contents():
            return local
        return merged_groups(local, self._aggregator.contents(), self._aggregator.priorities())

    def endpoint(self, path: str) -> Endpoint | None:
        """The endpoint of ``/api``, ``/apis``, a group or a version; None for other paths."""
        parts = path.strip("/").split("/")
        table = self._table
        if parts == ["api"]:
            return self._root(core=True)
        if parts == ["apis"]:
            return self._root(core=False)
        if len(parts) == 2 and parts[0] == "api":
            return self._plain(lambda: documents.resource_list(table, "", parts[1]))
        if len(parts) == 2 and parts[0] == "apis":
            return self._plain(lambda: documents.group(self._groups(), parts[1]))
        if len(parts) == 3 and parts[0] == "apis":
            return self._plain(lambda: documents.resource_list(table, parts[1], parts[2]))
        return None

    def _plain(self, make: Callable[[], Obj | None]) -> Endpoint:
        async def answer(exchange: Exchange) -> Answered:
            document = make()
            if document is None:
                raise errors.unknown_resource()
            return object_response(document, _accepted(exchange), exchange)

        return answer

    def _root(self, *, core: bool) -> Endpoint:
        async def answer(exchange: Exchange) -> Answered:
            if wants_aggregated(exchange):
                return self._aggregated(exchange, core=core)
            if core:
                document = documents.api_versions(self._address)
            else:
                document = documents.group_list(self._groups())
            return object_response(document, _accepted(exchange), exchange)

        return answer

    def _aggregated(self, exchange: Exchange, *, core: bool) -> Answered:
        state = self._state()
        if self._made_of != state:
            self._made.clear()
            self._made_of = state
        key = "api" if core else "apis"
        data = self._made.get(key)
        if data is None:
            contents = self._aggregator.contents() if self._aggregator else {}
            document = documents.aggregated(
                self._table,
                self._groups(),
                {gv: content.resources for gv, content in contents.items()},
                [gv for gv, content in contents.items() if not content.is_current],
                core=core,
            )
            data = orjson.dumps(document) + b"\n"
            self._made[key] = data
        tag = '"' + hashlib.sha512(data).hexdigest().upper() + '"'
        headers = {"ETag": tag, "Vary": "Accept", "Cache-Control": "public"}
        if exchange.incoming.headers.get("If-None-Match") == tag:
            return Response(status=304, headers=headers)
        headers["Content-Type"] = _AGGREGATED
        return Response(body=data, headers=headers)


def wants_aggregated(exchange: Exchange) -> bool:
    """Is aggregated discovery (v2) the first thing that the client accepts and we can make?"""
    for clause in clauses_of(exchange.incoming.headers.accept):
        if clause.media_type not in ("application/json", "application/*", "*/*"):
            continue
        as_ = clause.parameter("as")
        if not as_:
            return False
        if as_ == "APIGroupDiscoveryList" and clause.parameter("v") == "v2":
            return True
    return False


def _accepted(exchange: Exchange) -> Accepted:
    return negotiate(exchange.incoming.headers.accept)
