"""Pods on a real runtime, from the API's point of view and from inside."""

import asyncio
from pathlib import Path

from sagong.api.types import Obj

from .conftest import FOREVER, Node, is_ready, phase_is, pod, shell


def container(pod: Obj, index: int = 0) -> Obj:
    return dict(pod["status"]["containerStatuses"][index])


async def test_a_pod_runs_and_leaves_nothing(node: Node) -> None:
    async with node.running_agent() as agent:
        await node.create(pod("plain", shell(f"echo hello; {FOREVER}")))
        seen = await node.wait_pod("plain", is_ready)
        status = seen["status"]
        assert status["phase"] == "Running"
        assert status["podIP"].startswith("10.244.251.")
        assert container(seen)["containerID"].startswith("containerd://")
        assert node.log(seen, "c0") == "hello"
        uid = seen["metadata"]["uid"]
        assert agent.cgroups.pods() == {uid}

        await node.delete("plain")
        await node.wait(lambda: not agent.view.uids() and not agent.workers)
        assert agent.cgroups.pods() == set()
        assert not node.config.pod_dir(uid).exists()
        assert list(node.config.log_dir.iterdir()) == []
        assert [r for r, _ in await node.events("plain")] == [
            "Pulled", "Created", "Started", "Killing",
        ]  # fmt: skip


async def test_environment_files_and_names(node: Node) -> None:
    await node.client.create(
        "configmaps",
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "settings", "namespace": "default"},
            "data": {"colour": "blue", "size": "9"},
        },
    )
    await node.client.create(
        "secrets",
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "keys", "namespace": "default"},
            "data": {"password": "aHVzaA=="},
        },
    )
    script = (
        "env | sort | grep -E '^(A|B|C|D|colour)='; hostname; cat /etc/resolv.conf; "
        "cat /data/colour /secret/password /info/labels; stat -Lc %a /secret/password; "
        "echo sub $(cat /one); tail -1 /etc/hosts; id -G"
    )
    variables = [
        {"name": "A", "value": "a"},
        {"name": "B", "value": "$(A)b $(NOPE) $$(A)"},
        {"name": "C", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "password"}}},
        {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    ]
    mounts = [
        {"name": "data", "mountPath": "/data"},
        {"name": "secret", "mountPath": "/secret"},
        {"name": "info", "mountPath": "/info"},
        {"name": "data", "mountPath": "/one", "subPath": "size"},
    ]
    item = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
    manifest = pod(
        "inside",
        shell(
            script,
            env=variables,
            envFrom=[{"configMapRef": {"name": "settings"}}],
            volumeMounts=mounts,
        ),
        restartPolicy="Never",
        securityContext={"fsGroup": 2000, "supplementalGroups": [3000]},
        volumes=[
            {"name": "data", "configMap": {"name": "settings"}},
            {"name": "secret", "secret": {"secretName": "keys", "defaultMode": 0o400}},
            {"name": "info", "downwardAPI": {"items": [item]}},
        ],
    )
    manifest["metadata"]["labels"] = {"app": "x"}
    async with node.running_agent():
        await node.create(manifest)
        done = await node.wait_pod("inside", phase_is("Succeeded"))
        lines = node.log(done, "c0").splitlines()
        ip = done["status"]["podIP"]
        assert lines == [
            "A=a",
            "B=ab $(NOPE) $(A)",
            "C=hush",
            f"D={ip}",
            "colour=blue",
            "inside",
            "search default.svc.cluster.local svc.cluster.local cluster.local",
            "nameserver 10.96.0.10",
            "options ndots:5",
            'bluehushapp="x"440',
            "sub 9",
            f"{ip}\tinside",
            "0 2000 3000",
        ]
        assert container(done)["state"]["terminated"]["reason"] == "Completed"
        ready = next(c for c in done["status"]["conditions"] if c["type"] == "Ready")
        assert ready["reason"] == "PodCompleted"


async def test_init_containers_and_sidecars_keep_their_order(node: Node) -> None:
    shared = {"volumeMounts": [{"name": "s", "mountPath": "/s"}]}
    manifest = pod(
        "ordered",
        shell("cat /s/log; test -e /s/sidecar", **shared),
        restartPolicy="Never",
        volumes=[{"name": "s", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}],
        initContainers=[
            shell("echo one >> /s/log", name="one", **shared),
            shell(
                f"touch /s/sidecar; {FOREVER}",
                name="side",
                restartPolicy="Always",
                startupProbe={"exec": {"command": ["test", "-e", "/s/sidecar"]}},
                **shared,
            ),
            shell("echo two >> /s/log", name="two", **shared),
        ],
    )
    async with node.running_agent():
        await node.create(manifest)
        done = await node.wait_pod("ordered", phase_is("Succeeded"))
        assert node.log(done, "c0") == "one\ntwo"
        states = {s["name"]: s for s in done["status"]["initContainerStatuses"]}
        assert states["one"]["ready"]
        assert "terminated" in states["side"]["state"]


