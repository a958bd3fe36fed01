"""Audit events (``audit.k8s.io/v1 Event``) in the words of upstream. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sagong.api.types import Obj, User
from sagong.core.clock import format_micro_time
from sagong.server.audit.policy import LEVEL_NAMES, Decision, Level, Stage
from sagong.server.authz.interface import Attributes


@dataclass(slots=True)
class Record:
    """What is known of one request so far."""

    decision: Decision
    asked: Attributes
    audit_id: str
    uri: str
    received_at: float
    source: str
    user_agent: str
    impersonated: User | None = None
    request_object: Any = None
    response_object: Any = None
    status: Obj | None = None
    annotations: dict[str, str] = field(default_factory=dict)

    @property
    def level(self) -> Level:
        return self.decision.level

    def know_request(self, body: Any) -> None:
        """The decoded body of a request for a resource: it completes what the path names."""
        metadata = body.get("metadata") if isinstance(body, dict) else None
        if isinstance(metadata, dict):
            asked = self.asked
            self.asked = asked._replace(
                name=asked.name or str(metadata.get("name") or ""),
                namespace=asked.namespace or str(metadata.get("namespace") or ""),
            )
        if self.level >= Level.REQUEST:
            self.request_object = self._shown(body)

    def know_response(self, body: Any, code: int) -> None:
        self.status = {"metadata": {}, "code": code}
        if isinstance(body, dict) and body.get("kind") == "Status":
            known = ("status", "message", "reason", "details")
            self.status |= {name: body[name] for name in known if body.get(name)}
        if self.level >= Level.REQUEST_RESPONSE and body is not None:
            self.response_object = self._shown(body)

    def _shown(self, body: Any) -> Any:
        if not self.decision.without_managed_fields or not isinstance(body, dict):
            return body
        shown = _without_managed_fields(body)
        if isinstance(shown.get("items"), list):
            shown["items"] = [_without_managed_fields(item) for item in shown["items"]]
        return shown


def _without_managed_fields(obj: Any) -> Any:
    if not isinstance(obj, dict) or not isinstance(obj.get("metadata"), dict):
        return dict(obj) if isinstance(obj, dict) else obj
    metadata = {k: v for k, v in obj["metadata"].items() if k != "managedFields"}
    return {**obj, "metadata": metadata}


def event_of(record: Record, stage: Stage, now: float) -> Obj:
    """The event of a stage."""
    event: Obj = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": LEVEL_NAMES[record.level],
        "auditID": record.audit_id,
        "stage": stage.value,
        "requestURI": record.uri,
        "verb": record.asked.verb,
        "user": _user(record.asked.user),
    }
    if record.impersonated is not None:
        event["impersonatedUser"] = _user(record.impersonated)
    event["sourceIPs"] = [record.source]
    event["userAgent"] = record.user_agent
    if record.asked.is_resource:
        event["objectRef"] = _reference(record)
    if stage is not Stage.REQUEST_RECEIVED:
        event |= _answered(record)
    event["requestReceivedTimestamp"] = format_micro_time(record.received_at)
    event["stageTimestamp"] = format_micro_time(now)
    if record.annotations and stage is not Stage.REQUEST_RECEIVED:
        event["annotations"] = dict(record.annotations)
    return event


def _answered(record: Record) -> Obj:
    parts: Mapping[str, Any] = {
        "responseStatus": record.status,
        "requestObject": record.request_object,
        "responseObject": record.response_object,
    }
    return {name: value for name, value in parts.items() if value is not None}


def _user(user: User) -> Obj:
    shown: Obj = {"username": user.name}
    if user.uid:
        shown["uid"] = user.uid
    if user.groups:
        shown["groups"] = list(user.groups)
    if user.extra:
        shown["extra"] = {key: list(values) for key, values in user.extra.items()}
    return shown


def _reference(record: Record) -> Obj:
    asked = record.asked
    parts = {
        "resource": asked.resource,
        "namespace": asked.namespace,
        "name": asked.name,
        "apiGroup": asked.group,
        "apiVersion": asked.version,
        "subresource": asked.subresource,
    }
    return {name: value for name, value in parts.items() if value}
