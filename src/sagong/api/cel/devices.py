"""``device`` in the selectors of dynamic resource allocation.

    program = compile_selector('device.driver == "gpu.example.com"')     # raises Unfit
    matches = program.evaluate({"device": device_of("gpu.example.com", slice_device)})

``device.attributes["domain"].name`` and ``device.capacity["domain"].name``: names without a domain
belong to the driver's. A domain that the device says nothing of is empty, not an error.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from sagong.api.cel.environment import Environment, Program
from sagong.api.cel.errors import CompileError, EvaluationError, Unfit
from sagong.api.cel.library.kubernetes import kubernetes_functions
from sagong.api.cel.library.quantities import QUANTITY, Amount
from sagong.api.cel.library.semver import parse_version
from sagong.api.cel.types import BOOL, DYN, STRING, Field, declared_name, map_of, struct
from sagong.api.cel.values import Selectable, equal
from sagong.api.quantities import parse
from sagong.api.types import Obj

EXPRESSION_BYTES_MAX = 10 * 1024  # upstream's CELSelectorExpressionMaxLength
COST_MAX = 1_000_000  # upstream's CELSelectorExpressionMaxCost

DEVICE = struct(
    "kubernetes.DRADevice",
    {
        "driver": Field("driver", STRING),
        "attributes": Field("attributes", map_of(STRING, map_of(STRING, DYN))),
        "capacity": Field("capacity", map_of(STRING, map_of(STRING, QUANTITY))),
        "allowMultipleAllocations": Field("allowMultipleAllocations", BOOL),
    },
)


@lru_cache(maxsize=1)
def device_environment() -> Environment:
    return Environment(functions=kubernetes_functions(), variables={"device": DEVICE})


def compile_selector(text: str) -> Program:
    """The program of a selector. Raises Unfit with all that is to be said."""
    environment = device_environment()
    try:
        program = environment.compile(text)
    except CompileError as error:
        raise Unfit(f"compilation failed: {error}") from None
    if program.type != BOOL and not program.type.is_dyn:
        found = declared_name(program.type)
        raise Unfit(f"must evaluate to bool or the unknown type, not {found}")
    return program


class _Domains(Selectable):
    """Names by domain; a domain that is not there has none."""

    __slots__ = ("_found",)
    type_name = "map"

    def __init__(self, found: dict[str, dict[str, Any]]) -> None:
        self._found = found

    def select(self, name: str) -> dict[str, Any]:
        return self._found.get(name, {})

    def has(self, name: str) -> bool:
        return name in self._found

    def __len__(self) -> int:
        return len(self._found)

    def equals(self, other: Any) -> bool:
        return isinstance(other, _Domains) and equal(self._found, other._found)


def device_of(driver: str, device: Obj) -> Obj:
    """The value of ``device`` for one device of a ResourceSlice. Raises EvaluationError."""
    return {
        "driver": driver,
        "attributes": _by_domain(driver, device.get("attributes") or {}, _attribute),
        "capacity": _by_domain(driver, device.get("capacity") or {}, _capacity),
        "allowMultipleAllocations": bool(device.get("allowMultipleAllocations")),
    }


def _by_domain(driver: str, named: Obj, value_of: Callable[[Obj], Any]) -> _Domains:
    found: dict[str, dict[str, Any]] = {}
    for name, value in named.items():
        domain, slash, rest = name.partition("/")
        if not slash:
            domain, rest = driver, name
        found.setdefault(domain, {})[rest] = value_of(value)
    return _Domains(found)


def _attribute(value: Obj) -> Any:
    for kind in ("bool", "int", "string"):
        if value.get(kind) is not None:
            return value[kind]
    if value.get("version") is not None:
        return parse_version(value["version"])
    raise EvaluationError("unsupported attribute value")


def _capacity(value: Obj) -> Amount:
    try:
        return Amount(parse(value["value"]))
    except (KeyError, ValueError):
        raise EvaluationError("unsupported capacity value") from None
