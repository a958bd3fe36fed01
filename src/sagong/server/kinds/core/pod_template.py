"""Pod templates as objects of their own."""

from sagong.api.pod_defaults import default_pod_template
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds.core.pod_validation import validate_pod_template
from sagong.server.kinds.core.pod_warnings import template_warnings
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    default_pod_template(obj.setdefault("template", {}))


def validate(obj: Obj, errors: ErrorList) -> None:
    validate_pod_template(obj.get("template") or {}, Path("template"), errors)


STRATEGY = Strategy(
    warnings=template_warnings,
    validate=validate,
    default=default,
    has_generation=True,
    has_status=False,
)
