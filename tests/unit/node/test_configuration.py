"""From specs to what the runtime is told: environment, names, resources, references, files."""

from pathlib import Path

import pytest

from sagong.api.types import Obj
from sagong.local.images import File, ImageSpec, build_archive, pause_image
from sagong.node.cri.messages import enum_number, make, message_class
from sagong.node.cri.wakeups import ended_container
from sagong.node.images.references import normalize
from sagong.node.images.usage import DiskUsage, plan_removals
from sagong.node.pods.backoff import format_duration
from sagong.node.pods.downward import NodeFacts, field_value, resource_value
from sagong.node.pods.environment import service_environment
from sagong.node.pods.expansion import expand
from sagong.node.pods.failures import ConfigFailure
from sagong.node.pods.naming import Resolver, hosts_file, parse_resolv_conf, resolver_of
from sagong.node.pods.resources import cpu_quota, cpu_shares, oom_score, pod_limits
from sagong.node.pods.security import check_non_root
from sagong.node.pods.spec import qos_class
from sagong.node.pods.termination_message import read_termination_message
from sagong.node.probes.threshold import Result, Tally
from sagong.node.volumes.payload import PayloadFile, write_payload
from sagong.node.volumes.sub_path import check

from .situations import pod

NODE = NodeFacts("n", ("192.0.2.1",), {"cpu": "2", "memory": "1Gi"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [("$(A)", "a"), ("$$(A)", "$(A)"), ("$(B)", "$(B)"), ("x$(A)y$(A)", "xaya"), ("$A", "$A"),
     ("$$$(A)", "$a"), ("$(A", "$(A")],
)  # fmt: skip
def test_expansion(text: str, expected: str) -> None:
    assert expand(text, {"A": "a"}) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("a/b:1", "docker.io/a/b:1"),
        ("localhost/x", "localhost/x:latest"),
        ("r.example:5000/x/y:t", "r.example:5000/x/y:t"),
        ("x@sha256:" + "a" * 64, "docker.io/library/x@sha256:" + "a" * 64),
        ("sha256:" + "a" * 64, "sha256:" + "a" * 64),
    ],
)
def test_image_references(written: str, expected: str) -> None:
    assert normalize(written) == expected


@pytest.mark.parametrize("written", ["UPPER", "a b", "x:", "x@nope", ""])
def test_bad_image_references(written: str) -> None:
    with pytest.raises(ValueError, match="couldn't parse image name"):
        normalize(written)


def _resources(**amounts: Obj) -> Obj:
    return {"name": "c", "resources": amounts}


FULL = {"cpu": "500m", "memory": "64Mi"}


def test_quality_of_service_and_limits() -> None:
    guaranteed = pod(_resources(limits=FULL, requests=FULL))
    burstable = pod(_resources(requests={"cpu": "250m"}), {"name": "d"})
    assert qos_class(guaranteed) == "Guaranteed"
    assert qos_class(pod(_resources(limits=FULL))) == "Guaranteed"
    assert qos_class(burstable) == "Burstable"
    assert qos_class(pod({"name": "c"})) == "BestEffort"
    limits = pod_limits(guaranteed)
    assert (limits.cpu_shares, limits.cpu_quota, limits.memory_bytes) == (512, 50_000, 64 << 20)
    assert (pod_limits(burstable).cpu_shares, pod_limits(burstable).memory_bytes) == (256, None)
    assert (cpu_shares(None), cpu_shares(1), cpu_quota(5), cpu_quota(None)) == (2, 2, 1000, 0)


def test_oom_scores() -> None:
    def score(obj: Obj, *, may_lower: bool = True) -> int:
        container = obj["spec"]["containers"][0]
        return oom_score(obj, container, memory_capacity_bytes=1 << 30, may_lower=may_lower)

    assert score(pod(_resources(limits=FULL))) == -997
    assert score(pod(_resources(limits=FULL)), may_lower=False) == 0
    assert score(pod({"name": "c"})) == 1000
    assert score(pod(_resources(requests={"memory": "512Mi"}))) == 500


