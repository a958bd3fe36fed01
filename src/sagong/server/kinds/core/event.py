"""Events: one kind under two groups; stored as core/v1 (see ``kinds/conversion.py``)."""

from collections.abc import Mapping

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds.strategy import Strategy


def default(event: Obj) -> None:
    """Fields that Kubernetes always writes, set or not."""
    for name in ("firstTimestamp", "lastTimestamp", "eventTime"):
        event.setdefault(name, None)
    event.setdefault("involvedObject", {})
    event.setdefault("source", {})
    event.setdefault("reportingComponent", "")
    event.setdefault("reportingInstance", "")


def selectable_fields(event: Obj) -> Mapping[str, str]:
    involved = event.get("involvedObject") or {}
    source = (event.get("source") or {}).get("component") or event.get("reportingComponent", "")
    return {
        "involvedObject.kind": involved.get("kind", ""),
        "involvedObject.namespace": involved.get("namespace", ""),
        "involvedObject.name": involved.get("name", ""),
        "involvedObject.uid": involved.get("uid", ""),
        "involvedObject.apiVersion": involved.get("apiVersion", ""),
        "involvedObject.resourceVersion": involved.get("resourceVersion", ""),
        "involvedObject.fieldPath": involved.get("fieldPath", ""),
        "reason": event.get("reason", ""),
        "reportingComponent": event.get("reportingComponent", ""),
        "source": source,
        "type": event.get("type", ""),
    }


def validate(event: Obj, errors: ErrorList) -> None:
    """An event lives in its object's namespace; of a cluster-scoped object, in default."""
    namespace = (event.get("involvedObject") or {}).get("namespace") or ""
    own = event["metadata"].get("namespace") or ""
    if own != namespace and not (namespace == "" and own == "default"):
        where = Path("involvedObject").child("namespace")
        errors.invalid(where, namespace, "does not match event.namespace")


STRATEGY = Strategy(
    validate=validate,
    default=default,
    selectable_fields=selectable_fields,
    selectable_field_names=(
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    has_status=False,
    create_on_update=True,
)
