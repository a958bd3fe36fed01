"""The messages of the CRI (``runtime.v1``): ``make("ContainerConfig", ...)`` builds one.

``runtime_v1.json`` lists names, numbers and types (see ``core/protobuf.py``).
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from google.protobuf.message import Message

from sagong.core.protobuf import MessageSet

PACKAGE = "runtime.v1"


@cache
def _set() -> MessageSet:
    return MessageSet.load(PACKAGE, __package__, "runtime_v1.json")


def message_class(name: str) -> type[Message]:
    """The class of a message, as ``message_class("PodSandboxConfig")``. Raises KeyError."""
    return _set().message_class(name)


def make(name: str, /, **fields: Any) -> Any:
    """A message; nested messages may be given as dicts, and None means unset."""
    return _set().make(name, **fields)


@cache
def enum_number(enum: str, value: str) -> int:
    """The number of an enum value: ``enum_number("NamespaceMode", "POD")``. Raises KeyError."""
    return _set().enum_number(enum, value)


def methods(service: str) -> Mapping[str, tuple[str, str, str]]:
    """Method name -> request, response (short names) and the kind of stream, or ""."""
    return _set().methods(service)
