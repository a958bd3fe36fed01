"""What is wrong with a configuration, in the words of upstream's ``field`` errors."""

from collections.abc import Sequence

import orjson


class ConfigurationError(Exception):
    """A configuration that cannot be used; says everything that is wrong."""

    def __init__(self, problems: Sequence[str]) -> None:
        text = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
        super().__init__(text)
        self.problems = problems


def _shown(value: object) -> str:
    return orjson.dumps(value).decode()


def invalid(path: str, value: object, why: str) -> str:
    return f"{path}: Invalid value: {_shown(value)}: {why}"


def required(path: str, why: str) -> str:
    return f"{path}: Required value{f': {why}' if why else ''}"


def duplicate(path: str, value: object) -> str:
    return f"{path}: Duplicate value: {_shown(value)}"


def forbidden(path: str, why: str) -> str:
    return f"{path}: Forbidden: {why}"


def not_supported(path: str, value: object, supported: Sequence[str]) -> str:
    values = ", ".join(_shown(v) for v in supported)
    return f"{path}: Unsupported value: {_shown(value)}: supported values: {values}"
