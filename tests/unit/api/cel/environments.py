"""Environments and short ways to run expressions in tests."""

from collections.abc import Mapping
from typing import Any

from sagong.api.cel.environment import Environment
from sagong.api.cel.errors import CelError
from sagong.api.cel.library.kubernetes import kubernetes_functions
from sagong.api.cel.types import DYN, INT, STRING, list_of, map_of

ENVIRONMENT = Environment(
    functions=kubernetes_functions(),
    variables={
        "object": DYN,
        "n": INT,
        "s": STRING,
        "l": list_of(INT),
        "m": map_of(STRING, DYN),
    },
)
VALUES: Mapping[str, Any] = {
    "object": {"spec": {"replicas": 3, "items": [1, 2, 3], "on": True, "none": None}},
    "n": 4,
    "s": "text",
    "l": [1, 2],
    "m": {"k": 1},
}


def evaluate(text: str) -> Any:
    """The value, or the error's text after ``!``."""
    try:
        return ENVIRONMENT.compile(text).evaluate(VALUES)
    except CelError as error:
        return f"!{error}"


def problem(text: str) -> str:
    """Why a text does not compile; nothing if it does."""
    try:
        ENVIRONMENT.compile(text)
    except CelError as error:
        return str(error)
    return ""
