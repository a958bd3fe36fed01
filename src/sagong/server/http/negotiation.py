"""Content negotiation: what the client accepts, and what it gets."""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from sagong.api import errors


class Shape(StrEnum):
    """In what form objects are wanted."""

    PLAIN = ""
    TABLE = "Table"
    METADATA = "PartialObjectMetadata"
    METADATA_LIST = "PartialObjectMetadataList"


@dataclass(frozen=True, slots=True)
class Accepted:
    """One outcome of negotiation. ``version`` is that of the shape (v1 or v1beta1)."""

    media_type: str
    shape: Shape = Shape.PLAIN
    version: str = "v1"
    pretty: bool = False


JSON = Accepted("application/json")
PROTOBUF_TYPE = "application/vnd.kubernetes.protobuf"
_YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml")
_JSON_TYPES = ("application/json", "application/*", "*/*", "text/*")
NOT_ACCEPTABLE = (
    "only the following media types are accepted: "
    "application/json, application/yaml, application/vnd.kubernetes.protobuf"
)


@dataclass(frozen=True, slots=True)
class Clause:
    """One entry of an Accept header."""

    media_type: str
    parameters: tuple[tuple[str, str], ...]
    quality: float

    def parameter(self, name: str) -> str:
        return next((value for key, value in self.parameters if key == name), "")


@lru_cache(maxsize=256)  # pure; clients send the same few headers again and again
def clauses_of(accept: str) -> tuple[Clause, ...]:
    """The clauses of an Accept header, best first; order decides between equals."""
    clauses = []
    for text in accept.split(","):
        media_type, *rest = (part.strip() for part in text.split(";"))
        if not media_type:
            continue
        parameters, quality = [], 1.0
        for parameter in rest:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 0.0
            else:
                parameters.append((key.strip(), value.strip().strip('"')))
        clauses.append(Clause(media_type.lower(), tuple(parameters), quality))
    return tuple(sorted(clauses, key=lambda clause: -clause.quality))


@lru_cache(maxsize=256)  # pure
def negotiate(accept: str, *, tables: bool = True, protobuf: bool = True) -> Accepted:
    """What to answer with; without ``tables``, nothing that would have to be one, and without
    ``protobuf`` no whole objects as such (their metadata has a message whatever their kind).

    Raises NotAcceptable if nothing of what is accepted can be made.
    """
    if not accept:
        return JSON
    for clause in clauses_of(accept):
        found = _try(clause)
        if found is None or not (tables or found.shape is not Shape.TABLE):
            continue
        if protobuf or found.media_type != PROTOBUF_TYPE or found.shape is not Shape.PLAIN:
            return found
    raise errors.NotAcceptable(NOT_ACCEPTABLE)


def _try(clause: Clause) -> Accepted | None:
    if clause.media_type in _JSON_TYPES:
        media_type = "application/json"
    elif clause.media_type in _YAML_TYPES:
        media_type = "application/yaml"
    elif clause.media_type == PROTOBUF_TYPE:
        media_type = PROTOBUF_TYPE
    else:
        return None
    as_ = clause.parameter("as")
    pretty = clause.parameter("pretty") in ("1", "true")
    if not as_:
        found = Accepted(media_type, pretty=pretty)
        return JSON if found == JSON else found
    if clause.parameter("g") != "meta.k8s.io" or clause.parameter("v") not in ("v1", "v1beta1"):
        return None
    if as_ not in (Shape.TABLE, Shape.METADATA, Shape.METADATA_LIST):
        return None
    if as_ == Shape.TABLE and media_type == PROTOBUF_TYPE:
        return None  # tables have no message
    return Accepted(media_type, Shape(as_), clause.parameter("v"), pretty)
