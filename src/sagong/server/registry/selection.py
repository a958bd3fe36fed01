"""Label and field selectors of lists, watches and collection deletions."""

from collections.abc import Callable, Mapping

from sagong.api import errors
from sagong.api.call import Options
from sagong.api.meta import labels_of
from sagong.api.selectors import parse_field_selector, parse_label_selector
from sagong.api.types import Obj
from sagong.server.registry.served import Served

Predicate = Callable[[Obj], bool]

METADATA_FIELDS = ("metadata.name", "metadata.namespace")


def selects_anything(options: Options) -> bool:
    return not options.label_selector and not options.field_selector


def predicate_of(served: Served, options: Options) -> Predicate | None:
    """Which objects are meant; None for all. Raises BadRequest for selectors that do not parse."""
    if selects_anything(options):
        return None
    labels = parse_label_selector(options.label_selector) if options.label_selector else None
    fields = None
    if options.field_selector:
        fields = parse_field_selector(options.field_selector)
        known = (*METADATA_FIELDS, *served.strategy.selectable_field_names)
        for name in fields.names:
            if name not in known:
                raise errors.BadRequest(_unsupported(served, name))
    if labels is None and fields is None:
        return None

    def selected(obj: Obj) -> bool:
        if labels is not None and not labels.matches(labels_of(obj)):
            return False
        return fields is None or fields.matches(fields_of(served, obj))

    return selected


def _unsupported(served: Served, name: str) -> str:
    """Kinds with fields of their own to select by word it differently from those without."""
    if served.strategy.selectable_field_names:
        return f"field label not supported: {name}"
    known = ", ".join(f'"{field}"' for field in METADATA_FIELDS)
    return f'"{name}" is not a known field selector: only {known}'


def fields_of(served: Served, obj: Obj) -> Mapping[str, str]:
    """The values that field selectors see."""
    metadata = obj["metadata"]
    return {
        "metadata.name": metadata.get("name", ""),
        "metadata.namespace": metadata.get("namespace", ""),
        **served.strategy.selectable_fields(obj),
    }


def name_from_fields(options: Options) -> str | None:
    """The one name that ``metadata.name=x`` selects, if that is required; it narrows the scope."""
    if not options.field_selector:
        return None
    return parse_field_selector(options.field_selector).required("metadata.name")
