"""Kubeconfig files, as kubectl writes them and as it reads ours."""

import base64
import stat
from pathlib import Path

import pytest
import yaml

from sagong.client.access import Access
from sagong.client.kubeconfig import (
    Context,
    KubeconfigError,
    merge_context,
    read_context,
    remove_context,
)

KUBECTL_MADE = """
apiVersion: v1
kind: Config
preferences: {colors: true}
current-context: work
clusters:
- name: prod
  cluster: {server: "https://prod:6443", certificate-authority: ca.pem, extensions: [{name: x}]}
users:
- name: jane
  user: {client-certificate-data: %s, client-key: key.pem}
- name: cloud
  user: {exec: {command: login}}
contexts:
- name: work
  context: {cluster: prod, user: jane, namespace: team}
- name: cloudy
  context: {cluster: prod, user: cloud}
- name: broken
  context: {cluster: none}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "config"
    path.write_text(KUBECTL_MADE % base64.b64encode(b"CERT").decode())
    (tmp_path / "ca.pem").write_bytes(b"CA")
    (tmp_path / "key.pem").write_bytes(b"KEY")
    return path


def test_reading(path: Path) -> None:
    found = read_context(path)
    access = Access("https://prod:6443", ca=b"CA", certificate=b"CERT", key=b"KEY")
    assert found == Context("work", access, "team")


@pytest.mark.parametrize(
    ("name", "message"),
    [("cloudy", "'exec'"), ("broken", "no cluster 'none'"), ("nonesuch", "no context 'nonesuch'")],
)
def test_what_cannot_be_used_says_why(path: Path, name: str, message: str) -> None:
    with pytest.raises(KubeconfigError, match=message):
        read_context(path, name)


def test_merging_keeps_everything_else(path: Path) -> None:
    before = yaml.safe_load(path.read_text())
    access = Access("https://127.0.0.1:6443", ca=b"CA2", certificate=b"C", key=b"K")
    context = Context("sagong", access)
    merge_context(path, context)
    merge_context(path, context)
    assert read_context(path) == context
    assert read_context(path, "work").namespace == "team"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(p.name for p in path.parent.iterdir()) == ["ca.pem", "config", "key.pem"]

    assert remove_context(path, "sagong")
    assert not remove_context(path, "sagong")
    assert yaml.safe_load(path.read_text()) == before | {"current-context": ""}


def test_a_new_file_in_a_new_directory(tmp_path: Path) -> None:
    path = tmp_path / ".kube" / "config"
    token = Access("https://x", token="t", insecure=True, tls_server_name="kubernetes")
    merge_context(path, Context("a", token, "ns"), make_current=False)
    merge_context(path, Context("b", Access("http://y", token_file=Path("/t"))), make_current=False)
    assert read_context(path) == Context("a", token, "ns")
    assert read_context(path, "b").access.token_file == Path("/t")


def test_a_file_that_is_no_kubeconfig_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "config"
    for text in ("- a list", "{broken"):
        path.write_text(text)
        with pytest.raises(KubeconfigError):
            merge_context(path, Context("a", Access("http://y")))
        assert path.read_text() == text
    assert not remove_context(tmp_path / "none", "a")
