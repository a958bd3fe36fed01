"""Bearer tokens: whose they are, and every way in which one can be no good."""

import base64

import jwt
import pytest

from sagong.api.errors import Forbidden, InternalError, Unauthorized
from sagong.api.types import Obj, User
from sagong.core.ids import SeededIds
from sagong.server.authn.bootstrap_tokens import BootstrapTokenAuthenticator
from sagong.server.authn.impersonation import impersonate
from sagong.server.authn.interface import ANONYMOUS, BadToken, Credentials
from sagong.server.authn.openid import key_set
from sagong.server.authn.service_accounts import (
    ISSUER,
    Binding,
    ServiceAccountAuthenticator,
    TokenIssuer,
)
from sagong.server.authn.static_tokens import (
    StaticTokenAuthenticator,
    TokenFileError,
    parse_tokens,
)
from sagong.server.authn.union import UnionAuthenticator
from sagong.server.authz.interface import Attributes, Decision, Effect
from sagong.server.pki.authority import key_to_pem, new_key

from .clocks import NOW, FixedClock
from .objects import Objects

ACCOUNT: Obj = {"metadata": {"name": "robot", "namespace": "one", "uid": "sa-uid"}}
POD: Obj = {"metadata": {"name": "p", "namespace": "one", "uid": "pod-uid"}}
NODE: Obj = {"metadata": {"name": "n", "uid": "node-uid"}}
BOUND = Binding(pod=POD, node=NODE)


class World:
    """An issuer, an authenticator and what they see."""

    def __init__(self) -> None:
        self.clock = FixedClock()
        self.objects = Objects()
        self.objects.put("serviceaccounts", ACCOUNT)
        self.objects.put("pods", POD)
        self.issuer = TokenIssuer(key_to_pem(new_key()), self.clock, SeededIds(1))
        self.method = ServiceAccountAuthenticator(
            [self.issuer.public_key], self.objects, self.clock
        )

    def token(self, binding: Binding | None = BOUND, audience: str = ISSUER) -> str:
        return self.issuer.issue(ACCOUNT, audiences=[audience], ttl_seconds=3600, binding=binding)

    async def user(self, token: str) -> User | None:
        found = await self.method.authenticate_token(token, [ISSUER])
        return found.user if found else None


@pytest.fixture
def world() -> World:
    return World()


async def test_a_bound_token_is_its_account(world: World) -> None:
    token = world.token()
    user = await world.user(token)
    assert user is not None
    assert (user.name, user.uid) == ("system:serviceaccount:one:robot", "sa-uid")
    accounts = ("system:serviceaccounts", "system:serviceaccounts:one")
    assert user.groups == (*accounts, "system:authenticated")
    jti = jwt.decode(token, options={"verify_signature": False})["jti"]
    assert user.extra == {
        "authentication.kubernetes.io/credential-id": (f"JTI={jti}",),
        "authentication.kubernetes.io/pod-name": ("p",),
        "authentication.kubernetes.io/pod-uid": ("pod-uid",),
        "authentication.kubernetes.io/node-name": ("n",),
        "authentication.kubernetes.io/node-uid": ("node-uid",),
    }


def test_claims_are_upstreams(world: World) -> None:
    token = world.issuer.issue(
        ACCOUNT, audiences=["a"], ttl_seconds=60, warn_after_seconds=30, binding=BOUND
    )
    claims = jwt.decode(token, options={"verify_signature": False})
    claims.pop("jti")
    assert claims == {
        "aud": ["a"],
        "exp": NOW + 60,
        "iat": NOW,
        "iss": ISSUER,
        "nbf": NOW,
        "sub": "system:serviceaccount:one:robot",
        "kubernetes.io": {
            "namespace": "one",
            "serviceaccount": {"name": "robot", "uid": "sa-uid"},
            "pod": {"name": "p", "uid": "pod-uid"},
            "node": {"name": "n", "uid": "node-uid"},
            "warnafter": NOW + 30,
        },
    }


async def test_times_count_with_a_minute_of_leeway(world: World) -> None:
    token = world.token()
    world.clock.time = NOW + 3600 + 59
    assert await world.user(token)
    world.clock.time = NOW + 3600 + 61
    with pytest.raises(BadToken) as caught:
        await world.user(token)
    assert caught.value.why == "service account token has expired"
    assert caught.value.message == "Unauthorized"
    world.clock.time = NOW - 61
    with pytest.raises(BadToken):
        await world.user(token)


