"""``x-kubernetes-validations``: the rules in CEL that a custom resource must follow.

A definition's rules are compiled when the first object is written, and kept.
"""

from typing import TYPE_CHECKING, Any

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.custom_resources.values import NOTHING

if TYPE_CHECKING:
    from sagong.server.custom_resources.rule_evaluation import Ruled

KEY = "x-kubernetes-validations"
# Where a rule would be checked against an object that is known to be wrong, it is not.
BLOCKED = (
    "some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)
_BLOCKING = (
    "FieldValueNotSupported",
    "FieldValueRequired",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueTypeInvalid",
)


class Rules:
    """The rules of one version of a definition."""

    def __init__(self, schema: Obj) -> None:
        self._schema = schema
        self._root: Ruled | None = None
        self.is_empty = not has_rules(schema)

    def check(self, obj: Obj, old: Obj | None, errors: ErrorList) -> None:
        """Evaluate all rules, unless ``errors`` has found the object wrong.

        What an update leaves as it was is held to rules about changes only.
        """
        if self.is_empty:
            return
        if any(cause["reason"] in _BLOCKING for cause in errors):
            errors.invalid(Path(), None, BLOCKED)
            return
        # Imported here: a server without rules does without CEL.
        from sagong.server.custom_resources.rule_evaluation import Run, ruled

        if self._root is None:
            self._root = ruled(self._schema, is_root=True)
        if self._root is not None:
            Run(errors).visit(self._root, obj, NOTHING if old is None else old, Path())


def has_rules(schema: Any) -> bool:
    """Does the schema, or any below it, have rules?"""
    if not isinstance(schema, dict):
        return False
    if schema.get(KEY):
        return True
    parts = [*(schema.get("properties") or {}).values()]
    parts += [schema.get("items"), schema.get("additionalProperties")]
    return any(has_rules(part) for part in parts)
