"""Which pods go first; and that ranking is an order."""

from typing import Any

import pytest

from sagong.api.meta import name_of
from sagong.api.types import Obj
from sagong.controllers.pods.ranking import DELETION_COST, deletion_cost, to_delete

from .objects import NOW, pod


def restarted(name: str, count: int) -> Obj:
    found = pod(name)
    found["status"]["containerStatuses"] = [{"name": "main", "restartCount": count}]
    return found


def costing(name: str, cost: str, **more: Any) -> Obj:
    return pod(name, annotations={DELETION_COST: cost}, **more)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (pod("b", node=""), pod("a")),
        (pod("b", phase="Pending"), pod("a")),
        (pod("b", phase="Unknown"), pod("a")),
        (pod("b", ready_for=None), pod("a")),
        (costing("b", "-5"), pod("a")),
        (pod("b"), costing("a", "1")),
        (pod("b", ready_for=10), pod("a", ready_for=1000)),
        (restarted("b", 3), restarted("a", 0)),
        (pod("b", age=200), pod("a", age=5000)),
    ],
)
def test_one_reason_at_a_time(first: Obj, second: Obj) -> None:
    for pods in ([first, second], [second, first]):
        assert to_delete(pods, 1, related=(), now=NOW) == [first]


def test_pods_of_like_age_are_told_apart_by_uid_only() -> None:
    """Within one power of two the younger is not always the one to go."""
    older, younger = pod("a", ready_for=1000), pod("b", ready_for=999)
    assert to_delete([younger, older], 1, related=(), now=NOW) == [older]


def test_the_fuller_node_loses_first() -> None:
    lonely, crowded, other = pod("a", node="x"), pod("b", node="y"), pod("c", node="y")
    found = to_delete([lonely, crowded], 1, related=[lonely, crowded, other], now=NOW)
    assert found == [crowded]


def test_of_thousands_the_wanted_number_goes() -> None:
    pods = [pod(f"p{n:04}", age=n + 1, ready_for=n % 97 or None) for n in range(3000)]
    found = to_delete(pods, 1000, related=pods, now=NOW)
    assert len({name_of(p) for p in found}) == 1000
    assert all(p["status"]["conditions"][0]["status"] == "False" for p in found[:30])


@pytest.mark.parametrize(
    ("text", "cost"),
    [("10", 10), ("-3", -3), ("+3", 0), ("007", 0), ("x", 0), ("", 0), (str(2**31), 0), ("0", 0)],
)
def test_costs_are_plain_32_bit_integers(text: str, cost: int) -> None:
    assert deletion_cost(costing("a", text)) == cost
