"""Ciphers for single values, in upstream's formats: ``k8s:enc:<provider>:v1:<key name>:<bytes>``.

What upstream's API server has written can be read, and the other way round. Source of semantics:
apiserver's ``storage/value/encrypt``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.padding import PKCS7

from sagong.core.ids import secret_bytes

PREFIX = b"k8s:enc:"
_BLOCK_BYTES = 16
_GCM_NONCE_BYTES = 12
_BOX_NONCE_BYTES = 24


class Undecipherable(Exception):
    """A value cannot be read with the keys that are configured."""


class Sealer(Protocol):
    """One key of one cipher. ``context`` (the key of the store) is authenticated with the value."""

    def seal(self, plain: bytes, context: bytes) -> bytes: ...

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Raises Undecipherable."""
        ...


class AesGcm:
    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(secret)

    def seal(self, plain: bytes, context: bytes) -> bytes:
        nonce = secret_bytes(_GCM_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        nonce, rest = sealed[:_GCM_NONCE_BYTES], sealed[_GCM_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, rest, context)
        except (InvalidTag, ValueError) as error:
            raise Undecipherable("message authentication failed") from error


class AesCbc:
    """Not authenticated: for reading what was written so, and for moving away from it."""

    def __init__(self, secret: bytes) -> None:
        self._algorithm = algorithms.AES(secret)

    def seal(self, plain: bytes, context: bytes) -> bytes:
        start = secret_bytes(_BLOCK_BYTES)
        padder = PKCS7(8 * _BLOCK_BYTES).padder()
        encryptor = Cipher(self._algorithm, modes.CBC(start)).encryptor()
        padded = padder.update(plain) + padder.finalize()
        return start + encryptor.update(padded) + encryptor.finalize()

    def open(self, sealed: bytes, context: bytes) -> bytes:
        start, rest = sealed[:_BLOCK_BYTES], sealed[_BLOCK_BYTES:]
        unpadder = PKCS7(8 * _BLOCK_BYTES).unpadder()
        try:
            decryptor = Cipher(self._algorithm, modes.CBC(start)).decryptor()
            padded = decryptor.update(rest) + decryptor.finalize()
            return unpadder.update(padded) + unpadder.finalize()
        except ValueError as error:
            raise Undecipherable("invalid padding on input") from error


class SecretBox:
    """XSalsa20 and Poly1305. Needs PyNaCl (``pip install sagong[secretbox]``)."""

    def __init__(self, secret: bytes) -> None:
        from nacl.secret import SecretBox as Box

        self._box = Box(secret)

    def seal(self, plain: bytes, context: bytes) -> bytes:
        return bytes(self._box.encrypt(plain, secret_bytes(_BOX_NONCE_BYTES)))

    def open(self, sealed: bytes, context: bytes) -> bytes:
        from nacl.exceptions import CryptoError

        try:
            return bytes(self._box.decrypt(sealed))
        except CryptoError as error:
            raise Undecipherable("box could not be opened") from error


@dataclass(frozen=True, slots=True)
class Key:
    """A named key; without a sealer values are kept as they are (``identity``)."""

    prefix: bytes  # what a value sealed with it begins with
    sealer: Sealer | None


IDENTITY = Key(b"", None)


class Transformer:
    """Reads with any of its keys, writes with the first."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = tuple(keys)

    def to_store(self, plain: bytes, context: bytes) -> bytes:
        key = self._keys[0]
        return plain if key.sealer is None else key.prefix + key.sealer.seal(plain, context)

    def from_store(self, kept: bytes, context: bytes) -> bytes:
        """Raises Undecipherable."""
        found = self._key_of(kept)
        return (
            kept if found.sealer is None else found.sealer.open(kept[len(found.prefix) :], context)
        )

    def is_stale(self, kept: bytes) -> bool:
        """Whether it would be written differently today."""
        return self._key_of(kept) is not self._keys[0]

    def _key_of(self, kept: bytes) -> Key:
        if not kept.startswith(PREFIX):
            plain = next((key for key in self._keys if key.sealer is None), None)
            if plain is None:
                raise Undecipherable("no provider can read a value that is not encrypted")
            return plain
        for key in self._keys:
            if key.sealer is not None and kept.startswith(key.prefix):
                return key
        name = kept[: kept.find(b":", len(PREFIX) + 16) + 1][:80]
        raise Undecipherable(f"no matching key was found for the provided transformer: {name!r}")
