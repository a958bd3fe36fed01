"""What a Call asks for, in authorisation's words.

Source of semantics: apiserver's ``pkg/endpoints/request/requestinfo.go``.
"""

from sagong.api.call import Call, Verb
from sagong.api.types import User
from sagong.server.authz.interface import Attributes

_NAME_FIELD = "metadata.name="


def attributes_of(call: Call, user: User) -> Attributes:
    """Lists and watches of one name are asked as such, so that resourceNames may allow them.

    Requests for a namespace itself count as made inside it, as upstream has them.
    """
    resource = call.resource
    name = call.name
    namespace = call.namespace or ""
    if not name and call.verb in (Verb.LIST, Verb.WATCH, Verb.DELETE_COLLECTION):
        name = _selected_name(call.options.field_selector)
    if resource.name == "namespaces" and call.name:
        namespace = call.name
    return Attributes(
        user,
        str(call.verb),
        resource.group,
        resource.version,
        resource.plural,
        call.subresource,
        namespace,
        name,
        field_selector=call.options.field_selector,
    )


def _selected_name(field_selector: str) -> str:
    """The name that a field selector pins, as ``metadata.name=x`` or ``metadata.name==x``."""
    for term in field_selector.split(","):
        if term.startswith(_NAME_FIELD):
            return term.removeprefix(_NAME_FIELD).removeprefix("=")
    return ""
