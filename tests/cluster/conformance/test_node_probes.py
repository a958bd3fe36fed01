"""[sig-node] Probing container."""

import asyncio

from tests.cluster.conformance.agent_programs import (
    GRPC_HEALTH,
    HOST_VOLUME,
    cgi_server,
    python_program,
)
from tests.cluster.conformance.cluster import Space
from tests.cluster.manifests import FOREVER, condition_of, container_status, is_ready, pod, shell

from sagong.api.types import Obj
from sagong.core.clock import parse_time

OFTEN = {"periodSeconds": 1, "failureThreshold": 1}
# Answers 200 until three seconds have passed since the container's start, 500 from then on.
SICK_SOON = """
read up rest < /proc/uptime
read began < /tmp/began
if [ $((${up%.*} - began)) -gt 3 ]; then echo 'Status: 500 Oh'; fi
echo 'Content-Type: text/plain'; echo; echo ok
"""
BEGAN = "read up rest < /proc/uptime; echo ${up%.*} > /tmp/began\n"


def restarts(seen: Obj, name: str = "c0") -> int:
    return int(container_status(seen, name).get("restartCount") or 0)


def http(path: str, port: int | str = 8080) -> Obj:
    return {"httpGet": {"path": path, "port": port}}


async def test_failing_liveness_restarts(space: Space) -> None:
    """Exec, HTTP and gRPC (a port where nobody listens)."""
    sick = shell("touch /tmp/health; sleep 2; rm /tmp/health; sleep 600")
    web = shell(BEGAN + cgi_server(healthz=SICK_SOON))
    grpc = shell(FOREVER)
    probes: dict[str, tuple[Obj, Obj]] = {
        "exec": (sick, {"exec": {"command": ["cat", "/tmp/health"]}}),
        "http": (web, http("/cgi-bin/healthz")),
        "grpc": (grpc, {"grpc": {"port": 2333}}),
    }
    for name, (container, probe) in probes.items():
        live = {**container, "livenessProbe": {**probe, **OFTEN, "initialDelaySeconds": 1}}
        await space.create("pods", pod(name, live))
    for name in probes:
        await space.wait("pods", name, lambda p: restarts(p) >= 1)
        text = "Container c0 failed liveness probe, will be restarted"
        assert await space.wait_event(name, "Killing") == text
        assert await space.wait_event(name, "Unhealthy", "Liveness probe failed")


async def test_well_containers_are_left_alone(space: Space) -> None:
    """Exec, HTTP (a redirect too), TCP behind which HTTP fails, and gRPC with a service."""
    away = "echo 'Status: 302 Found'; echo 'Location: http://0.0.0.0/'; echo; "
    web = shell(BEGAN + cgi_server(healthz="echo; echo ok", away=away))
    broken = shell(BEGAN + cgi_server(healthz=SICK_SOON))
    named = {"ports": [{"name": "web", "containerPort": 8080}]}
    health = {"grpc": {"port": 5000, "service": "well"}}
    containers = {
        "exec": shell(
            f"touch /tmp/health; {FOREVER}",
            livenessProbe={"exec": {"command": ["cat", "/tmp/health"]}, **OFTEN},
        ),
        "http": {**web, **named, "livenessProbe": {**http("/cgi-bin/healthz", "web"), **OFTEN}},
        "redirect": {**web, "livenessProbe": {**http("/cgi-bin/away"), **OFTEN}},
        "tcp": {**broken, "livenessProbe": {"tcpSocket": {"port": 8080}, **OFTEN}},
        "grpc": python_program(
            GRPC_HEALTH,
            startupProbe={**health, "periodSeconds": 1, "failureThreshold": 60},
            livenessProbe={**health, **OFTEN, "timeoutSeconds": 5},
        ),
    }
    for name, container in containers.items():
        delayed = {**container["livenessProbe"], "initialDelaySeconds": 2, "timeoutSeconds": 10}
        manifest = pod(name, {**container, "livenessProbe": delayed}, volumes=[HOST_VOLUME])
        await space.create("pods", manifest)
    await asyncio.gather(*(space.wait("pods", name, is_ready) for name in containers))
    await asyncio.sleep(6)  # several periods, and the time at which the web server falls ill
    for name in containers:
        seen = await space.get("pods", name)
        assert (name, restarts(seen), condition_of(seen, "Ready")) == (name, 0, "True")
    warning = await space.wait_event("redirect", "ProbeWarning")
    assert warning.startswith("Liveness probe warning: Probe terminated redirects")


async def test_restart_counts_only_grow(space: Space) -> None:
    """Each run is killed by its probe; the counts are those of a watcher who sees every change."""
    probe = {"exec": {"command": ["false"]}, **OFTEN}
    await space.create("pods", pod("counted", shell(FOREVER, livenessProbe=probe)))
    counts = [0]

    def note(seen: Obj) -> bool:
        if restarts(seen) != counts[-1]:
            counts.append(restarts(seen))
        return counts[-1] >= 3

    await space.wait("pods", "counted", note)
    assert counts == sorted(set(counts))


async def test_readiness_waits_for_its_initial_delay(space: Space) -> None:
    ready = {"exec": {"command": ["true"]}, "initialDelaySeconds": 4, "periodSeconds": 1}
    never = {"exec": {"command": ["false"]}, "initialDelaySeconds": 1, "periodSeconds": 1}
    await space.create("pods", pod("never", shell(FOREVER, readinessProbe=never)))
    seen = await space.run(pod("later", shell(FOREVER, readinessProbe=ready)), is_ready)
    started = parse_time(container_status(seen)["state"]["running"]["startedAt"])
    became = next(c for c in seen["status"]["conditions"] if c["type"] == "Ready")
    # Both times have whole seconds.
    assert parse_time(became["lastTransitionTime"]) - started >= 4 - 1
    assert restarts(seen) == 0
    await space.wait_event("never", "Unhealthy", "Readiness probe failed")
    seen = await space.get("pods", "never")
    assert (condition_of(seen, "Ready"), restarts(seen)) == ("False", 0)
    assert condition_of(seen, "ContainersReady") == "False"


async def test_a_startup_probe_holds_the_others_back(space: Space) -> None:
    startup = {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1}
    containers = [
        shell(
            f"sleep 3; touch /tmp/up; {FOREVER}",
            startupProbe={**startup, "failureThreshold": 60},
            livenessProbe={"exec": {"command": ["test", "-e", "/tmp/up"]}, **OFTEN},
        ),
    ]
    slow = shell(FOREVER, startupProbe={**startup, "failureThreshold": 2})
    await space.create("pods", pod("lost", slow))
    seen = await space.run(pod("slow", *containers), is_ready)
    assert (restarts(seen), container_status(seen)["started"]) == (0, True)
    seen = await space.wait("pods", "lost", lambda p: restarts(p) >= 1)
    assert await space.wait_event("lost", "Killing", "failed startup probe, will be restarted")


async def test_a_probe_may_have_a_grace_of_its_own(space: Space) -> None:
    probe = {"exec": {"command": ["false"]}, **OFTEN, "terminationGracePeriodSeconds": 1}
    deaf = shell("trap '' TERM; while :; do sleep 1; done", livenessProbe=probe)
    manifest = pod("deaf", deaf, terminationGracePeriodSeconds=600)
    seen = await space.run(manifest, lambda p: restarts(p) >= 1)
    assert container_status(seen)["lastState"]["terminated"]["exitCode"] == 137
    await space.delete("pods", "deaf", grace_period_seconds=0)
