"""What a request to an extension asks for, and who is said to ask."""

import pytest

from sagong.api.types import User
from sagong.server.aggregation.asking import asked_of
from sagong.server.aggregation.identity import headers_of, is_identity

BASE = "/apis/wardle.example.com/v1"
USER = User("jane", uid="7", groups=("a", "b"), extra={"example.com/Why Not": ("x", "y")})
ASKED = [
    ("GET", f"{BASE}/flunders", {}, ("list", "flunders", "", "", "")),
    ("GET", f"{BASE}/flunders", {"watch": "true"}, ("watch", "flunders", "", "", "")),
    ("GET", f"{BASE}/watch/flunders", {}, ("watch", "flunders", "", "", "")),
    ("GET", f"{BASE}/namespaces/ns/flunders/x", {}, ("get", "flunders", "ns", "x", "")),
    ("HEAD", f"{BASE}/namespaces/ns/flunders/x", {}, ("get", "flunders", "ns", "x", "")),
    (
        "PUT",
        f"{BASE}/namespaces/ns/flunders/x/status",
        {},
        ("update", "flunders", "ns", "x", "status"),
    ),
    ("POST", f"{BASE}/namespaces/ns/flunders", {}, ("create", "flunders", "ns", "", "")),
    ("PATCH", f"{BASE}/flunders/a%2Fb", {}, ("patch", "flunders", "", "a/b", "")),
    ("DELETE", f"{BASE}/flunders", {}, ("deletecollection", "flunders", "", "", "")),
    ("DELETE", f"{BASE}/flunders/x", {}, ("delete", "flunders", "", "x", "")),
    (
        "GET",
        f"{BASE}/flunders",
        {"fieldSelector": "metadata.name=x"},
        ("list", "flunders", "", "x", ""),
    ),
    ("GET", f"{BASE}/namespaces/ns", {}, ("get", "namespaces", "", "ns", "")),
]


@pytest.mark.parametrize(("method", "path", "query", "wanted"), ASKED)
def test_what_is_asked(
    method: str, path: str, query: dict[str, str], wanted: tuple[str, ...]
) -> None:
    asked = asked_of(path, method, query, USER)
    assert (asked.group, asked.version) == ("wardle.example.com", "v1")
    found = (asked.verb, asked.resource, asked.namespace, asked.name, asked.subresource)
    assert found == wanted


def test_discovery_is_no_resource() -> None:
    asked = asked_of(BASE, "GET", {}, USER)
    assert (asked.is_resource, asked.verb, asked.path) == (False, "get", BASE)


def test_who_asks() -> None:
    assert headers_of(USER) == [
        ("X-Remote-User", "jane"),
        ("X-Remote-Uid", "7"),
        ("X-Remote-Group", "a"),
        ("X-Remote-Group", "b"),
        ("X-Remote-Extra-example.com%2Fwhy%20not", "x"),
        ("X-Remote-Extra-example.com%2Fwhy%20not", "y"),
    ]
    for name in ("x-remote-user", "X-Remote-Extra-a", "Impersonate-User", "authorization"):
        assert is_identity(name)
    assert not is_identity("Accept")
