"""Kinds that are served in several versions and stored in one.

Storage versions are autoscaling/v2 and core/v1 Event; every other resource is its own storage
version and passes through untouched. The registry decodes a body in the request's version, calls
``to_storage``, works on the result with the served resource's strategy (which is written for the
storage version), and calls ``from_storage`` on what it answers. Results share structure with their
input: copy before change.
"""

from collections.abc import Callable, Mapping

from sagong.api.resources import BUILT_IN
from sagong.api.types import Obj, Resource
from sagong.server.kinds.autoscaling.conversion import v1_from_v2, v2_from_v1

_Convert = Callable[[Obj], Obj]

# (field of events.k8s.io/v1, field of v1)
_EVENT_FIELDS = (
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
)
_TO_CORE_EVENT = dict(_EVENT_FIELDS)
_FROM_CORE_EVENT = {core: events for events, core in _EVENT_FIELDS}
# What core/v1 always writes and events.k8s.io/v1 leaves out when empty.
_EMPTY_IN_EVENTS = ("reportingController", "reportingInstance")


def _core_event(event: Obj) -> Obj:
    converted = {_TO_CORE_EVENT.get(name, name): value for name, value in event.items()}
    return {**converted, "apiVersion": "v1"}


def _events_event(event: Obj) -> Obj:
    converted = {_FROM_CORE_EVENT.get(name, name): value for name, value in event.items()}
    for name in _EMPTY_IN_EVENTS:
        if not converted.get(name):
            converted.pop(name, None)
    return {**converted, "apiVersion": "events.k8s.io/v1"}


def _resource(api_version: str, plural: str) -> Resource:
    return next(r for r in BUILT_IN if (r.api_version, r.plural) == (api_version, plural))


_HPA_V1 = ("autoscaling", "v1", "horizontalpodautoscalers")
_EVENTS_V1 = ("events.k8s.io", "v1", "events")
_STORED_AS: Mapping[tuple[str, str, str], Resource] = {
    _HPA_V1: _resource("autoscaling/v2", "horizontalpodautoscalers"),
    _EVENTS_V1: _resource("v1", "events"),
}
_TO_STORAGE: Mapping[tuple[str, str, str], _Convert] = {
    _HPA_V1: v2_from_v1,
    _EVENTS_V1: _core_event,
}
_FROM_STORAGE: Mapping[tuple[str, str, str], _Convert] = {
    _HPA_V1: v1_from_v2,
    _EVENTS_V1: _events_event,
}


def storage_resource(resource: Resource) -> Resource:
    """The resource whose version (and group) the objects of ``resource`` are stored in."""
    return _STORED_AS.get((resource.group, resource.version, resource.plural), resource)


def to_storage(obj: Obj, resource: Resource) -> Obj:
    """An object of ``resource`` in its storage version; the same object where that is its own."""
    convert = _TO_STORAGE.get((resource.group, resource.version, resource.plural))
    return convert(obj) if convert else obj


def from_storage(obj: Obj, resource: Resource) -> Obj:
    """A stored object as ``resource`` shows it; the same object where nothing differs."""
    convert = _FROM_STORAGE.get((resource.group, resource.version, resource.plural))
    return convert(obj) if convert else obj