async def test_crashes_are_delayed_and_told(node: Node) -> None:
    async with node.running_agent():
        script = "echo bye; echo why > /dev/termination-log; exit 3"
        await node.create(pod("crash", shell(script)))
        seen = await node.wait_pod(
            "crash",
            lambda p: any(
                "waiting" in s["state"] and s["state"]["waiting"]["reason"] == "CrashLoopBackOff"
                for s in (p.get("status") or {}).get("containerStatuses") or []
            ),
        )
        status, uid = container(seen), seen["metadata"]["uid"]
        where = f"container=c0 pod=crash_default({uid})"
        assert status["state"]["waiting"]["message"] == f"back-off 10s restarting failed {where}"
        ended = status["lastState"]["terminated"]
        assert (ended["exitCode"], ended["reason"], ended["message"]) == (3, "Error", "why\n")
        assert status["restartCount"] == 1
        assert seen["status"]["phase"] == "Running"
        reasons = await node.events("crash")
        text = f"Back-off restarting failed container c0 in pod crash_default({uid})"
        assert ("BackOff", text) in reasons


async def test_what_cannot_start_says_why(node: Node) -> None:
    never = {"imagePullPolicy": "Never", "image": "sagong.local/absent:1"}
    lost = {"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "no", "key": "k"}}}]}
    async with node.running_agent():
        await node.create(pod("stuck", never, shell("true", **lost), {"command": ["/nope"]}))

        def all_told(p: Obj) -> bool:
            statuses = (p.get("status") or {}).get("containerStatuses") or []
            return [s["state"].get("waiting", {}).get("reason") for s in statuses] == [
                "ErrImageNeverPull",
                "CreateContainerConfigError",
                "CrashLoopBackOff",
            ] or [s["state"].get("waiting", {}).get("reason") for s in statuses] == [
                "ErrImageNeverPull",
                "CreateContainerConfigError",
                "RunContainerError",
            ]

        seen = await node.wait_pod("stuck", all_told)
        assert container(seen)["state"]["waiting"]["message"] == (
            'Container image "sagong.local/absent:1" is not present with pull policy of Never'
        )
        assert container(seen, 1)["state"]["waiting"]["message"] == 'secret "no" not found'
        assert seen["status"]["phase"] == "Pending"


async def test_probes_decide_readiness_and_restart(node: Node) -> None:
    ready = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1}
    alive = {
        "exec": {"command": ["test", "!", "-e", "/tmp/sick"]},
        "periodSeconds": 1,
        "failureThreshold": 1,
    }
    http = {"httpGet": {"path": "/", "port": "web"}, "periodSeconds": 1}
    web = {"ports": [{"name": "web", "containerPort": 8080}], "readinessProbe": http}
    async with node.running_agent() as agent:
        script = f"sleep 1; touch /tmp/ready; sleep 2; touch /tmp/sick; {FOREVER}"
        await node.create(
            pod(
                "probed",
                shell(script, readinessProbe=ready, livenessProbe=alive),
                shell("mkdir /w; echo hi > /w/index.html; httpd -f -p 8080 -h /w", **web),
            )
        )
        await node.wait_pod("probed", is_ready)
        seen = await node.wait_pod("probed", lambda p: container(p)["restartCount"] == 1)
        assert container(seen)["lastState"]["terminated"]["exitCode"] == 0
        assert container(seen, 1)["restartCount"] == 0
        told = await node.events("probed")
        assert ("Killing", "Container c0 failed liveness probe, will be restarted") in told
        assert agent.workers


async def test_a_killed_agent_adopts_its_containers(node: Node) -> None:
    async with node.running_agent():
        await node.create(pod("kept", shell(FOREVER)))
        await node.create(pod("lost", shell(FOREVER)))
        before = container(await node.wait_pod("kept", is_ready))["containerID"]
        await node.wait_pod("lost", is_ready)
    # While nobody looks, one pod is removed from the API by force.
    await node.client.delete("pods", "lost", namespace="default", grace_period_seconds=0)
    async with node.running_agent() as agent:
        await node.wait(lambda: len(agent.view.uids()) == 1)
        after = container(await node.get("kept"))
        assert (after["containerID"], after["restartCount"]) == (before, 0)
        assert len(agent.cgroups.pods()) == 1
        await node.delete("kept")


async def test_a_changed_config_map_reaches_its_volume(node: Node) -> None:
    settings = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "live", "namespace": "default"},
        "data": {"k": "old"},
    }
    await node.client.create("configmaps", settings)
    script = "while :; do if grep -q new /v/k; then exit 0; fi; sleep 0.2; done"
    mounts = [{"name": "v", "mountPath": "/v"}]
    async with node.running_agent():
        await node.create(
            pod(
                "watching",
                shell(script, volumeMounts=mounts),
                restartPolicy="Never",
                volumes=[{"name": "v", "configMap": {"name": "live"}}],
            )
        )
        await node.wait_pod("watching", is_ready)
        await node.client.patch("configmaps", "live", {"data": {"k": "new"}}, namespace="default")
        await node.wait_pod("watching", phase_is("Succeeded"))