async def test_a_token_ends_with_what_it_is_bound_to(world: World) -> None:
    token = world.token()
    assert await world.user(token)
    world.objects.put("pods", {"metadata": {**POD["metadata"], "uid": "another"}})
    with pytest.raises(BadToken, match="Unauthorized") as caught:
        await world.user(token)
    assert "does not match service account pod ref claim" in caught.value.why
    world.objects.remove("pods", "one", "p")
    with pytest.raises(BadToken) as caught:
        await world.user(token)
    assert caught.value.why == "service account token has been invalidated"


async def test_a_token_ends_with_its_account(world: World) -> None:
    token = world.token(None)
    assert await world.user(token)
    world.objects.put("serviceaccounts", {"metadata": {**ACCOUNT["metadata"], "uid": "newer"}})
    with pytest.raises(BadToken):
        await world.user(token)
    world.objects.remove("serviceaccounts", "one", "robot")
    with pytest.raises(BadToken):
        await world.user(token)


async def test_a_deleted_pod_keeps_its_token_for_a_minute(world: World) -> None:
    token = world.token()
    deleted = {"metadata": {**POD["metadata"], "deletionTimestamp": "2027-01-15T08:00:00Z"}}
    world.objects.put("pods", deleted)
    world.clock.time = 1_800_000_000.0
    assert await world.user(token)
    world.clock.time += 61
    with pytest.raises(BadToken):
        await world.user(token)


async def test_audiences(world: World) -> None:
    elsewhere = world.token(audience="vault")
    with pytest.raises(BadToken) as caught:
        await world.user(elsewhere)
    assert 'token audiences ["vault"] is invalid' in caught.value.why
    found = await world.method.authenticate_token(elsewhere, ["x", "vault"])
    assert found is not None
    assert found.audiences == ("vault",)


async def test_forgeries(world: World) -> None:
    honest = world.token()
    claims = jwt.decode(honest, options={"verify_signature": False})
    public_pem = b"anything"
    forged = [
        jwt.encode(claims, "", algorithm="none"),
        jwt.encode(claims, public_pem * 8, algorithm="HS256"),
        jwt.encode(claims, new_key(), algorithm="ES256"),
        jwt.encode(claims, new_key(), algorithm="ES256", headers={"kid": world.issuer.key_id}),
        honest[:-6] + "AAAAAA",
    ]
    head, _, signature = honest.split(".")
    raised = base64.urlsafe_b64encode(
        base64.urlsafe_b64decode(honest.split(".")[1] + "==").replace(b"robot", b"admin")
    )
    forged.append(f"{head}.{raised.rstrip(b'=').decode()}.{signature}")
    for token in forged:
        with pytest.raises(BadToken):
            await world.user(token)
    assert await world.user(honest)


async def test_other_tokens_are_not_ours(world: World) -> None:
    another = TokenIssuer(
        key_to_pem(new_key()), world.clock, SeededIds(2), issuer="https://elsewhere"
    )
    for token in ("opaque", "a.b.c", another.issue(ACCOUNT, audiences=[ISSUER], ttl_seconds=60)):
        assert await world.user(token) is None


def test_the_key_set_checks_our_tokens(world: World) -> None:
    [published] = key_set([world.issuer.public_key])["keys"]
    key = jwt.PyJWK(published)
    assert jwt.get_unverified_header(world.token())["kid"] == published["kid"]
    options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    claims = jwt.decode(world.token(), key, algorithms=["ES256"], audience=ISSUER, options=options)
    assert claims["sub"] == "system:serviceaccount:one:robot"


# Static tokens


def test_token_file() -> None:
    text = '# comment\nt1,alice,1,"dev, ops"\n\nt2,bob,2\nt3, carol ,3,system:masters\n'
    assert parse_tokens(text) == {
        "t1": User("alice", "1", ("dev", "ops")),
        "t2": User("bob", "2"),
        "t3": User("carol", "3", ("system:masters",)),
    }
    for bad in ("token,user", ",user,1", "token,,1"):
        with pytest.raises(TokenFileError, match="line 1"):
            parse_tokens(bad)


# Bootstrap tokens

BOOTSTRAP_DATA = {
    "token-id": "abcdef",
    "token-secret": "0123456789abcdef",
    "usage-bootstrap-authentication": "true",
    "auth-extra-groups": "system:bootstrappers:sagong:default-node-token",
}


def bootstrap_secret(**changes: str) -> Obj:
    values = BOOTSTRAP_DATA | {k.replace("_", "-"): v for k, v in changes.items()}
    return {
        "metadata": {"name": "bootstrap-token-abcdef", "namespace": "kube-system"},
        "type": "bootstrap.kubernetes.io/token",
        "data": {k: base64.b64encode(v.encode()).decode() for k, v in values.items()},
    }


async def bootstrap_user(secret: Obj, token: str = "abcdef.0123456789abcdef") -> User | None:
    objects = Objects()
    objects.put("secrets", secret)
    found = await BootstrapTokenAuthenticator(objects, FixedClock()).authenticate_token(token, [])
    return found.user if found else None


