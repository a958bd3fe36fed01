"""What a request that is not allowed is told, to the letter of apiserver's ``responsewriters``."""

from sagong.api.errors import Forbidden
from sagong.api.types import Obj
from sagong.server.authz.interface import Attributes


def refusal(asked: Attributes, reason: str = "") -> Forbidden:
    """The 403 for a request that nobody allowed; ``reason`` is the decision's."""
    message = describe_refusal(asked)
    if reason:
        message = f"{message}: {reason}"
    if not asked.is_resource:
        return Forbidden(f"forbidden: {message}", details={})
    details: Obj = {"name": asked.name} if asked.name else {}
    if asked.group:
        details["group"] = asked.group
    details["kind"] = asked.resource
    qualified = f"{asked.resource}.{asked.group}" if asked.group else asked.resource
    subject = f'{qualified} "{asked.name}"' if asked.name else qualified
    return Forbidden(f"{subject} is forbidden: {message}", details=details)


def describe_refusal(asked: Attributes) -> str:
    """``User "x" cannot list resource "pods" in API group "" in the namespace "default"``."""
    user = f'User "{asked.user.name}" cannot {asked.verb}'
    if not asked.is_resource:
        return f'{user} path "{asked.path}"'
    resource = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    what = f'{user} resource "{resource}" in API group "{asked.group}"'
    if asked.namespace:
        return f'{what} in the namespace "{asked.namespace}"'
    return f"{what} at the cluster scope"
