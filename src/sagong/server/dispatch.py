"""One way in for every call, from HTTP and from this process: authorise, then carry out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

from sagong.api import errors
from sagong.api.call import Answer, Call, Single, Verb
from sagong.api.types import Resource, User
from sagong.server.authz.interface import Authorizer, Effect
from sagong.server.authz.refusal import refusal
from sagong.server.authz.requests import attributes_of
from sagong.server.handlers import Context, Handler
from sagong.server.registry.actions import admit_action, admit_connection
from sagong.server.registry.registry import Action, Registry


@dataclass(slots=True)
class ApiServer:
    """The server without its transports."""

    registry: Registry
    authorizer: Authorizer
    # Grows and shrinks with what is served: shared by all who serve subresources.
    handlers: dict[tuple[str, str], Handler]
    context: Context
    # Is anything stored under this resource? What is not has handlers only.
    is_stored: Callable[[Resource], bool]

    async def dispatch(self, call: Call, user: User) -> Answer:
        """Authorise and carry out. Raises ``api.errors``."""
        await self.authorize(call, user)
        return await self.carry_out(call, user)

    async def authorize(self, call: Call, user: User) -> str:
        """Why it is allowed. Raises Forbidden."""
        asked = attributes_of(call, user)
        decision = await self.authorizer.authorize(asked)
        if decision.effect is not Effect.ALLOW:
            raise refusal(asked, decision.reason)
        return decision.reason

    async def carry_out(self, call: Call, user: User) -> Answer:
        """What an authorised call asks for."""
        return await self.action_of(call)(call, user)

    def action_of(self, call: Call) -> Action:
        """What carries the call out, and others that differ in body and options only.

        Raises NotFound for what is not served, MethodNotAllowed.
        """
        self.check_served(call)
        handler = self.handlers.get((call.resource.name, call.subresource))
        if handler is not None:
            return partial(self._handle, handler)
        if call.subresource not in ("", "status") or not self.is_stored(call.resource):
            raise errors.unknown_resource()
        return self.registry.action_of(call)

    async def _handle(self, handler: Handler, call: Call, user: User) -> Answer:
        """Actions are admitted as what they create; other verbs come to the registry's own."""
        if call.verb is not Verb.CREATE:
            return await handler(call, user, self.context)
        admitted = await admit_action(self.registry.backend, call, user)
        answer = await handler(admitted.call, user, self.context)
        if admitted.warnings and isinstance(answer, Single):
            return replace(answer, warnings=(*answer.warnings, *admitted.warnings))
        return answer

    async def admit_connection(
        self, call: Call, user: User, query: Iterable[tuple[str, str]], rest: str
    ) -> None:
        """Admission of an authorised connection. Raises what it refuses with."""
        await admit_connection(self.registry.backend, call, user, query, rest)

    def check_served(self, call: Call) -> None:
        """Raises NotFound for unknown subresources, MethodNotAllowed for verbs not served."""
        verbs = call.resource.verbs
        if call.subresource:
            subresource = call.resource.subresource(call.subresource)
            if subresource is None:
                raise errors.unknown_resource()
            verbs = subresource.verbs
        if call.verb not in verbs:
            raise method_not_allowed()


def method_not_allowed() -> errors.MethodNotAllowed:
    return errors.MethodNotAllowed(
        "the server does not allow this method on the requested resource", details={}
    )
