"""The files of the cluster's keys: made once, renewed before they expire, readable by their owner.

``plan_files`` says what is missing or stale; ``ensure_pki`` makes it. Layout and names are those of
kubeadm's ``/etc/kubernetes/pki``, so tools that know that directory find their way.
"""

import base64
import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from sagong.core.clock import Clock
from sagong.server.pki.authority import (
    CLIENT_AUTH,
    SERVER_AUTH,
    Authority,
    Identity,
    Pair,
    key_from_pem,
    key_to_pem,
    new_authority,
    new_key,
    public_to_pem,
)

YEAR_SECONDS = 365 * 24 * 3600.0
CA_TTL_SECONDS = 10 * YEAR_SECONDS
# A server restarted within this time of a certificate's end makes a new one.
RENEW_WITHIN_SECONDS = YEAR_SECONDS / 4

SERVER_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
)


@dataclass(frozen=True, slots=True)
class Pki:
    """Where the files are, and the CA and token key as values."""

    directory: Path
    authority: Authority
    service_account_key_pem: bytes

    @property
    def ca_file(self) -> Path:
        return self.directory / "ca.crt"

    @property
    def serving_chain_file(self) -> Path:
        """The API server's certificate with the CA behind it.

        Joining machines find the CA there and know it by its pin.
        """
        return self.directory / "apiserver-chain.crt"

    def certificate_file(self, name: str) -> Path:
        """``apiserver``, ``apiserver-kubelet-client``, ``admin``, ..."""
        return self.directory / f"{name}.crt"

    def key_file(self, name: str) -> Path:
        return self.directory / f"{name}.key"


# Files of the CA that vouches for the front proxy, and of its certificate.
FRONT_PROXY_CA = "front-proxy-ca"
FRONT_PROXY = "front-proxy-client"


def identities(
    *, service_address: str, names: Sequence[str], addresses: Sequence[str]
) -> Mapping[str, Identity]:
    """Every certificate that a server has, by file name."""
    return {
        "apiserver": Identity(
            "kube-apiserver",
            dns_names=tuple(dict.fromkeys((*SERVER_NAMES, *names))),
            addresses=tuple(dict.fromkeys((service_address, "127.0.0.1", "::1", *addresses))),
            usages=(SERVER_AUTH,),
        ),
        "apiserver-kubelet-client": Identity("kube-apiserver-kubelet-client", ("system:masters",)),
        "admin": Identity("kubernetes-admin", ("system:masters",)),
        "controller-manager": Identity("system:kube-controller-manager"),
        "scheduler": Identity("system:kube-scheduler"),
    }


