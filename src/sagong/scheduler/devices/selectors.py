"""CEL selectors over devices: expressions are compiled once, devices made values once."""

from collections import OrderedDict
from typing import Any
from weakref import WeakKeyDictionary

from sagong.scheduler.devices.inventory import Device

PROGRAMS_MAX = 256  # past it the least recently used is compiled anew


class SelectorFailed(Exception):
    """An expression that cannot be compiled, or not be evaluated for some device."""


class Selectors:
    """Programs by expression, values by device."""

    def __init__(self) -> None:
        self._programs: OrderedDict[str, Any] = OrderedDict()
        self._values: WeakKeyDictionary[Device, Any] = WeakKeyDictionary()

    def satisfies(self, expression: str, device: Device) -> bool:
        """Whether a device satisfies an expression. Raises SelectorFailed."""
        # Imported when the first claim comes: most clusters have none.
        from sagong.api.cel.errors import CostExceeded, EvaluationError

        program = self._program(expression)
        try:
            found = program.evaluate({"device": self._value(device)})
        except (EvaluationError, CostExceeded) as error:
            raise SelectorFailed(f"{device.id.device}: selector: {error}") from error
        return found is True

    def _program(self, expression: str) -> Any:
        from sagong.api.cel.devices import compile_selector
        from sagong.api.cel.errors import Unfit

        entry = self._programs.get(expression)
        if entry is None:
            try:
                entry = self._programs[expression] = compile_selector(expression)
            except Unfit as error:
                raise SelectorFailed(f"selector: {error}") from error
            if len(self._programs) > PROGRAMS_MAX:
                self._programs.popitem(last=False)
        self._programs.move_to_end(expression)
        return entry

    def _value(self, device: Device) -> Any:
        found = self._values.get(device)
        if found is None:
            from sagong.api.cel.devices import device_of

            found = self._values[device] = device_of(device.id.driver, device.obj)
        return found
