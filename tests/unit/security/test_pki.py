"""Keys and certificates: made once, private, complete, renewed in time."""

import ssl
import stat
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sagong.server.authn.interface import Credentials
from sagong.server.authn.x509 import X509Authenticator
from sagong.server.pki.authority import Authority, new_authority, new_key
from sagong.server.pki.directory import YEAR_SECONDS, ensure_pki, kubeconfig_yaml, read_pair
from sagong.server.pki.signing import Signer

from .clocks import NOW, FixedClock


def certificate(directory: Path, name: str) -> x509.Certificate:
    pair = read_pair(directory, name)
    assert pair is not None
    return x509.load_pem_x509_certificate(pair.certificate_pem)


def test_everything_is_there_and_private(tmp_path: Path) -> None:
    pki = ensure_pki(tmp_path / "pki", clock=FixedClock(), names=["box"], addresses=["10.0.0.7"])

    files = {f.name for f in pki.directory.iterdir()}
    names = ["apiserver", "apiserver-kubelet-client", "admin", "controller-manager", "scheduler"]
    names += ["ca", "front-proxy-ca", "front-proxy-client"]
    pairs = {f"{name}.{end}" for name in names for end in ("crt", "key")}
    assert files == {"sa.key", "sa.pub", "apiserver-chain.crt", *pairs}
    assert {stat.S_IMODE(f.stat().st_mode) for f in pki.directory.iterdir()} == {0o600}

    serving = certificate(pki.directory, "apiserver")
    alternatives = serving.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(alternatives.get_values_for_type(x509.DNSName)) == {
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "localhost",
        "box",
    }
    addresses = {str(a) for a in alternatives.get_values_for_type(x509.IPAddress)}
    assert addresses == {"10.96.0.1", "127.0.0.1", "::1", "10.0.0.7"}
    usages = serving.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.SERVER_AUTH]

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pki.ca_file))
    context.load_cert_chain(pki.certificate_file("apiserver"), pki.key_file("apiserver"))


def test_a_second_start_changes_nothing(tmp_path: Path) -> None:
    first = ensure_pki(tmp_path, clock=FixedClock())
    before = {f.name: f.read_bytes() for f in tmp_path.iterdir()}
    second = ensure_pki(tmp_path, clock=FixedClock(NOW + 3600))
    assert before == {f.name: f.read_bytes() for f in tmp_path.iterdir()}
    assert first.service_account_key_pem == second.service_account_key_pem


def test_renewed_before_expiry_but_not_the_ca_nor_the_token_key(tmp_path: Path) -> None:
    ensure_pki(tmp_path, clock=FixedClock())
    before = {f.name: f.read_bytes() for f in tmp_path.iterdir()}
    ensure_pki(tmp_path, clock=FixedClock(NOW + YEAR_SECONDS * 0.8))
    after = {f.name: f.read_bytes() for f in tmp_path.iterdir()}
    same = {name for name in before if before[name] == after[name]}
    proxy = {"front-proxy-ca.crt", "front-proxy-ca.key"}
    assert same == {"ca.crt", "ca.key", "sa.key", "sa.pub", *proxy}


def test_a_new_address_or_a_new_ca_makes_new_certificates(tmp_path: Path) -> None:
    clock = FixedClock()
    ensure_pki(tmp_path, clock=clock)
    old = certificate(tmp_path, "apiserver"), certificate(tmp_path, "admin")
    ensure_pki(tmp_path, clock=clock, addresses=["192.0.2.1"])
    assert certificate(tmp_path, "apiserver") != old[0]
    assert certificate(tmp_path, "admin") == old[1]

    (tmp_path / "ca.crt").unlink()
    pki = ensure_pki(tmp_path, clock=clock)
    assert pki.authority.has_signed(certificate(tmp_path, "admin"))
    assert not pki.authority.has_signed(old[1])


def request_pem(common_name: str, *organizations: str) -> bytes:
    key = new_key()
    name = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, o) for o in organizations]
    if common_name:
        name.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(name))
    builder = builder.add_extension(
        x509.SubjectAlternativeName([x509.DNSName("node-1")]), critical=False
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


async def test_signed_request_authenticates_as_its_subject() -> None:
    authority = Authority(new_authority("kubernetes", now=NOW, ttl_seconds=YEAR_SECONDS))
    signer = Signer(authority, FixedClock())
    pem = signer.issue_client_certificate(
        request_pem("system:node:n1", "system:nodes"), 3600, ["digital signature", "client auth"]
    )
    signed = x509.load_pem_x509_certificate(pem)
    assert authority.has_signed(signed)
    assert signed.not_valid_after_utc.timestamp() == NOW + 3600

    user = await X509Authenticator().authenticate(Credentials(client_certificate=signed))
    assert user is not None
    assert (user.name, user.groups) == (
        "system:node:n1",
        ("system:nodes", "system:authenticated"),
    )
    credential = user.extra["authentication.kubernetes.io/credential-id"][0]
    assert credential == "X509SHA256=" + signed.fingerprint(hashes.SHA256()).hex()


@pytest.mark.parametrize(("asked", "given"), [(1, 600), (None, YEAR_SECONDS), (1e12, YEAR_SECONDS)])
def test_life_is_bounded(asked: float | None, given: float) -> None:
    authority = Authority(new_authority("kubernetes", now=NOW, ttl_seconds=2 * YEAR_SECONDS))
    pem = Signer(authority, FixedClock()).issue_client_certificate(
        request_pem("u"), asked, ["client auth"]
    )
    signed = x509.load_pem_x509_certificate(pem)
    assert signed.not_valid_after_utc.timestamp() == NOW + given


def test_unknown_usage_and_damaged_request_are_refused() -> None:
    authority = Authority(new_authority("kubernetes", now=NOW, ttl_seconds=YEAR_SECONDS))
    signer = Signer(authority, FixedClock())
    with pytest.raises(ValueError, match="unrecognized usage"):
        signer.issue_client_certificate(request_pem("u"), 600, ["world domination"])
    with pytest.raises(ValueError):
        signer.issue_client_certificate(b"nonsense", 600, ["client auth"])


async def test_a_certificate_without_common_name_is_nobody() -> None:
    authority = Authority(new_authority("kubernetes", now=NOW, ttl_seconds=YEAR_SECONDS))
    pem = Signer(authority, FixedClock()).issue_client_certificate(
        request_pem("", "system:masters"), 600, ["client auth"]
    )
    shown = Credentials(client_certificate=x509.load_pem_x509_certificate(pem))
    assert await X509Authenticator().authenticate(shown) is None


def test_kubeconfig_is_complete() -> None:
    pair = new_authority("kubernetes", now=NOW, ttl_seconds=60)
    config = yaml.safe_load(
        kubeconfig_yaml(
            server="https://127.0.0.1:6443", ca_pem=b"ca", user="kubernetes-admin", pair=pair
        )
    )
    assert config["current-context"] == "sagong"
    assert config["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6443"