async def test_bootstrap_tokens() -> None:
    user = await bootstrap_user(bootstrap_secret(expiration="2099-01-01T00:00:00Z"))
    assert user == User(
        "system:bootstrap:abcdef",
        groups=("system:bootstrappers", "system:bootstrappers:sagong:default-node-token"),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"expiration": "2020-01-01T00:00:00Z"},
        {"expiration": "soon"},
        {"usage_bootstrap_authentication": "false"},
        {"auth_extra_groups": "system:masters"},
        {"token_id": "zzzzzz"},
        {"token_secret": "fedcba9876543210"},
        {"token_secret": "\u00e9"},
    ],
)
async def test_bad_bootstrap_tokens_are_unknown(changes: dict[str, str]) -> None:
    assert await bootstrap_user(bootstrap_secret(**changes)) is None


async def test_a_secret_of_another_type_is_no_token() -> None:
    assert await bootstrap_user(bootstrap_secret() | {"type": "Opaque"}) is None


# All together


def union(world: World, *, anonymous: bool = True) -> UnionAuthenticator:
    static = StaticTokenAuthenticator(parse_tokens('t,alice,1,"dev"'))
    return UnionAuthenticator(
        [], [static, world.method], api_audiences=[ISSUER], anonymous=anonymous
    )


async def test_union(world: World) -> None:
    everybody = union(world)
    alice = await everybody.authenticate(Credentials(bearer_token="t"))
    assert alice == User("alice", "1", ("dev", "system:authenticated"))
    robot = await everybody.authenticate(Credentials(bearer_token=world.token()))
    assert robot is not None
    assert robot.groups[-1] == "system:authenticated"
    assert await everybody.authenticate(Credentials()) == ANONYMOUS
    assert await union(world, anonymous=False).authenticate(Credentials()) is None
    with pytest.raises(Unauthorized):
        await everybody.authenticate(Credentials(bearer_token="nope"))


# Acting as another


class Allowing:
    """Allows what it is told to; remembers what it was asked."""

    def __init__(self, *allowed: str) -> None:
        self.allowed = allowed
        self.asked: list[str] = []

    async def authorize(self, attributes: Attributes) -> Decision:
        sub = f"/{attributes.subresource}" if attributes.subresource else ""
        question = f"{attributes.resource}{sub}:{attributes.namespace}:{attributes.name}"
        self.asked.append(question)
        allowed = question in self.allowed or "*" in self.allowed
        return Decision(Effect.ALLOW if allowed else Effect.NO_OPINION)


BOSS = User("boss")


async def test_impersonation_asks_for_each_claim() -> None:
    authorizer = Allowing("*")
    headers = [
        ("impersonate-user", "jane"),
        ("Impersonate-Group", "dev"),
        ("Impersonate-Group", "ops"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Extra-Acme.com%2Fproject", "blue"),
        ("Accept", "*/*"),
    ]
    user = await impersonate(BOSS, headers, authorizer)
    extra = {"acme.com/project": ("blue",)}
    assert user == User("jane", "7", ("dev", "ops", "system:authenticated"), extra)
    assert authorizer.asked == [
        "users::jane",
        "groups::dev",
        "groups::ops",
        "userextras/acme.com/project::blue",
        "uids::7",
    ]


async def test_a_service_account_brings_its_groups() -> None:
    authorizer = Allowing("serviceaccounts:one:robot")
    headers = [("Impersonate-User", "system:serviceaccount:one:robot")]
    user = await impersonate(BOSS, headers, authorizer)
    assert user.groups == (
        "system:serviceaccounts",
        "system:serviceaccounts:one",
        "system:authenticated",
    )


async def test_anonymous_is_not_authenticated() -> None:
    user = await impersonate(BOSS, [("Impersonate-User", "system:anonymous")], Allowing("*"))
    assert user.groups == ("system:unauthenticated",)


async def test_impersonation_is_refused() -> None:
    with pytest.raises(Forbidden) as caught:
        await impersonate(BOSS, [("Impersonate-User", "jane")], Allowing())
    assert caught.value.message == (
        'users "jane" is forbidden: User "boss" cannot impersonate resource "users"'
        ' in API group "" at the cluster scope'
    )
    headers = [("Impersonate-User", "jane"), ("Impersonate-Group", "system:masters")]
    with pytest.raises(Forbidden, match="groups"):
        await impersonate(BOSS, headers, Allowing("users::jane"))
    with pytest.raises(InternalError):
        await impersonate(BOSS, [("Impersonate-Group", "dev")], Allowing("*"))
    assert await impersonate(BOSS, [], Allowing()) is BOSS
