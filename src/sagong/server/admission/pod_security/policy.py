"""Which standards a namespace's labels ask for. Pure.

Source of semantics: upstream's ``pod-security-admission/api`` (PolicyToEvaluate).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.admission.pod_security.checks import (
    LATEST,
    Violation,
    baseline,
    restricted,
)

PREFIX = "pod-security.kubernetes.io/"
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)")
_LABELS = Path("metadata").child("labels")


class Level(IntEnum):
    """Standards, in order of strictness."""

    PRIVILEGED = 0
    BASELINE = 1
    RESTRICTED = 2


@dataclass(frozen=True, slots=True)
class Standard:
    """A level in a version, ``restricted:v1.30``."""

    level: Level = Level.PRIVILEGED
    minor: int = LATEST

    def __str__(self) -> str:
        version = "latest" if self.minor == LATEST else f"v1.{self.minor}"
        return f"{self.level.name.lower()}:{version}"

    def violations(self, metadata: Obj, spec: Obj) -> list[Violation]:
        """What of a pod it forbids."""
        match self.level:
            case Level.BASELINE:
                return baseline(metadata, spec, self.minor)
            case Level.RESTRICTED:
                return restricted(metadata, spec, self.minor)
            case _:
                return []


@dataclass(frozen=True, slots=True)
class Policy:
    """What a namespace enforces, and what it only warns about. (Audit has nobody to tell yet.)"""

    enforce: Standard
    warn: Standard


def read_policy(labels: Mapping[str, str], errors: ErrorList | None = None) -> Policy:
    """The policy of a namespace. Labels that cannot be read count as the strictest for enforce,
    and as nothing for warn; ``errors`` is told of them, those for audit too."""
    found = errors if errors is not None else ErrorList()
    enforce = _standard(labels, "enforce", found, fallback=Level.RESTRICTED)
    _standard(labels, "audit", found, fallback=Level.PRIVILEGED)
    warn = _standard(labels, "warn", found, fallback=Level.PRIVILEGED)
    return Policy(enforce, warn)


def _standard(
    labels: Mapping[str, str], mode: str, errors: ErrorList, *, fallback: Level
) -> Standard:
    level, minor = Level.PRIVILEGED, LATEST
    name = labels.get(PREFIX + mode)
    if name is not None:
        try:
            level = Level[name.upper()] if name == name.lower() else _unknown(name)
        except KeyError:
            level = fallback
            path = _LABELS.key(PREFIX + mode)
            errors.invalid(path, name, "must be one of privileged, baseline, restricted")
    key = f"{PREFIX}{mode}-version"
    version = labels.get(key, "latest")
    if version != "latest":
        match = _VERSION.fullmatch(version)
        if match:
            minor = int(match.group(1))
        else:
            errors.invalid(_LABELS.key(key), version, 'must be "latest" or "v1.x"')
    return Standard(level, minor)


def _unknown(name: str) -> Level:
    raise KeyError(name)
