"""Encryption at rest: formats, keys that change, what a wrong key does."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagong.server.encryption.configuration import BadConfiguration, parse
from sagong.server.encryption.store import EncryptedStore
from sagong.server.encryption.transformers import AesCbc, AesGcm, SecretBox, Undecipherable
from sagong.store.drivers.memory import MemoryStore
from sagong.store.errors import Unavailable
from sagong.store.interface import Compare, Put

SECRET = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
OTHER = base64.b64encode(b"fedcba9876543210fedcba9876543210").decode()
IDENTITY: dict[str, Any] = {"identity": {}}


def provider(kind: str, name: str = "one", secret: str = SECRET) -> dict[str, Any]:
    return {kind: {"keys": [{"name": name, "secret": secret}]}}


def configuration(*providers: dict[str, Any], resources: tuple[str, ...] = ("secrets",)) -> Any:
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{"resources": list(resources), "providers": list(providers)}],
    }


def over(inner: MemoryStore, *providers: dict[str, Any], **more: Any) -> EncryptedStore:
    core = frozenset(("secrets", "configmaps"))
    return EncryptedStore(inner, parse(configuration(*providers, **more)), core)


@pytest.mark.parametrize("sealer", [AesGcm, AesCbc, SecretBox])
@given(plain=st.binary(max_size=200), at=st.integers(0, 400))
def test_what_is_sealed_can_be_opened_unless_it_was_changed(
    sealer: Any, plain: bytes, at: int
) -> None:
    box = sealer(base64.b64decode(SECRET))
    sealed = box.seal(plain, b"/a")
    assert plain not in sealed or len(plain) < 3
    assert box.open(sealed, b"/a") == plain
    if sealer is AesCbc:
        return  # it does not notice, which is why it is not to be used
    changed = bytearray(sealed)
    changed[at % len(changed)] ^= 1
    with pytest.raises(Undecipherable):
        box.open(bytes(changed), b"/a")


def test_a_value_is_good_for_its_own_key_only() -> None:
    box = AesGcm(base64.b64decode(SECRET))
    with pytest.raises(Undecipherable):
        box.open(box.seal(b"x", b"/registry/secrets/a/b"), b"/registry/secrets/a/c")


@pytest.mark.parametrize("kind", ["aesgcm", "aescbc", "secretbox"])
async def test_chosen_resources_lie_encrypted(kind: str) -> None:
    inner = MemoryStore()
    store = over(inner, provider(kind), IDENTITY)
    secret, plain = "/registry/secrets/a/b", "/registry/configmaps/a/b"
    await store.txn([], [Put(secret, b"hidden"), Put(plain, b"open")])
    kept, found = await inner.get(secret), await store.get(secret)
    assert kept is not None
    assert found is not None
    assert kept.value.startswith(f"k8s:enc:{kind}:v1:one:".encode())
    assert b"hidden" not in kept.value
    assert found.value == b"hidden"
    assert (await store.range("/registry/secrets/")).entries[0].value == b"hidden"
    raw = await inner.get(plain)
    assert raw is not None
    assert raw.value == b"open"
    lost = await store.txn([Compare(secret, 99)], [])
    assert lost.found[0] is not None
    assert lost.found[0].value == b"hidden"


@pytest.mark.parametrize(
    ("names", "key", "encrypted"),
    [
        (("*.*",), "/registry/configmaps/a/b", True),
        (("*.*",), "/registry/apps/deployments/a/b", True),
        (("*.",), "/registry/configmaps/a/b", True),
        (("*.",), "/registry/apps/deployments/a/b", False),
        (("*.apps",), "/registry/apps/deployments/a/b", True),
        (("deployments.apps",), "/registry/apps/deployments/a/b", True),
        (("deployments.apps",), "/registry/apps/replicasets/a/b", False),
        (("things.example.com",), "/registry/example.com/things/a/b", True),
    ],
)
async def test_names_of_resources(names: tuple[str, ...], key: str, encrypted: bool) -> None:
    inner = MemoryStore()
    await over(inner, provider("aesgcm"), resources=names).txn([], [Put(key, b"x")])
    kept = await inner.get(key)
    assert kept is not None
    assert (kept.value != b"x") == encrypted


async def test_keys_change_and_values_are_written_anew() -> None:
    inner = MemoryStore()
    keys = [f"/registry/secrets/a/{number:04}" for number in range(1201)]
    await inner.txn([], [Put(key, b"x") for key in keys])
    newer = provider("aesgcm", "two", OTHER)
    assert await over(inner, provider("aesgcm"), IDENTITY).rewrite() == len(keys)
    store = over(inner, newer, provider("aesgcm"))
    assert {entry.value for entry in (await store.range("/registry/")).entries} == {b"x"}
    assert await store.rewrite() == len(keys)
    assert await store.rewrite() == 0
    assert len((await over(inner, newer).range("/registry/")).entries) == len(keys)


async def test_the_wrong_key_is_an_error_and_not_an_absence() -> None:
    inner = MemoryStore()
    key = "/registry/secrets/a/b"
    await over(inner, provider("aesgcm")).txn([], [Put(key, b"hidden")])
    for wrong in (provider("aesgcm", "two"), provider("aesgcm", secret=OTHER), IDENTITY):
        with pytest.raises(Unavailable) as told:
            await over(inner, wrong).get(key)
        assert "hidden" not in str(told.value)


async def test_a_watch_shows_what_was_meant() -> None:
    inner = MemoryStore()
    store = over(inner, provider("aesgcm"))
    await store.txn([], [Put("/registry/secrets/a/b", b"hidden")])
    watch = store.watch("/registry/", start_revision=1)
    batch = await anext(watch)
    assert [change.value for change in batch.changes] == [b"hidden"]
    await watch.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (None, "want kind"),
        ({**configuration(IDENTITY), "resources": []}, "at least one resource"),
        (configuration(), "at least one provider"),
        (configuration({"kms": {}}), 'Unsupported value: "kms"'),
        (configuration({"aesgcm": {}, "identity": {}}), "exactly one provider"),
        (configuration({"aesgcm": {"keys": []}}), "at least one key"),
        (configuration(provider("aesgcm", secret="!")), "must be base64"),
        (configuration(provider("aesgcm", secret="YQ==")), "got 1, expected 16 or 24 or 32"),
        (configuration(provider("aesgcm", name="a:b")), "without a colon"),
        (configuration({"aesgcm": {"keys": [{"name": "a", "secret": SECRET}] * 2}}), "Duplicate"),
    ],
)
def test_what_is_no_configuration(config: Any, told: str) -> None:
    with pytest.raises(BadConfiguration) as refused:
        parse(config)
    assert told in str(refused.value)
    assert SECRET not in str(refused.value)