def ensure_pki(
    directory: Path,
    *,
    clock: Clock,
    service_address: str = "10.96.0.1",
    names: Sequence[str] = (),
    addresses: Sequence[str] = (),
) -> Pki:
    """Make what is missing, expired soon, or no longer says what it must. Idempotent.

    ``names`` and ``addresses`` are those under which the API server is reached besides the usual
    ones. Raises OSError, and ValueError if a file of ours is damaged.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    now = clock.now()
    authority = _ensure_authority(directory, now)
    wanted = identities(service_address=service_address, names=names, addresses=addresses)
    for name, identity in wanted.items():
        if not _is_current(directory, name, identity, authority, now):
            pair = authority.issue(identity, now=now, ttl_seconds=YEAR_SECONDS)
            write_pair(directory, name, pair)
    _ensure_front_proxy(directory, now)
    pki = Pki(directory, authority, _ensure_service_account_key(directory))
    own = pki.certificate_file("apiserver").read_bytes()
    write_private(pki.serving_chain_file, own + pki.ca_file.read_bytes())
    return pki


def _ensure_authority(directory: Path, now: float) -> Authority:
    pair = read_pair(directory, "ca")
    if pair is None:
        pair = new_authority("kubernetes", now=now, ttl_seconds=CA_TTL_SECONDS)
        write_pair(directory, "ca", pair)
    return Authority(pair)


def _ensure_front_proxy(directory: Path, now: float) -> None:
    """A CA of its own: who has its certificates may say that he is anybody, and nothing else."""
    pair = read_pair(directory, FRONT_PROXY_CA)
    if pair is None:
        pair = new_authority("front-proxy-ca", now=now, ttl_seconds=CA_TTL_SECONDS)
        write_pair(directory, FRONT_PROXY_CA, pair)
    authority, identity = Authority(pair), Identity(FRONT_PROXY)
    if not _is_current(directory, FRONT_PROXY, identity, authority, now):
        own = authority.issue(identity, now=now, ttl_seconds=YEAR_SECONDS)
        write_pair(directory, FRONT_PROXY, own)


def _ensure_service_account_key(directory: Path) -> bytes:
    """The key is never renewed: tokens that it signed would end with it."""
    path = directory / "sa.key"
    with contextlib.suppress(FileNotFoundError):
        pem = path.read_bytes()
        key_from_pem(pem)
        return pem
    key = new_key()
    write_private(directory / "sa.pub", public_to_pem(key))
    write_private(path, key_to_pem(key))
    return key_to_pem(key)


def _is_current(
    directory: Path, name: str, identity: Identity, authority: Authority, now: float
) -> bool:
    pair = read_pair(directory, name)
    if pair is None:
        return False
    certificate = x509.load_pem_x509_certificate(pair.certificate_pem)
    return (
        certificate.not_valid_after_utc.timestamp() - now > RENEW_WITHIN_SECONDS
        and certificate.subject == identity.name()
        and set(identity.alternative_names()) <= set(_names_of(certificate))
        and authority.has_signed(certificate)
    )


def _names_of(certificate: x509.Certificate) -> list[x509.GeneralName]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return list(extension.value)


def read_pair(directory: Path, name: str) -> Pair | None:
    """The pair of files, or None unless both are there."""
    try:
        certificate = (directory / f"{name}.crt").read_bytes()
        key = (directory / f"{name}.key").read_bytes()
    except FileNotFoundError:
        return None
    return Pair(certificate, key)


def write_pair(directory: Path, name: str, pair: Pair) -> None:
    """The certificate goes last: a pair cut short by a crash is one without a certificate."""
    with contextlib.suppress(FileNotFoundError):
        (directory / f"{name}.crt").unlink()
    write_private(directory / f"{name}.key", pair.key_pem)
    write_private(directory / f"{name}.crt", pair.certificate_pem)


def write_private(path: Path, data: bytes) -> None:
    """Replace a file at once, readable and writable by its owner only from its first byte on."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def write_kubeconfig(path: Path, *, server: str, ca_pem: bytes, user: str, pair: Pair) -> None:
    """A kubeconfig of one cluster, one user and one context, all inline, mode 0600."""
    write_private(path, kubeconfig_yaml(server=server, ca_pem=ca_pem, user=user, pair=pair))


def kubeconfig_yaml(*, server: str, ca_pem: bytes, user: str, pair: Pair) -> bytes:
    """The kubeconfig as YAML. ``server`` is a URL."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "sagong",
                "cluster": {"server": server, "certificate-authority-data": _base64(ca_pem)},
            }
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": _base64(pair.certificate_pem),
                    "client-key-data": _base64(pair.key_pem),
                },
            }
        ],
        "contexts": [{"name": "sagong", "context": {"cluster": "sagong", "user": user}}],
        "current-context": "sagong",
        "preferences": {},
    }
    # JSON is YAML too, and needs no slow import when the server starts.
    return json.dumps(config, indent=2).encode() + b"\n"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def client_identity(user: str, *groups: str) -> Identity:
    """What a client certificate says: the user as CN, its groups as O."""
    return Identity(user, groups, usages=(CLIENT_AUTH,))
