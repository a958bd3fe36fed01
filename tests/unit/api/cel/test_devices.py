"""Selectors of devices see what a ResourceSlice says of one."""

from typing import Any

import pytest

from sagong.api.cel.devices import compile_selector, device_of
from sagong.api.cel.errors import EvaluationError, Unfit
from sagong.api.validation import ErrorList
from sagong.server.kinds.resource.claim_validation import validate_device_class

DEVICE = {
    "name": "gpu-0",
    "attributes": {
        "model": {"string": "a100"},
        "index": {"int": 0},
        "healthy": {"bool": True},
        "other.example.com/firmware": {"version": "1.10.0"},
    },
    "capacity": {"memory": {"value": "40Gi"}},
}


def matches(text: str) -> Any:
    return compile_selector(text).evaluate({"device": device_of("gpu.example.com", DEVICE)})


@pytest.mark.parametrize(
    "text",
    [
        "device.driver == 'gpu.example.com'",
        "device.attributes['gpu.example.com'].model == 'a100'",
        "device.attributes['gpu.example.com'].index == 0",
        "device.attributes['gpu.example.com'].healthy",
        "device.attributes['other.example.com'].firmware.isGreaterThan(semver('1.9.0'))",
        "device.capacity['gpu.example.com'].memory.compareTo(quantity('40Gi')) == 0",
        "!has(device.attributes['unknown.example.com'].model)",
        "'gpu.example.com' in device.attributes && !('x' in device.attributes)",
        "device.attributes['gpu.example.com'].?none.orValue('x') == 'x'",
        "cel.bind(a, device.attributes['gpu.example.com'], a.model.startsWith('a') && a.healthy)",
        "!device.allowMultipleAllocations",
    ],
)
def test_selects(text: str) -> None:
    assert matches(text) is True


def test_what_is_not_there_fails() -> None:
    with pytest.raises(EvaluationError, match="no such key: nope"):
        matches("device.attributes['gpu.example.com'].nope == 1")


def test_unfit_selectors_are_refused() -> None:
    with pytest.raises(Unfit, match="must evaluate to bool or the unknown type, not string"):
        compile_selector("device.driver")
    with pytest.raises(Unfit, match="undefined field 'name'"):
        compile_selector("device.name == ''")


def test_classes_are_held_to_it() -> None:
    texts = ["device.driver ==", "device.driver", "true", "x" * 20_000]
    selectors = [{"cel": {"expression": text}} for text in texts]
    errors = ErrorList()
    validate_device_class({"metadata": {"name": "c"}, "spec": {"selectors": selectors}}, errors)
    assert [(e["field"], e["message"].split(":")[0]) for e in errors] == [
        ("spec.selectors[0].cel.expression", "Invalid value"),
        ("spec.selectors[1].cel.expression", "Invalid value"),
        ("spec.selectors[3].cel.expression", "Too long"),
    ]
