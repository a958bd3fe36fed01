"""Events: one kind under two groups; stored as core/v1 (see ``kinds/conversion.py``)."""

from collections.abc import Mapping

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
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


_CHARACTERS_MAX = 128  # of the newer fields; upstream's *LengthLimit
_MESSAGE_CHARACTERS_MAX = 1024


def validate(event: Obj, errors: ErrorList) -> None:
    """As ``v1``: with an ``eventTime``, the event says who reports what was done."""
    if not event.get("eventTime"):
        _validate_namespace(event, errors)
        return
    validate_newer(event, "reportingComponent", errors)


def validate_newer(event: Obj, reporting: str, errors: ErrorList) -> None:
    """The fields of newer events; ``reporting`` is what the version calls its controller."""
    namespace = (event.get("involvedObject") or {}).get("namespace") or ""
    own = event["metadata"].get("namespace") or ""
    if not namespace and own not in ("default", "kube-system"):
        where = Path("involvedObject").child("namespace")
        errors.invalid(where, namespace, "does not match event.namespace")
    controller = event.get("reportingComponent") or ""
    checks.required(controller, Path(reporting), errors)
    checks.qualified_name(controller, Path(reporting), errors)
    for field in ("reportingInstance", "action", "reason"):
        text = event.get(field) or ""
        checks.required(text, Path(field), errors)
        _validate_length(text, _CHARACTERS_MAX, Path(field), errors)
    _validate_length(event.get("message") or "", _MESSAGE_CHARACTERS_MAX, Path("message"), errors)


def _validate_length(text: str, most: int, path: Path, errors: ErrorList) -> None:
    if len(text.encode()) > most:
        errors.invalid(path, "", f"can have at most {most} characters")


def _validate_namespace(event: Obj, errors: ErrorList) -> None:
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
