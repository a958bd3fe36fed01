"""Where identity and randomness come from."""

import os
import random
import uuid
from typing import Protocol

# Kubernetes' alphabet for generated names: no vowels, no look-alikes (apimachinery util/rand).
SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
# The first digit of a UUID's fourth part: its two high bits say which kind of UUID it is.
_VARIANTS = "89ab"


class Ids(Protocol):
    """A source of unique names and of randomness."""

    def uid(self) -> str:
        """A random UUID, canonical form."""
        ...

    def suffix(self, length: int = 5) -> str:
        """Random characters that are safe at the end of a DNS label."""
        ...

    def random(self) -> float:
        """Uniform in [0, 1); for jitter and tie-breaking, never for secrets."""
        ...


class SystemIds:
    """Unique identifiers; uids are unpredictable as well."""

    def uid(self) -> str:
        """What ``uuid.uuid4`` makes, without the object around it."""
        data = os.urandom(16)
        text = data.hex()
        variant = _VARIANTS[data[8] & 3]
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"

    def suffix(self, length: int = 5) -> str:
        return "".join(random.choices(SUFFIX_ALPHABET, k=length))

    def random(self) -> float:
        return random.random()


class SeededIds:
    """Reproducible identifiers: the same seed gives the same sequence."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def uid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def suffix(self, length: int = 5) -> str:
        return "".join(self._random.choice(SUFFIX_ALPHABET) for _ in range(length))

    def random(self) -> float:
        return self._random.random()


def secret_bytes(count: int) -> bytes:
    """Unpredictable bytes, for nonces and keys: from no seed, in simulations too."""
    return os.urandom(count)
