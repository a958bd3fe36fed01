"""Audit: an event for each stage of a request that the policy names.

Stands between authentication and impersonation, so that it knows who really asked. Source of
semantics: apiserver's ``endpoints/filters/audit.go``.
"""

import zlib
from dataclasses import dataclass
from typing import Any

import orjson

from sagong.api import errors
from sagong.api.protobuf.decoding import decode
from sagong.api.protobuf.messages import Messages
from sagong.core.clock import Clock
from sagong.server.audit.events import Record, event_of
from sagong.server.audit.log import AuditLog
from sagong.server.audit.policy import Level, Policy, Stage
from sagong.server.http.asking import FindTarget, asked_of, is_lasting
from sagong.server.http.exchange import Exchange, Middleware, Next
from sagong.server.http.messages import Answered, Response
from sagong.server.http.negotiation import PROTOBUF_TYPE

_DECISION = "authorization.k8s.io/decision"
_REASON = "authorization.k8s.io/reason"


@dataclass(frozen=True, slots=True)
class Auditor:
    """What auditing needs; one a server."""

    policy: Policy
    log: AuditLog
    clock: Clock
    find_target: FindTarget
    messages: Messages

    def middleware(self) -> Middleware:
        async def run(exchange: Exchange, following: Next) -> Answered:
            record = self._record(exchange)
            if record.level is Level.NONE:
                return await following(exchange)
            return await self._audited(exchange, following, record)

        return run

    async def _audited(self, exchange: Exchange, following: Next, record: Record) -> Answered:
        self._emit(record, Stage.REQUEST_RECEIVED)
        if is_lasting(exchange):
            exchange.on_start = lambda code: self._started(exchange, record, code)
        stage = Stage.RESPONSE_COMPLETE
        try:
            answer = await following(exchange)
        except errors.ApiError as error:
            record.know_response(error.status(), error.http_code)
            raise
        except Exception:
            stage = Stage.PANIC
            record.know_response(None, 500)
            raise
        else:
            self._know_answer(record, answer)
            return answer
        finally:
            self._learn(exchange, record)
            self._emit(record, stage)

    def _started(self, exchange: Exchange, record: Record, code: int) -> None:
        self._learn(exchange, record)
        record.know_response(None, code)
        self._emit(record, Stage.RESPONSE_STARTED)

    def _emit(self, record: Record, stage: Stage) -> None:
        if stage not in record.decision.omitted:
            self.log.write(event_of(record, stage, self.clock.now()))

    def _learn(self, exchange: Exchange, record: Record) -> None:
        """What the inner handlers found out."""
        if exchange.user is not record.asked.user:
            record.impersonated = exchange.user
        if exchange.allowed_because is not None:
            record.annotations = {_DECISION: "allow", _REASON: exchange.allowed_because}
        elif record.status is not None and record.status["code"] == 403:
            record.annotations = {_DECISION: "forbid", _REASON: ""}
        record.annotations.update(exchange.notes)
        body = exchange.incoming.body
        if body and record.asked.is_resource and record.request_object is None:
            type_ = exchange.incoming.headers.get("Content-Type")
            record.know_request(self._parsed(body, type_))

    def _know_answer(self, record: Record, answer: Answered) -> None:
        if not isinstance(answer, Response):
            record.know_response(None, getattr(answer, "status", 200))
            return
        body = None
        if answer.body and record.asked.is_resource:
            body = self._body(answer.body, answer.headers)
        record.know_response(body, answer.status)

    def _body(self, data: bytes, headers: dict[str, str]) -> Any:
        if headers.get("Content-Encoding") == "gzip":
            data = zlib.decompress(data, 31)
        return self._parsed(data, headers.get("Content-Type", ""))

    def _parsed(self, data: bytes, content_type: str) -> Any:
        """The JSON form of a body; None for what is none (it will be refused, or is text)."""
        media_type = content_type.partition(";")[0].strip()
        try:
            if media_type == PROTOBUF_TYPE:
                return decode(data, self.messages)
            if "yaml" in media_type:
                import yaml  # slow to import, and seldom sent

                return yaml.safe_load(data)
            return orjson.loads(data)
        except ValueError:
            return None

    def _record(self, exchange: Exchange) -> Record:
        asked = asked_of(exchange, self.find_target)
        target = f"{exchange.path}?{exchange.query}" if exchange.query else exchange.path
        return Record(
            decision=self.policy.decide(asked),
            asked=asked,
            audit_id=exchange.audit_id,
            uri=target,
            received_at=self.clock.now(),
            source=exchange.incoming.peer,
            user_agent=exchange.incoming.headers.user_agent,
        )
