"""Image references as users write them and as runtimes want them (distribution's reference)."""

import re

_DEFAULT_REGISTRY = "docker.io"
_NAME = re.compile(
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
)
_TAG = re.compile(r"[\w][\w.-]{0,127}")
_DIGEST = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-fA-F]{32,}")
_ID = re.compile(r"sha256:[0-9a-f]{64}")


def normalize(reference: str) -> str:
    """With registry, and tag or digest: ``nginx`` is ``docker.io/library/nginx:latest``.

    Raises ValueError for what is no reference.
    """
    if _ID.fullmatch(reference):
        return reference
    name, at, digest = reference.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise ValueError("couldn't parse image name: invalid reference format")
    head, slash, last = name.rpartition("/")
    last, colon, tag = last.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise ValueError("couldn't parse image name: invalid reference format")
    repository = f"{head}{slash}{last}"
    first, rest = registry_and_path(repository)
    if not _NAME.fullmatch(rest):
        if _NAME.fullmatch(rest.lower()):
            what = f"repository name ({rest}) must be lowercase"
        else:
            what = ""
        text = f"couldn't parse image name: invalid reference format{': ' + what if what else ''}"
        raise ValueError(text)
    result = f"{first}/{rest}"
    if colon:
        result += f":{tag}"
    elif not at:
        result += ":latest"
    return f"{result}@{digest}" if at else result


def registry_and_path(repository: str) -> tuple[str, str]:
    """The first part is a registry if it looks like a host."""
    first, slash, rest = repository.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first, rest
    if not slash:
        return _DEFAULT_REGISTRY, f"library/{repository}"
    return _DEFAULT_REGISTRY, repository


def registry_of(normalized: str) -> str:
    return normalized.partition("/")[0]