def test_downward() -> None:
    obj = pod(_resources(limits={"cpu": "1500m"}))
    obj["metadata"]["labels"] = {"b": "2", "a": 'x"y'}
    container = obj["spec"]["containers"][0]
    assert field_value(obj, "metadata.labels", NODE, ()) == 'a="x\\"y"\nb="2"'
    assert field_value(obj, "metadata.labels['b']", NODE, ()) == "2"
    assert field_value(obj, "status.podIPs", NODE, ("1.1.1.1", "::1")) == "1.1.1.1,::1"
    assert resource_value(obj, container, {"resource": "limits.cpu"}, NODE) == "2"
    milli = {"resource": "limits.cpu", "divisor": "1m"}
    assert resource_value(obj, container, milli, NODE) == "1500"
    mega = {"resource": "limits.memory", "divisor": "1Mi"}
    assert resource_value(obj, container, mega, NODE) == "1024"
    with pytest.raises(ConfigFailure):
        field_value(obj, "spec.nope", NODE, ())


def test_service_variables() -> None:
    def service(namespace: str, name: str, address: str, *ports: Obj) -> Obj:
        metadata = {"namespace": namespace, "name": name}
        return {"metadata": metadata, "spec": {"clusterIP": address, "ports": list(ports)}}

    services = [
        service("ns", "my-db", "10.0.0.2", {"port": 5432, "name": "sql"}),
        service("ns", "headless", "None", {"port": 1}),
        service("default", "kubernetes", "10.0.0.1", {"port": 443}),
        service("other", "far", "10.0.0.3", {"port": 1}),
    ]
    variables = service_environment(pod({"name": "c"}), services)
    assert variables["MY_DB_SERVICE_HOST"] == "10.0.0.2"
    assert variables["MY_DB_SERVICE_PORT_SQL"] == "5432"
    assert variables["MY_DB_PORT_5432_TCP"] == "tcp://10.0.0.2:5432"
    assert variables["KUBERNETES_SERVICE_HOST"] == "10.0.0.1"
    assert not any(name.startswith(("FAR", "HEADLESS")) for name in variables)
    without = service_environment(pod({"name": "c"}, enableServiceLinks=False), services)
    assert set(without) == {n for n in variables if n.startswith("KUBERNETES")}


def test_resolver_and_hosts() -> None:
    host = parse_resolv_conf("search corp.example\nnameserver 9.9.9.9\noptions rotate\n")
    assert host == Resolver(("9.9.9.9",), ("corp.example",), ("rotate",))
    own = resolver_of(pod({"name": "c"}), host, ("10.96.0.10",), "cluster.local")
    assert own.servers == ("10.96.0.10",)
    assert own.searches[0] == "ns.svc.cluster.local"
    assert own.searches[-1] == "corp.example"
    config = {"nameservers": ["1.1.1.1"], "options": [{"name": "ndots", "value": "2"}]}
    none = pod({"name": "c"}, dnsPolicy="None", dnsConfig=config)
    assert resolver_of(none, host, ("10.96.0.10",), "x") == Resolver(("1.1.1.1",), (), ("ndots:2",))
    named = pod({"name": "c"}, hostname="h", subdomain="s", hostAliases=[
        {"ip": "1.2.3.4", "hostnames": ["a", "b"]}])  # fmt: skip
    text = hosts_file(named, ("10.0.0.9",), "cluster.local", "")
    assert "10.0.0.9\th.s.ns.svc.cluster.local\th\n" in text
    assert text.endswith("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")


def test_non_root_is_checked() -> None:
    container = {"name": "c", "securityContext": {"runAsNonRoot": True}}
    obj = pod(container)
    check_non_root(obj, container, image_uid=7, image_user="")
    with pytest.raises(ConfigFailure, match="image will run as root"):
        check_non_root(obj, container, image_uid=0, image_user="")
    with pytest.raises(ConfigFailure, match="non-numeric user"):
        check_non_root(obj, container, image_uid=None, image_user="www")


