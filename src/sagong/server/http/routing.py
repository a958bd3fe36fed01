"""From an authenticated request to its handler: resources, streams, and everything else."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import orjson

from sagong.api import errors
from sagong.api.call import Call, Event, EventType, Listing, Single, Verb, Watching
from sagong.api.protobuf.encoding import kubernetes_encoder
from sagong.api.protobuf.messages import Messages
from sagong.api.resources import ResourceTable
from sagong.api.types import Obj, Resource
from sagong.core.clock import Clock
from sagong.server.authz.interface import Attributes, Effect
from sagong.server.authz.refusal import refusal
from sagong.server.cache import SharedEvent
from sagong.server.dispatch import ApiServer, method_not_allowed
from sagong.server.http import bodies, query, watches
from sagong.server.http.connection import Manner
from sagong.server.http.exchange import Exchange
from sagong.server.http.messages import Answered, Response
from sagong.server.http.negotiation import JSON, PROTOBUF_TYPE, Accepted, Shape, negotiate
from sagong.server.http.responses import Presenter, PrinterOf, json_response
from sagong.server.http.targets import Target, target_of, verb_of
from sagong.server.registry.registry import Action

if TYPE_CHECKING:
    from aiohttp import web

    from sagong.server.aggregation.aggregator import Aggregator
    from sagong.server.aggregation.services import Extension

# A subresource that takes over its connection (exec, log, proxy, ...). Called after authorisation,
# with the call and what follows the subresource in the path.
Connect = Callable[[Exchange, Call, str], Awaitable["web.StreamResponse"]]
# Something that is served beside resources: discovery, health, metrics, OpenAPI.
Endpoint = Callable[[Exchange], Awaitable[Answered]]
# The endpoint of a path, None if there is none.
FindEndpoint = Callable[[str], Endpoint | None]


_READS = (Verb.GET, Verb.LIST, Verb.WATCH)
# Paths whose meaning is remembered; past it all are forgotten.
TARGETS_MAX = 8192


@dataclass(slots=True)
class _Known:
    """A call and, once somebody was allowed to ask, what carries it out."""

    call: Call
    action: Action | None = None


@dataclass(slots=True)
class Router:
    """The last handler of the chain."""

    server: ApiServer
    resources: ResourceTable
    clock: Clock
    endpoint: FindEndpoint
    connections: Mapping[tuple[str, str], Connect]
    printer_of: PrinterOf
    aggregator: "Aggregator | None" = None
    messages: Messages = field(default_factory=Messages)
    _targets: dict[str, Target | None] = field(default_factory=dict)
    _targets_version: int = 0
    # Requests without parameters, by method, path and agent: the same call each time.
    _calls: dict[tuple[str, str, str], _Known] = field(default_factory=dict)

    def manner(self, method: str, target: str) -> Manner:
        """How to answer a request: reads of the caches at once, connections by their handlers."""
        path, _, query_text = target.partition("?")
        if self.aggregator is not None and self.aggregator.extensions.of_path(path) is not None:
            return Manner.TAKEN
        found = self.target(path)
        if found is None or found.resource is None:
            return Manner.TASK
        key = (found.resource.name, found.subresource)
        if key in self.connections:
            return Manner.TAKEN
        if method != "GET" or key in self.server.handlers or found.watch or "watch" in query_text:
            return Manner.TASK
        return Manner.AT_ONCE

    async def handle(self, exchange: Exchange) -> Answered:
        """Answer a request. Raises ``api.errors``."""
        if self.aggregator is not None and exchange.incoming.taken is not None:
            extension = self.aggregator.extensions.of_path(exchange.path)
            if extension is not None:
                return await self._extension(exchange, extension, self.aggregator)
        target = self.target(exchange.path)
        if target is None:
            return await self._endpoint(exchange)
        parameters = query.parse(exchange.query) if exchange.query else {}
        if target.resource and (target.resource.name, target.subresource) in self.connections:
            # Any method may be proxied (OPTIONS counts as a read), and the query is the backend's.
            verb = verb_of(exchange.method, target, watch=query.is_true(parameters.get("watch")))
            call = self._call(exchange, target, verb or Verb.GET, {})
            return await self._connect(exchange, call, target)
        known = self._known(exchange, target, parameters)
        call = known.call
        exchange.allowed_because = await self.server.authorize(call, exchange.user)
        action = known.action
        if action is None:
            action = known.action = self.server.action_of(call)
        # Reviews, which can only be created, are kept nowhere and have no table.
        tables = target.resource is None or target.resource.verbs != ("create",)
        accept = exchange.incoming.headers.accept
        typed = PROTOBUF_TYPE not in accept or self._has_message(target.resource)
        accepted = negotiate(accept, tables=tables, protobuf=typed)
        if call.verb not in _READS:
            call = await _with_body(exchange, call, self.messages)
            exchange.notes = call.notes
        answer = await action(call, exchange.user)
        if accepted is JSON and isinstance(answer, Single):
            exchange.warnings += answer.warnings
            return json_response(exchange, answer)
        return await self._respond(exchange, call, answer, accepted, parameters)

    def _has_message(self, resource: Resource | None) -> bool:
        """Whether the resource's objects can be answered as protobuf."""
        if resource is None:
            return True
        return not resource.custom and self.messages.has_kind(resource.api_version, resource.kind)

    def target(self, path: str) -> Target | None:
        """What a path names; clients ask for the same few again and again."""
        version = self.resources.version
        if version != self._targets_version or len(self._targets) >= TARGETS_MAX:
            self._targets.clear()
            self._calls.clear()
            self._targets_version = version
        try:
            return self._targets[path]
        except KeyError:
            target = self._targets[path] = target_of(path, self.resources)
            return target

    def _known(self, exchange: Exchange, target: Target, parameters: Mapping[str, str]) -> _Known:
        agent = exchange.incoming.headers.user_agent
        key = (exchange.method, exchange.path, agent)
        if not parameters:
            known = self._calls.get(key)
            if known is not None:
                _label(exchange, known.call.verb, known.call.resource, target)
                return known
        verb = verb_of(exchange.method, target, watch=query.is_true(parameters.get("watch")))
        known = _Known(self._call(exchange, target, verb, parameters))
        if not parameters:
            if len(self._calls) >= TARGETS_MAX:
                self._calls.clear()
            self._calls[key] = known
        return known

    def _call(
        self, exchange: Exchange, target: Target, verb: Verb | None, parameters: Mapping[str, str]
    ) -> Call:
        resource = target.resource
        if resource is None:
            raise errors.unknown_resource()
        if verb is None or (verb in (Verb.UPDATE, Verb.PATCH) and not target.name):
            raise method_not_allowed()
        _label(exchange, verb, resource, target)
        options = query.options_of(parameters, verb)
        exchange.dry_run = options.dry_run
        return Call(
            verb=verb,
            resource=resource,
            namespace=target.namespace,
            name=target.name,
            subresource=target.subresource,
            options=options,
            user_agent=exchange.incoming.headers.user_agent,
        )

    async def _extension(
        self, exchange: Exchange, extension: "Extension", aggregator: "Aggregator"
    ) -> Answered:
        """Authorise here, as far as the path tells, and let the extension answer."""
        from sagong.server.aggregation.asking import asked_of
        from sagong.server.aggregation.proxying import pass_on

        parameters = query.parse(exchange.query)
        asked = asked_of(exchange.path, exchange.method, parameters, exchange.user)
        decision = await self.server.authorizer.authorize(asked)
        if decision.effect is not Effect.ALLOW:
            raise refusal(asked, decision.reason)
        exchange.allowed_because = decision.reason
        exchange.verb = "CONNECT" if asked.verb == "watch" else asked.verb
        exchange.group, exchange.version = asked.group, asked.version
        exchange.resource, exchange.subresource = asked.resource, asked.subresource
        return await pass_on(exchange, extension, aggregator.caller)

    async def _endpoint(self, exchange: Exchange) -> Answered:
        exchange.verb = exchange.method
        asked = Attributes(
            exchange.user, exchange.method.lower(), path=exchange.path, is_resource=False
        )
        decision = await self.server.authorizer.authorize(asked)
        if decision.effect is not Effect.ALLOW:
            raise refusal(asked, decision.reason)
        exchange.allowed_because = decision.reason
        endpoint = self.endpoint(exchange.path)
        if endpoint is None:
            return _nothing_here(exchange)
        return await endpoint(exchange)

    async def _connect(self, exchange: Exchange, call: Call, target: Target) -> Answered:
        # Every method of a connection counts as a get or a create, as upstream has it.
        exchange.allowed_because = await self.server.authorize(call, exchange.user)
        self.server.check_served(call)
        exchange.verb = "CONNECT"
        asked = query.parse_all(exchange.query)
        await self.server.admit_connection(call, exchange.user, asked, target.rest)
        if exchange.on_start is not None:
            exchange.on_start(101 if "Upgrade" in exchange.incoming.headers else 200)
        connect = self.connections[call.resource.name, call.subresource]
        return await connect(exchange, call, target.rest)

    async def _respond(
        self,
        exchange: Exchange,
        call: Call,
        answer: Single | Listing | Watching,
        accepted: Accepted,
        parameters: Mapping[str, str],
    ) -> Answered:
        include = parameters.get("includeObject", "Metadata")
        presenter = Presenter(
            accepted,
            exchange,
            now=self.clock.now(),
            include=include,
            printer_of=self.printer_of,
        )
        exchange.warnings += answer.warnings
        if isinstance(answer, Single):
            return presenter.single(answer, call.resource)
        if isinstance(answer, Listing):
            return presenter.listing(answer)
        return await watches.stream(exchange, answer, _line_shape(presenter, call, accepted))


