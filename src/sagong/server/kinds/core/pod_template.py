"""Pod templates as objects of their own."""

from sagong.api.types import Obj
from sagong.server.kinds.core.pod_spec import default_pod_template
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    default_pod_template(obj.setdefault("template", {}))


STRATEGY = Strategy(default=default, has_generation=True, has_status=False)
