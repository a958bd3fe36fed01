"""Every controller has the one shape."""

import inspect
import sys

import pytest

from sagong.controllers.table import CONTROLLERS
from sagong.ctl.controller import Controller, Reconcile


@pytest.mark.parametrize(
    ("controller", "reconcile"),
    CONTROLLERS,
    ids=[f"{c.name}-{c.reconciles}" for c, _ in CONTROLLERS],
)
def test_shape(controller: Controller, reconcile: Reconcile) -> None:
    assert inspect.iscoroutinefunction(reconcile)
    assert list(inspect.signature(reconcile).parameters) == ["key", "env"]
    module = sys.modules[reconcile.__module__]
    assert module.__doc__ is not None
    for word in ("Reads:", "Writes:"):
        assert word in module.__doc__, f"{module.__name__} does not say what it {word.lower()}"
    assert controller.workers > 0