def _label(exchange: Exchange, verb: Verb, resource: Resource, target: Target) -> None:
    """What metrics and logs call the request."""
    exchange.verb, exchange.resource = verb, resource.plural
    exchange.group, exchange.version = resource.group, resource.version
    exchange.subresource = target.subresource
    exchange.scope = "resource" if target.name else ("namespace" if target.namespace else "cluster")
    if resource.deprecation:
        exchange.warnings.append(resource.deprecation)


def _line_shape(presenter: Presenter, call: Call, accepted: Accepted) -> watches.Shape | None:
    """How events are written, None as shared lines of JSON."""
    shape = None if accepted.shape is Shape.PLAIN else _shape(presenter, call)
    if accepted.media_type == PROTOBUF_TYPE:
        return watches.Shape(_frame(shape), f"{PROTOBUF_TYPE};stream=watch")
    return None if shape is None else watches.Shape(_line(shape))


def _line(shape: Callable[[Event], Obj]) -> Callable[[Event], bytes]:
    return lambda event: orjson.dumps({"type": event.type, "object": shape(event)}) + b"\n"


def _frame(shape: Callable[[Event], Obj] | None) -> Callable[[Event], bytes]:
    if shape is None:
        return _shared_frame
    return lambda event: kubernetes_encoder().watch_frame(event.type, shape(event))


