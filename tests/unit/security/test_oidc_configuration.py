"""Authentication configurations: what is refused, and where it says so."""

from copy import deepcopy
from typing import Any

import pytest

from sagong.server.authn.oidc.configuration import BadConfiguration, parse

GOOD: dict[str, Any] = {
    "apiVersion": "apiserver.config.k8s.io/v1",
    "kind": "AuthenticationConfiguration",
    "jwt": [
        {
            "issuer": {"url": "https://issuer.example.com", "audiences": ["a"]},
            "claimMappings": {"username": {"claim": "sub", "prefix": ""}},
        }
    ],
}


def test_a_small_one_is_read() -> None:
    (jwt,) = parse(GOOD).jwt
    assert (jwt.url, jwt.audiences, jwt.username.claim) == (
        "https://issuer.example.com",
        ("a",),
        "sub",
    )
    assert parse(GOOD).anonymous.enabled


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("kind",), "Other", "want kind AuthenticationConfiguration"),
        (("surprise",), 1, 'unknown field "surprise"'),
        (("jwt", 0, "surprise"), 1, 'unknown field "jwt[0].surprise"'),
        (("jwt", 0, "issuer", "url"), "http://a", "URL scheme must be https"),
        (("jwt", 0, "issuer", "url"), "https://a?b=c", "must not contain"),
        (("jwt", 0, "issuer", "audiences"), [], "at least one"),
        (("jwt", 0, "issuer", "audiences"), ["a", "b"], "must be MatchAny"),
        (("jwt", 0, "issuer", "discoveryURL"), "https://issuer.example.com/", "different"),
        (("jwt", 0, "claimMappings", "username"), {}, "claim or expression is required"),
        (("jwt", 0, "claimMappings", "username"), {"claim": "sub"}, "prefix is required"),
        (
            ("jwt", 0, "claimMappings", "groups"),
            {"claim": "a", "prefix": "", "expression": "b"},
            "can't both be set",
        ),
        (("jwt", 0, "claimMappings", "extra"), [{"key": "nope"}], "domain-prefixed"),
        (("jwt", 0, "claimValidationRules"), [{}], "exactly one"),
        (("jwt", 0, "userValidationRules"), [{}], "expression is required"),
        (("anonymous",), {"enabled": False, "conditions": [{"path": "/"}]}, "should be set"),
    ],
)
def test_what_is_refused(path: tuple[Any, ...], value: Any, told: str) -> None:
    config = deepcopy(GOOD)
    at = config
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    with pytest.raises(BadConfiguration) as refused:
        parse(config)
    assert told in str(refused.value)


def test_two_issuers_of_one_url_are_refused() -> None:
    config = {**GOOD, "jwt": GOOD["jwt"] * 2}
    with pytest.raises(BadConfiguration, match="Duplicate"):
        parse(config)