def test_durations() -> None:
    assert [format_duration(s) for s in (10, 80, 300, 3600)] == ["10s", "1m20s", "5m0s", "1h0m0s"]


def test_thresholds() -> None:
    tally = Tally(Result.SUCCESS)
    seen = []
    for ok in (False, False, True, False, False, False, True):
        tally = tally.after(ok, success_threshold=1, failure_threshold=3)
        seen.append(tally.result is Result.SUCCESS)
    assert seen == [True, True, True, True, True, False, True]


def test_image_removal_stops_at_the_low_mark() -> None:
    usage = DiskUsage(capacity_bytes=1000, available_bytes=100)
    sizes, used = {"a": 60, "b": 60, "c": 60}, {"a": 3.0, "b": 1.0, "c": 2.0}
    assert plan_removals(usage, sizes, used, high_percent=85, low_percent=80) == ["b", "c"]
    roomy = DiskUsage(1000, 500)
    assert plan_removals(roomy, sizes, used, high_percent=85, low_percent=80) == []


def test_termination_messages(tmp_path: Path) -> None:
    own, log = tmp_path / "own", tmp_path / "log"
    own.write_text("")
    log.write_text("2026-01-01T00:00:00Z stdout F one\n2026-01-01T00:00:00Z stderr P tw\n")
    both = {"policy": "FallbackToLogsOnError", "failed": True}
    assert read_termination_message(own, log, **both) == "one\ntw"
    assert read_termination_message(own, log, policy="File", failed=True) == ""
    own.write_text("x" * 5000)
    assert len(read_termination_message(own, log, **both)) == 4096


def test_payloads_change_at_once_and_leave_nothing_old(tmp_path: Path) -> None:
    old = {"a": PayloadFile(b"1", 0o644), "d/b": PayloadFile(b"2", 0o600)}
    assert write_payload(tmp_path, old, now=0.0)
    assert (tmp_path / "a").read_text() == "1"
    assert (tmp_path / "d" / "b").read_text() == "2"
    assert not write_payload(tmp_path, old, now=1.0)
    assert write_payload(tmp_path, {"a": PayloadFile(b"3", 0o644)}, now=2.0)
    assert (tmp_path / "a").read_text() == "3"
    names = {entry.name for entry in tmp_path.iterdir()}
    assert names - {"a", "..data"} == {"..1970_01_01_00_00_02.000000"}


@pytest.mark.parametrize("path", ["/etc", "../x", "a/../../b"])
def test_sub_paths_stay_inside(path: str) -> None:
    with pytest.raises(ConfigFailure):
        check(path)


def test_messages_are_built_from_field_numbers() -> None:
    message = make(
        "PodSandboxConfig", hostname="h", labels={"a": "b"}, linux={"cgroup_parent": "/x"}
    )
    assert message.SerializeToString(deterministic=True) == (
        b"\x12\x01h2\x06\n\x01a\x12\x01bB\x04\n\x02/x"
    )
    again = message_class("PodSandboxConfig").FromString(message.SerializeToString())
    assert again == message
    assert enum_number("NamespaceMode", "NODE") == 2


def test_the_end_of_a_container_is_told_from_that_of_an_exec_in_it() -> None:
    def envelope(container: bytes, process: bytes) -> bytes:
        task = b"\x0a" + bytes([len(container)]) + container
        task += b"\x12" + bytes([len(process)]) + process + b"\x18\x90\x4e"
        any_ = b"\x0a\x01t\x12" + bytes([len(task)]) + task
        head = b"\x0a\x02\x08\x01\x12\x06k8s.io\x1a\x0b/tasks/exit"
        return head + b"\x22" + bytes([len(any_)]) + any_

    assert ended_container(envelope(b"abc", b"abc")) == "abc"
    assert ended_container(envelope(b"abc", b"exec-1")) == ""


def test_archives_are_reproducible() -> None:
    image = ImageSpec("x:1", {"bin/a": File(b"a"), "bin/b": File(target="a")})
    assert build_archive(image) == build_archive(image)
    assert len(build_archive(pause_image())) <= 20_480
