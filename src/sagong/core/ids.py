"""Where identity and randomness come from."""

import random
import secrets
import uuid
from typing import Protocol

# Kubernetes' alphabet for generated names: no vowels, no look-alikes (apimachinery util/rand).
SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


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
    """Unpredictable identifiers."""

    def uid(self) -> str:
        return str(uuid.uuid4())

    def suffix(self, length: int = 5) -> str:
        return "".join(secrets.choice(SUFFIX_ALPHABET) for _ in range(length))

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
    return secrets.token_bytes(count)
