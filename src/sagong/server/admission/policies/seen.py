"""A write as a policy or a webhook sees it."""

from dataclasses import dataclass

from sagong.api.types import Obj, Resource
from sagong.server.admission.interface import Attributes


@dataclass(frozen=True, slots=True)
class Seen:
    """A write as a policy or webhook sees it: in the version ``wanted``."""

    attributes: Attributes
    wanted: Resource
    obj: Obj | None
    old: Obj | None


def seen_as_asked(attributes: Attributes) -> Seen:
    """The write in the version that the client named."""
    return Seen(attributes, attributes.asked, attributes.obj, attributes.old)
