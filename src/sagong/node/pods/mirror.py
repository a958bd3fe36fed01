"""The pod at the API that shows a static pod."""

from dataclasses import dataclass

from sagong.api.types import Obj


@dataclass(slots=True)
class Mirror:
    """The mirror of one static pod as last seen; None while there is none."""

    pod: Obj | None = None
