"""Resource quantities (Kubernetes' ``library/quantity.go``)."""

from collections.abc import Callable
from typing import Any

from sagong.api.cel import costs
from sagong.api.cel.declarations import Declaring, Overload
from sagong.api.cel.errors import EvaluationError
from sagong.api.cel.types import BOOL, DOUBLE, INT, STRING, opaque
from sagong.api.cel.values import INT_MAX, INT_MIN
from sagong.api.quantities import NANO, Quantity, parse

QUANTITY = opaque("kubernetes.Quantity")


class Amount:
    """A quantity as a value."""

    __slots__ = ("quantity",)
    type_name = QUANTITY.name

    def __init__(self, quantity: Quantity) -> None:
        self.quantity = quantity

    def equals(self, other: Any) -> bool:
        return isinstance(other, Amount) and self.quantity == other.quantity


def functions() -> dict[str, list[Overload]]:
    declaring = Declaring()
    reads, two = costs.reads_first, (QUANTITY, QUANTITY)
    declaring.function("quantity", "string_to_quantity", (STRING,), QUANTITY, _quantity, reads)
    declaring.function("isQuantity", "is_quantity_string", (STRING,), BOOL, _is_quantity, reads)
    member = declaring.member
    member("sign", "quantity_sign", (QUANTITY,), INT, _sign)
    member("isGreaterThan", "quantity_is_greater_than", two, BOOL, lambda a, b: _order(a, b) > 0)
    member("isLessThan", "quantity_is_less_than", two, BOOL, lambda a, b: _order(a, b) < 0)
    member("compareTo", "quantity_compare_to", two, INT, _order)
    member("asApproximateFloat", "quantity_get_float", (QUANTITY,), DOUBLE,
           lambda a: a.quantity.nano / NANO)  # fmt: skip
    member("asInteger", "quantity_get_int", (QUANTITY,), INT, _integer)
    member("isInteger", "quantity_is_integer", (QUANTITY,), BOOL, _is_integer)
    for name, sign in (("add", 1), ("sub", -1)):
        member(name, f"quantity_{name}", two, QUANTITY, _sum(sign))
        member(name, f"quantity_{name}_int", (QUANTITY, INT), QUANTITY, _sum(sign))
    return declaring.functions()


def _quantity(text: str) -> Amount:
    try:
        return Amount(parse(text))
    except ValueError as error:
        raise EvaluationError(str(error)) from None


def _is_quantity(text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def _sign(amount: Amount) -> int:
    return (amount.quantity.nano > 0) - (amount.quantity.nano < 0)


def _order(a: Amount, b: Amount) -> int:
    return (a.quantity.nano > b.quantity.nano) - (a.quantity.nano < b.quantity.nano)


def _is_integer(amount: Amount) -> bool:
    whole, rest = divmod(amount.quantity.nano, NANO)
    return rest == 0 and INT_MIN <= whole <= INT_MAX


def _integer(amount: Amount) -> int:
    if not _is_integer(amount):
        raise EvaluationError("cannot convert value to integer")
    return amount.quantity.nano // NANO


def _sum(sign: int) -> Callable[[Amount, Any], Amount]:
    def total(a: Amount, b: Any) -> Amount:
        other = Quantity.of(b) if isinstance(b, int) else b.quantity
        return Amount(a.quantity + other if sign > 0 else a.quantity - other)

    return total
