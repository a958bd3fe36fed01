"""Kubeconfig files: read a context, add or remove one, never harm what else is in the file."""

import base64
import binascii
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sagong.client.access import Access


class KubeconfigError(Exception):
    """A kubeconfig that cannot be used, and why."""


@dataclass(frozen=True, slots=True)
class Context:
    """A context of a kubeconfig, resolved."""

    name: str
    access: Access
    namespace: str = ""


def read_context(path: Path, name: str = "") -> Context:
    """A context of the file (default: its current one). Raises KubeconfigError, OSError."""
    config = _load(path)
    name = name or str(config.get("current-context") or "")
    if not name:
        raise KubeconfigError(f"{path} has no current-context")
    context = _named(config, "contexts", "context", name, path)
    cluster = _named(config, "clusters", "cluster", str(context.get("cluster", "")), path)
    user: dict[str, Any] = {}
    if context.get("user"):
        user = _named(config, "users", "user", str(context["user"]), path)
    for unsupported in ("exec", "auth-provider", "username"):
        if user.get(unsupported):
            raise KubeconfigError(f"{path}: user {context['user']!r} needs {unsupported!r}")
    return Context(name, _access(cluster, user, path), str(context.get("namespace") or ""))


def merge_context(path: Path, context: Context, *, make_current: bool = True) -> None:
    """Add or replace a context with its cluster and user, all under the context's name.

    The file is replaced at once and readable to its owner only. Raises KubeconfigError, OSError.
    """
    access, name = context.access, context.name
    config = _load(path) if path.exists() else {}
    config = {"apiVersion": "v1", "kind": "Config", "preferences": {}} | config
    cluster = {
        "server": access.server,
        "certificate-authority-data": _encoded(access.ca),
        "insecure-skip-tls-verify": access.insecure or None,
        "tls-server-name": access.tls_server_name or None,
    }
    user = {
        "client-certificate-data": _encoded(access.certificate),
        "client-key-data": _encoded(access.key),
        "token": access.token or None,
        "tokenFile": str(access.token_file) if access.token_file else None,
    }
    pair = {"cluster": name, "user": name, "namespace": context.namespace or None}
    for section, field, value in (
        ("clusters", "cluster", cluster),
        ("users", "user", user),
        ("contexts", "context", pair),
    ):
        entry = {"name": name, field: {k: v for k, v in value.items() if v is not None}}
        kept = [e for e in config.get(section) or () if e.get("name") != name]
        config[section] = [*kept, entry]
    if make_current or not config.get("current-context"):
        config["current-context"] = name
    _store(path, config)


def remove_context(path: Path, name: str) -> bool:
    """Take out what ``merge_context`` put in. False if there was nothing."""
    if not path.exists():
        return False
    config = _load(path)
    found = False
    for section in ("clusters", "users", "contexts"):
        entries = config.get(section) or []
        config[section] = [entry for entry in entries if entry.get("name") != name]
        found = found or len(config[section]) != len(entries)
    if config.get("current-context") == name:
        config["current-context"] = ""
    if found:
        _store(path, config)
    return found


def _load(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise KubeconfigError(f"{path} is not YAML: {error}") from error
    if config is None:
        return {}
    if not isinstance(config, dict):
        raise KubeconfigError(f"{path} is not a kubeconfig")
    return config


def _named(
    config: dict[str, Any], section: str, field: str, name: str, path: Path
) -> dict[str, Any]:
    for entry in config.get(section) or ():
        if entry.get("name") == name:
            return entry.get(field) or {}
    raise KubeconfigError(f"{path} has no {field} {name!r}")


def _access(cluster: dict[str, Any], user: dict[str, Any], path: Path) -> Access:
    if not cluster.get("server"):
        raise KubeconfigError(f"{path}: the cluster has no server")
    directory = path.parent
    token_file = user.get("tokenFile")
    return Access(
        server=str(cluster["server"]),
        ca=_data(cluster, "certificate-authority", directory),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        tls_server_name=str(cluster.get("tls-server-name") or ""),
        certificate=_data(user, "client-certificate", directory),
        key=_data(user, "client-key", directory),
        token=str(user.get("token") or ""),
        token_file=directory / token_file if token_file else None,
    )


def _data(section: dict[str, Any], field: str, directory: Path) -> bytes | None:
    """Embedded data, or the content of a file, relative to the kubeconfig."""
    if embedded := section.get(field + "-data"):
        try:
            return base64.b64decode(embedded, validate=True)
        except binascii.Error as error:
            raise KubeconfigError(f"{field}-data is not base64: {error}") from error
    if file := section.get(field):
        return (directory / str(file)).read_bytes()
    return None


def _encoded(data: bytes | None) -> str | None:
    return base64.b64encode(data).decode() if data else None


def _store(path: Path, config: dict[str, Any]) -> None:
    path = path.resolve()  # a link stays a link
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".")
    try:
        with os.fdopen(descriptor, "w") as file:  # mkstemp makes it 0600
            yaml.safe_dump(config, file, sort_keys=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
