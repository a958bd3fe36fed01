"""Pod Security Standards: the documented refusals, word by word."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagong.api.errors import Forbidden, Invalid
from sagong.api.types import Obj, User
from sagong.server.admission.pod_security.checks import LATEST, baseline, restricted
from sagong.server.admission.pod_security.plugin import PodSecurity
from sagong.server.admission.pod_security.policy import Level, read_policy
from sagong.server.admission.pod_security.settings import BadSettings, settings_of

from .test_admission import World, pod, refused

PREFIX = "pod-security.kubernetes.io/"
GOOD = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def spec(context: Obj | None = None, **fields: Any) -> Obj:
    container = {"name": "c", **({"securityContext": context} if context is not None else {})}
    return {"containers": [container], **fields}


def texts(found: list[Any]) -> list[str]:
    return [str(violation) for violation in found]


def test_a_plain_pod_is_baseline_but_not_restricted() -> None:
    assert baseline({}, spec(), LATEST) == []
    assert texts(restricted({}, spec(), LATEST)) == [
        'allowPrivilegeEscalation != false (container "c" must set'
        " securityContext.allowPrivilegeEscalation=false)",
        'unrestricted capabilities (container "c" must set'
        ' securityContext.capabilities.drop=["ALL"])',
        'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true)',
        'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to'
        ' "RuntimeDefault" or "Localhost")',
    ]
    assert restricted({}, spec(GOOD), LATEST) == []


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (
            spec({"privileged": True}),
            'privileged (container "c" must not set securityContext.privileged=true)',
        ),
        (spec(hostNetwork=True, hostPID=True), "host namespaces (hostNetwork=true, hostPID=true)"),
        (
            spec(volumes=[{"name": "v", "hostPath": {}}, {"name": "w", "hostPath": {}}]),
            'hostPath volumes (volumes "v", "w")',
        ),
        (
            {"containers": [{"name": "c", "ports": [{"hostPort": 90}, {"hostPort": 80}]}]},
            'hostPort (container "c" uses hostPorts 80, 90)',
        ),
        (
            spec({"capabilities": {"add": ["NET_ADMIN", "CHOWN"]}}),
            'non-default capabilities (container "c" must not include "NET_ADMIN" in'
            " securityContext.capabilities.add)",
        ),
        (
            spec(securityContext={"seccompProfile": {"type": "Unconfined"}}),
            'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
        (
            spec({"procMount": "Unmasked"}),
            'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
        ),
        (
            spec(securityContext={"sysctls": [{"name": "kernel.msgmax"}]}),
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            spec({"seLinuxOptions": {"type": "bad_t", "user": "u"}}),
            'seLinuxOptions (container "c" set forbidden securityContext.seLinuxOptions:'
            ' type "bad_t"; user may not be set)',
        ),
        (
            spec({"appArmorProfile": {"type": "Unconfined"}}),
            'forbidden AppArmor profile (container "c" must not set AppArmor profile type to'
            ' "Unconfined")',
        ),
        (
            {"containers": [{"name": "c", "livenessProbe": {"httpGet": {"host": "10.0.0.1"}}}]},
            'probe or lifecycle host (container "c" uses probe or lifecycle host "10.0.0.1")',
        ),
    ],
)
def test_baseline(bad: Obj, text: str) -> None:
    assert texts(baseline({}, bad, LATEST)) == [text]


def test_restricted_checks_stand_in_for_weaker_ones() -> None:
    bad = spec(GOOD, volumes=[{"name": "v", "hostPath": {}}])
    assert texts(restricted({}, bad, LATEST)) == [
        'restricted volume types (volume "v" uses restricted volume type "hostPath")'
    ]


def test_versions_differ() -> None:
    sysctl = spec(securityContext={"sysctls": [{"name": "net.ipv4.tcp_rmem"}]})
    assert baseline({}, sysctl, 32) == []
    assert len(baseline({}, sysctl, 31)) == 1
    assert len(restricted({}, spec(), 7)) == 1


@given(st.integers(min_value=0, max_value=40))
def test_restricted_forbids_whatever_baseline_does(minor: int) -> None:
    bad = spec(
        {"privileged": True, "capabilities": {"add": ["SYS_ADMIN"]}, "procMount": "Unmasked"},
        hostNetwork=True,
        volumes=[{"name": "v", "hostPath": {}}],
    )
    assert len(restricted({}, bad, minor)) >= len(baseline({}, bad, minor))


def test_policies_fail_closed() -> None:
    assert read_policy({}).enforce.level is Level.PRIVILEGED
    labels = {PREFIX + "enforce": "strict", PREFIX + "warn": "Baseline"}
    policy = read_policy(labels)
    assert (policy.enforce.level, policy.warn.level) == (Level.RESTRICTED, Level.PRIVILEGED)
    labels = {PREFIX + "enforce": "baseline", PREFIX + "enforce-version": "v1.30"}
    assert str(read_policy(labels).enforce) == "baseline:v1.30"


def labelled(world: World, **labels: str) -> Obj:
    metadata = {
        "name": "one",
        "labels": {PREFIX + k.replace("_", "-"): v for k, v in labels.items()},
    }
    return world.put("namespaces", {"metadata": metadata})


async def test_enforced_warned_and_left_alone() -> None:
    world = World()
    labelled(world, enforce="baseline", warn="restricted")
    bad = pod(namespace="one", hostNetwork=True)
    error = await refused(PodSecurity(), world.create("pods", bad))
    assert isinstance(error, Forbidden)
    assert error.message == (
        'pods "p" is forbidden: violates PodSecurity "baseline:latest":'
        " host namespaces (hostNetwork=true)"
    )
    plain = world.create("pods", pod(namespace="one"))
    await PodSecurity().validate(plain)
    [warning] = plain.warnings
    assert warning.startswith('would violate PodSecurity "restricted:latest": allowPrivilege')

    old = pod(namespace="one", hostNetwork=True)
    await PodSecurity().validate(world.update("pods", old, old))
    await PodSecurity().validate(world.create("pods", pod(hostNetwork=True)))


async def test_templates_only_warn() -> None:
    world = World()
    labelled(world, enforce="restricted", warn="restricted")
    template = {"spec": pod()["spec"]}
    metadata = {"name": "d", "namespace": "one"}
    write = world.create("deployments.apps", {"metadata": metadata, "spec": {"template": template}})
    await PodSecurity().validate(write)
    assert len(write.warnings) == 1


async def test_raising_the_standard_warns_of_what_is_there() -> None:
    world = World()
    for name in ("b", "a"):
        world.put("pods", pod(name, "one", hostNetwork=True))
    old = labelled(world)
    new = labelled(world, enforce="baseline")
    write = world.update("namespaces", new, old)
    await PodSecurity().validate(write)
    assert write.warnings == [
        'existing pods in namespace "one" violate the new PodSecurity enforce level'
        ' "baseline:latest"',
        "a (and 1 other pod): host namespaces",
    ]


async def test_labels_must_be_readable() -> None:
    world = World()
    error = await refused(PodSecurity(), world.create("namespaces", labelled(world, warn="x")))
    assert isinstance(error, Invalid)
    assert error.message == (
        f'Namespace "one" is invalid: metadata.labels[{PREFIX}warn]: Invalid value: "x":'
        " must be one of privileged, baseline, restricted"
    )


SETTINGS = {
    "apiVersion": "pod-security.admission.config.k8s.io/v1",
    "kind": "PodSecurityConfiguration",
    "defaults": {"enforce": "baseline", "enforce-version": "v1.30"},
    "exemptions": {"usernames": ["root"], "namespaces": ["one"], "runtimeClasses": ["kata"]},
}


async def test_defaults_hold_where_a_namespace_says_nothing() -> None:
    world, plugin = World(), PodSecurity(settings_of(SETTINGS))
    bad = pod("p", hostPID=True)
    told = (await refused(plugin, world.create("pods", bad))).message
    assert 'PodSecurity "baseline:v1.30"' in told
    open_ = {"metadata": {"name": "default", "labels": {f"{PREFIX}enforce": "privileged"}}}
    world.put("namespaces", open_)
    await plugin.validate(world.create("pods", bad))


async def test_who_is_exempt_is_not_looked_at() -> None:
    world, plugin = World(), PodSecurity(settings_of(SETTINGS))
    bad = pod("p", hostPID=True)
    await plugin.validate(world.create("pods", bad, user=User("root")))
    await plugin.validate(world.create("pods", pod("p", hostPID=True, runtimeClassName="kata")))
    elsewhere = {**bad, "metadata": {**bad["metadata"], "namespace": "one"}}
    await plugin.validate(world.create("pods", elsewhere))


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "Other"},
        {**SETTINGS, "defaults": {"enforce": "strict"}},
        {**SETTINGS, "defaults": {"surprise": "baseline"}},
    ],
)
def test_settings_that_are_none(wrong: Obj) -> None:
    with pytest.raises(BadSettings):
        settings_of(wrong)