def _shared_frame(event: Event) -> bytes:
    return event.frame(_plain_frame) if isinstance(event, SharedEvent) else _plain_frame(event)


def _plain_frame(event: Event) -> bytes:
    return kubernetes_encoder().watch_frame(event.type, event.obj)


def _shape(presenter: Presenter, call: Call) -> Callable[[Event], Obj]:
    first = True

    def shape(event: Event) -> Obj:
        nonlocal first
        if event.type is EventType.ERROR:
            return event.obj
        obj = presenter.shaped(event.obj, call.resource, first=first)
        if event.type is EventType.BOOKMARK and "rows" in obj:
            obj = {**obj, "rows": []}
        first = False
        return obj

    return shape


def _nothing_here(exchange: Exchange) -> Response:
    if exchange.path.startswith(("/api/", "/apis/")):
        raise errors.unknown_resource()
    headers = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
    return Response(text="404 page not found\n", status=404, headers=headers)


async def _with_body(exchange: Exchange, call: Call, messages: Messages) -> Call:
    data = await bodies.read(exchange.incoming)
    media_type = bodies.media_type_of(exchange.incoming)
    if call.verb in (Verb.DELETE, Verb.DELETE_COLLECTION):
        if not data:
            return replace(call, notes={})  # a call that is known serves many requests
        decoded = bodies.decode_object(data, media_type, "DeleteOptions", messages)
        return replace(call, options=query.delete_options(decoded.obj, call.options), notes={})
    if call.verb is Verb.PATCH:
        type_ = bodies.patch_type_of(media_type)
        patch, duplicates = bodies.decode_patch(data, type_)
        return call.with_body(patch, duplicates, type_)
    decoded = bodies.decode_object(data, media_type, call.resource.kind, messages)
    return call.with_body(decoded.obj, decoded.duplicates)
