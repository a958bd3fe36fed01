"""Reads ``EncryptionConfiguration`` (apiserver.config.k8s.io/v1): which resources, which keys.

Source of semantics: apiserver's ``options/encryptionconfig``. KMS providers are refused: they need
a program beside the server.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sagong.api.types import Obj
from sagong.server.encryption.transformers import (
    IDENTITY,
    PREFIX,
    AesCbc,
    AesGcm,
    Key,
    Sealer,
    SecretBox,
    Transformer,
)

API_VERSION, KIND = "apiserver.config.k8s.io/v1", "EncryptionConfiguration"
_AES_BYTES = (16, 24, 32)
_SEALERS: Mapping[str, tuple[Callable[[bytes], Sealer], tuple[int, ...]]] = {
    "aesgcm": (AesGcm, _AES_BYTES),
    "aescbc": (AesCbc, _AES_BYTES),
    "secretbox": (SecretBox, (32,)),
}


class BadConfiguration(Exception):
    """The file is not what it must be; the message has the path of the member, never a secret."""


class Encryption:
    """Which transformer a resource (``secrets``, ``deployments.apps``) has; None if none."""

    def __init__(self, entries: Sequence[tuple[Sequence[str], Transformer]]) -> None:
        self._entries = tuple(entries)

    def transformer(self, resource: str) -> Transformer | None:
        """The first entry that names the resource counts."""
        return next((t for names, t in self._entries if _holds(names, resource)), None)


def _holds(names: Sequence[str], resource: str) -> bool:
    group = resource.partition(".")[2]
    # "*." is the core group, "*.apps" a whole group, "*.*" everything.
    return any(name in (resource, "*.*", f"*.{group}") for name in names)


def parse(config: Any) -> Encryption:
    """The configuration in a decoded file. Raises BadConfiguration."""
    if not isinstance(config, dict) or (config.get("apiVersion"), config.get("kind")) != (
        API_VERSION,
        KIND,
    ):
        raise BadConfiguration(f"want kind {KIND} of {API_VERSION}")
    entries = []
    for i, entry in enumerate(config.get("resources") or ()):
        names = entry.get("resources") or []
        if not names:
            raise BadConfiguration(f"resources[{i}].resources: Required value")
        keys = _keys(entry.get("providers") or [], f"resources[{i}].providers")
        entries.append((tuple(names), Transformer(keys)))
    if not entries:
        raise BadConfiguration("resources: Required value: at least one resource is required")
    return Encryption(entries)


def _keys(providers: Sequence[Obj], path: str) -> list[Key]:
    if not providers:
        raise BadConfiguration(f"{path}: Required value: at least one provider is required")
    keys: list[Key] = []
    for i, provider in enumerate(providers):
        if len(provider) != 1:
            raise BadConfiguration(f"{path}[{i}]: exactly one provider is required in each element")
        ((name, settings),) = provider.items()
        if name == "identity":
            keys.append(IDENTITY)
        elif name in _SEALERS:
            keys += _provider_keys(name, settings or {}, f"{path}[{i}].{name}")
        else:
            raise BadConfiguration(f'{path}[{i}]: Unsupported value: "{name}"')
    return keys


def _provider_keys(provider: str, settings: Obj, path: str) -> list[Key]:
    sealer, sizes = _SEALERS[provider]
    keys: list[Key] = []
    for i, entry in enumerate(settings.get("keys") or ()):
        where = f"{path}.keys[{i}]"
        name = entry.get("name") or ""
        if not name or ":" in name:
            raise BadConfiguration(f"{where}.name: Required value: without a colon")
        prefix = PREFIX + f"{provider}:v1:{name}:".encode()
        if any(key.prefix == prefix for key in keys):
            raise BadConfiguration(f'{where}.name: Duplicate value: "{name}"')
        try:
            keys.append(Key(prefix, sealer(_secret(entry, sizes, where))))
        except ImportError as error:
            raise BadConfiguration(
                f"{path}: PyNaCl is not installed: pip install 'sagong[secretbox]'"
            ) from error
    if not keys:
        raise BadConfiguration(f"{path}.keys: Required value: at least one key is required")
    return keys


def _secret(entry: Obj, sizes: tuple[int, ...], path: str) -> bytes:
    try:
        secret = base64.b64decode(entry.get("secret") or "", validate=True)
    except binascii.Error:
        raise BadConfiguration(f"{path}.secret: secret must be base64 encoded") from None
    if len(secret) not in sizes:
        wanted = " or ".join(str(size) for size in sizes)
        raise BadConfiguration(
            f"{path}.secret: secret is not of the expected length, "
            f"got {len(secret)}, expected {wanted}"
        )
    return secret