async def test_deadline_and_memory_limit(node: Node) -> None:
    hungry = "exec tail /dev/zero"  # buffers an endless line
    async with node.running_agent():
        await node.create(pod("late", shell(FOREVER), activeDeadlineSeconds=2))
        await node.create(
            pod(
                "fat",
                shell(hungry, resources={"limits": {"memory": "16Mi", "cpu": "1"}}),
                restartPolicy="Never",
            )
        )
        late = await node.wait_pod("late", phase_is("Failed"))
        assert late["status"]["reason"] == "DeadlineExceeded"
        fat = await node.wait_pod("fat", phase_is("Failed"))
        ended = container(fat)["state"]["terminated"]
        assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


async def test_hooks_and_grace(node: Node, tmp_path: Path) -> None:
    path = tmp_path / "hooks"
    path.mkdir()
    script = f"trap 'echo term >> /h/log; exit 0' TERM; {FOREVER.partition(';')[2]}"
    lifecycle = {
        "postStart": {"exec": {"command": ["sh", "-c", "echo started >> /h/log"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "echo stopping >> /h/log"]}},
    }
    mounts = [{"name": "h", "mountPath": "/h"}]
    async with node.running_agent():
        await node.create(
            pod(
                "hooked",
                shell(script, lifecycle=lifecycle, volumeMounts=mounts),
                terminationGracePeriodSeconds=10,
                volumes=[{"name": "h", "hostPath": {"path": str(path), "type": "Directory"}}],
            )
        )
        await node.wait_pod("hooked", is_ready)
        await node.delete("hooked")
    assert (path / "log").read_text().split() == ["started", "stopping", "term"]


async def test_a_lost_sandbox_is_made_anew(node: Node) -> None:
    async with node.running_agent() as agent:
        await node.create(pod("phoenix", shell(FOREVER)))
        seen = await node.wait_pod("phoenix", is_ready)
        sandbox = agent.view.pod(seen["metadata"]["uid"]).sandbox
        assert sandbox is not None
        await agent.cri.stop_sandbox(sandbox.id)
        again = await node.wait_pod(
            "phoenix", lambda p: is_ready(p) and container(p)["restartCount"] >= 1
        )
        assert container(again)["lastState"]["terminated"]["exitCode"] is not None


async def test_user_namespaces_are_not_left_out_silently(node: Node) -> None:
    async with node.running_agent():
        await node.create(pod("unmapped", shell(FOREVER), hostUsers=False))
        text = 'RuntimeClass handler "" does not support user namespaces'
        told: list[tuple[str, str]] = []
        async with asyncio.timeout(30):
            while not told:
                told = [e for e in await node.events("unmapped") if e[0].startswith("FailedCreate")]
                await asyncio.sleep(0.05)
        assert told == [("FailedCreatePodSandBox", f"Failed to create pod sandbox: {text}")]
        assert (await node.get("unmapped"))["status"]["phase"] == "Pending"


async def test_one_container_restarts_all_of_its_pod(node: Node) -> None:
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}
    mount = [{"name": "kept", "mountPath": "/kept"}]
    count = "echo again >> /kept/runs; wc -l < /kept/runs"
    wait = "until test -e /kept/up; do sleep 0.05; done; rm /kept/up; "
    wait += f"test $(wc -l < /kept/runs) = 2 || exit 88; {FOREVER}"
    made = pod(
        "together",
        shell(f"touch /kept/up; {FOREVER}", volumeMounts=mount),
        shell(wait, volumeMounts=mount, restartPolicy="Never", restartPolicyRules=[rule]),
        initContainers=[{"name": "init", **shell(count, volumeMounts=mount)}],
        volumes=[{"name": "kept", "emptyDir": {}}],
        restartPolicy="Never",
    )
    async with node.running_agent():
        await node.create(made)
        seen = await node.wait_pod(
            "together", lambda o: [c["restartCount"] for c in statuses(o)] == [1, 1] and is_ready(o)
        )
        for status in (*statuses(seen), *seen["status"]["initContainerStatuses"]):
            ended = status["lastState"]["terminated"]
            assert (ended["reason"], ended["exitCode"]) == ("RestartingAllContainers", 137)
        told = {c["type"]: c["status"] for c in seen["status"]["conditions"]}
        assert told["AllContainersRestarting"] == "False"
        assert node.log(seen, "init", 1) == "2"


def statuses(obj: Obj) -> list[Obj]:
    return list((obj.get("status") or {}).get("containerStatuses") or [])
