"""The machine goes down: systemd-logind waits until the pods have ended, the critical ones last."""

from pathlib import Path

import pytest

from sagong.api.meta import condition
from sagong.api.types import Obj
from sagong.node.shutdown.groups import ShutdownSettings

from .conftest import FOREVER, NODE, Node, is_ready, phase_is, pod, shell
from .logind import Logind, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

SLOW = "trap 'sleep 1.5; exit 0' TERM; while :; do sleep 3600 & wait $!; done"


def ended_at(obj: Obj) -> str:
    return str(obj["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"])


def is_told(node: Obj) -> bool:
    ready = condition(node, "Ready") or {}
    facts = ready.get("status"), ready.get("reason"), ready.get("message")
    return facts == ("False", "KubeletNotReady", "node is shutting down")


async def test_a_shutdown_waits_for_pods(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logind = Logind(tmp_path / "logind")
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", logind.address)
    async with (
        logind.running(),
        node.running_agent(
            shutdown=ShutdownSettings(grace_seconds=20, critical_seconds=10),
            logind_settings_dir=logind.settings_dir,
        ),
    ):
        await node.create(pod("plain", shell(SLOW), terminationGracePeriodSeconds=10))
        await node.create(pod("critical", shell(FOREVER), priorityClassName="system-node-critical"))
        for name in ("plain", "critical"):
            await node.wait_pod(name, is_ready)
        # Five seconds by default, which are not enough.
        await node.wait(lambda: logind.ask("get-property", "InhibitDelayMaxUSec") == "t 20000000\n")
        lock = '"shutdown" "kubelet" "Kubelet needs time to handle node shutdown" "delay"'
        await node.wait(lambda: lock in logind.ask("call", "ListInhibitors"))
        logind.ask("call", "PowerOff", "b", "false")
        await node.wait_node(is_told)
        plain = await node.wait_pod("plain", phase_is("Failed"))
        critical = await node.wait_pod("critical", phase_is("Failed"))
        for obj in (plain, critical):
            assert (obj["status"]["reason"], obj["status"]["message"]) == (
                "Terminated",
                "Pod was terminated in response to imminent node shutdown.",
            )
            target = condition(obj, "DisruptionTarget") or {}
            assert (target["status"], target["reason"]) == ("True", "TerminationByKubelet")
        # Whole seconds: told to end together, the critical one would have ended 1.5 s earlier.
        assert ended_at(plain) <= ended_at(critical)
        await node.wait(lambda: logind.started_units() == ["poweroff.target"])
        await node.create(pod("late", shell(FOREVER)))
        refused = await node.wait_pod("late", phase_is("Failed"))
        assert (refused["status"]["reason"], refused["status"]["message"]) == (
            "NodeShutdown",
            "Pod was rejected: Pod was rejected as the node is shutting down.",
        )
        events = [reason for reason, _ in await node.events(NODE)]
        assert "NodeShutdown" in events
