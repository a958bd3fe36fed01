"""Who a request is from, told to an extension by headers that our certificate vouches for. Pure.

Source of semantics: client-go's ``transport`` (SetAuthProxyHeaders, headerKeyEscape).
"""

from sagong.api.types import Obj, User

USER, UID, GROUP, EXTRA = "X-Remote-User", "X-Remote-Uid", "X-Remote-Group", "X-Remote-Extra-"
# As whom the aggregator itself asks.
AGGREGATOR = User("system:kube-aggregator", groups=("system:masters",))
# The common name of the certificate that requests are passed on with.
PROXY_NAME = "front-proxy-client"
# What a header's name may be made of (RFC 9110 tokens, without "%").
_TOKEN = frozenset("!#$&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")


def headers_of(user: User) -> list[tuple[str, str]]:
    found = [(USER, user.name)]
    if user.uid:
        found.append((UID, user.uid))
    found += [(GROUP, group) for group in user.groups]
    for key, values in user.extra.items():
        found += [(EXTRA + escaped(key), value) for value in values]
    return found


def escaped(key: str) -> str:
    """A key of ``extra`` as part of a header's name."""
    return "".join(
        char if char in _TOKEN else "".join(f"%{byte:02X}" for byte in char.encode())
        for char in key.lower()
    )


def is_identity(header: str) -> bool:
    """Headers that say who asks: a client's own are never passed on."""
    lower = header.lower()
    return lower.startswith(("x-remote-", "impersonate-")) or lower == "authorization"


def authentication_config(*, client_ca: str, proxy_ca: str) -> Obj:
    """The ConfigMap by which extensions learn whom to believe."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {
            "client-ca-file": client_ca,
            "requestheader-allowed-names": f'["{PROXY_NAME}"]',
            "requestheader-client-ca-file": proxy_ca,
            "requestheader-extra-headers-prefix": f'["{EXTRA}"]',
            "requestheader-group-headers": f'["{GROUP}"]',
            "requestheader-uid-headers": f'["{UID}"]',
            "requestheader-username-headers": f'["{USER}"]',
        },
    }
