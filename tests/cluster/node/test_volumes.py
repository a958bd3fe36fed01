"""Volumes on one node: hostPath's types, sub-paths, propagation, disks, images, memory, groups."""

import asyncio
import contextlib
import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sagong.api.types import Obj
from sagong.local.images import BUSYBOX_IMAGE
from sagong.node.cri.client import CriClient
from sagong.node.volumes import mounts

from .conftest import FOREVER, NODE, Node, is_ready, phase_is, pod, shell

MIB = 1 << 20


def mounting(script: str, *, at: str = "/v", **mount: Any) -> Obj:
    return shell(script, volumeMounts=[{"name": "v", "mountPath": at, **mount}])


def waiting(obj: Obj, index: int = 0) -> Obj:
    statuses = (obj.get("status") or {}).get("containerStatuses") or [{}] * (index + 1)
    return dict((statuses[index].get("state") or {}).get("waiting") or {})


async def bound_claim(node: Node, name: str, size: str = "8Mi", **volume: Any) -> None:
    """A claim that is bound to a volume with these fields."""
    metadata = {"name": name, "namespace": "default"}
    mode = {"volumeMode": volume.get("volumeMode", "Filesystem")}
    modes = {"accessModes": ["ReadWriteOnce"]}
    claim = {**modes, **mode, "resources": {"requests": {"storage": size}}}
    claim |= {"storageClassName": "", "volumeName": f"pv-{name}"}
    made = await node.client.create("persistentvolumeclaims", {"metadata": metadata, "spec": claim})
    reference = {**metadata, "kind": "PersistentVolumeClaim", "uid": made["metadata"]["uid"]}
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE]}
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}
    spec = {"capacity": {"storage": size}, **modes, "claimRef": reference}
    spec |= {"nodeAffinity": affinity, **volume}
    await node.client.create(
        "persistentvolumes", {"metadata": {"name": f"pv-{name}"}, "spec": spec}
    )
    status = {"phase": "Bound", "capacity": {"storage": size}, **modes}
    await node.client.update(
        "persistentvolumeclaims", {**made, "status": status}, subresource="status"
    )


def claim_volume(name: str) -> Obj:
    return {"name": "v", "persistentVolumeClaim": {"claimName": name}}


@contextlib.contextmanager
def loop_device(image: Path, size: int) -> Iterator[Path]:
    with image.open("wb") as file:
        file.truncate(size)
    command = ["losetup", "--find", "--show", str(image)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    device = done.stdout.strip()
    try:
        yield Path(device)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


def _grow(image: Path, device: Path, size: int) -> None:
    with image.open("r+b") as file:
        file.truncate(size)
    subprocess.run(["losetup", "--set-capacity", str(device)], check=True)


HOST_PATHS = [
    # type, what is there, the refusal ("" if it is taken)
    ("", "nothing", ""),
    ("Directory", "directory", ""),
    ("Directory", "file", "is not a directory"),
    ("DirectoryOrCreate", "nothing", ""),
    ("File", "file", ""),
    ("File", "directory", "is not a file"),
    ("File", "nothing", "is not a file"),
    ("FileOrCreate", "nothing", ""),
    ("FileOrCreate", "directory", "is not a file"),
    ("Socket", "socket", ""),
    ("Socket", "file", "is not a socket file"),
    ("CharDevice", "character", ""),
    ("CharDevice", "directory", "is not a character device"),
    ("BlockDevice", "file", "is not a block device"),
]


def _make(path: Path, what: str) -> None:
    match what:
        case "directory":
            path.mkdir()
        case "file":
            path.write_text("here")
        case "socket":
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(str(path))
        case "character":
            os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))


async def test_types_of_host_paths(node: Node, tmp_path: Path) -> None:
    """A pod for each; what is refused starts once the path has become what it should be."""
    base = Path("/tmp") / f"hp-{os.getpid()}"
    base.mkdir()
    try:
        async with node.running_agent():
            for number, (type_, what, _) in enumerate(HOST_PATHS):
                path = base / str(number)
                _make(path, what)
                source = {"path": str(path), "type": type_} if type_ else {"path": str(path)}
                volume = {"name": "v", "hostPath": source}
                await node.create(pod(f"hp-{number}", mounting(FOREVER), volumes=[volume]))
            for number, (_, _, refusal) in enumerate(HOST_PATHS):
                name = f"hp-{number}"
                if not refusal:
                    await node.wait_pod(name, is_ready)
                    continue
                assert await node.wait_event(name, "FailedMount") == (
                    'MountVolume.SetUp failed for volume "v" : hostPath type check failed: '
                    f"{base / str(number)} {refusal}"
                )
            made = (
                stat.S_IMODE((base / "3").stat().st_mode),
                stat.S_IMODE((base / "7").stat().st_mode),
            )
            assert made == (0o755, 0o644)
            (base / "6").write_text("late")
            await node.wait_pod("hp-6", is_ready)
            await asyncio.gather(*(node.delete(f"hp-{n}") for n in range(len(HOST_PATHS))))
    finally:
        for entry in base.iterdir():
            entry.rmdir() if entry.is_dir() else entry.unlink()
        base.rmdir()


async def test_sub_paths_stay_inside(node: Node) -> None:
    make = (
        "ln -s / /v/root; ln -s ../../../../../.. /v/up; mkdir -p /v/real/deep; "
        "echo inside >/v/real/deep/f; ln -s real/deep /v/link; ln -s /v/real /v/absolute"
    )
    cases = {
        "root": "failed to prepare subPath for volumeMount",
        "up": "failed to prepare subPath for volumeMount",
        "root/etc": "failed to prepare subPath for volumeMount",
        "absolute": "failed to prepare subPath for volumeMount",
        "link": "",
        "link/f": "",
        "new/directory": "",
    }
    escapes = [
        mounting(f"cat /s /s/f 2>/dev/null; stat -c %a /s; {FOREVER}", at="/s", subPath=path)
        for path in cases
    ]
    expanded = mounting(f"cat /s/f; {FOREVER}", at="/s", subPathExpr="$(WHERE)/deep") | {
        "env": [{"name": "WHERE", "value": "real"}]
    }
    volume = {"name": "v", "emptyDir": {}}
    init = {**mounting(make), "name": "maker", "image": BUSYBOX_IMAGE}
    async with node.running_agent():
        await node.create(pod("paths", *escapes, expanded, initContainers=[init], volumes=[volume]))
        refused = [n for n, text in enumerate(cases.values()) if text]

        def is_settled(obj: Obj) -> bool:
            statuses = (obj.get("status") or {}).get("containerStatuses") or []
            return bool(statuses) and all(
                ("waiting" in s["state"] and s["state"]["waiting"].get("message"))
                if n in refused
                else "running" in s["state"]
                for n, s in enumerate(statuses)
            )

        seen = await node.wait_pod("paths", is_settled)
        for number, (path, text) in enumerate(cases.items()):
            if text:
                assert waiting(seen, number)["reason"] == "CreateContainerConfigError"
                assert text in waiting(seen, number)["message"], path
        names = list(cases)
        for path, first in (("link", "inside"), ("link/f", "inside"), ("new/directory", "777")):
            assert (await node.wait_log(seen, f"c{names.index(path)}"))[0] == first, path
        assert await node.wait_log(seen, f"c{len(cases)}") == ["inside"]
        await node.delete("paths")
        assert not mounts.mounts_under(node.config.data_dir / "pods")


async def test_propagation(node: Node) -> None:
    """What the node mounts later is seen by who asks for it; what a container mounts, likewise."""
    async with node.running_agent():
        shared = node.config.data_dir / "plugins" / "shared"
        for name in ("from-node", "from-pod"):
            (shared / name).mkdir(parents=True, exist_ok=True)
        look = f"until [ -e /tmp/stop ]; do sleep 0.1; done; {FOREVER}"
        containers = [
            mounting(look),
            mounting(look, mountPropagation="HostToContainer"),
            {
                **mounting(
                    f"mount -t tmpfs none /v/from-pod; touch /v/from-pod/f; {FOREVER}",
                    mountPropagation="Bidirectional",
                ),
                "securityContext": {"privileged": True},
            },
        ]
        volume = {"name": "v", "hostPath": {"path": str(shared)}}
        await node.create(pod("spread", *containers, volumes=[volume]))
        seen = await node.wait_pod("spread", is_ready)
        try:
            await node.wait(lambda: (shared / "from-pod" / "f").exists())
            mounts.mount("tmpfs", shared / "from-node", "tmpfs")
            (shared / "from-node" / "f").touch()

            async def sees(index: int, path: str) -> bool:
                id_ = seen["status"]["containerStatuses"][index]["containerID"]
                done = await agent_exec(node, id_, ["ls", path])
                return bool(done.exit_code == 0 and done.stdout.strip() == b"f")

            assert [await sees(n, "/v/from-node") for n in range(3)] == [False, True, True]
            assert [await sees(n, "/v/from-pod") for n in range(3)] == [False, True, True]
        finally:
            mounts.unmount_under(shared / "from-pod")
            mounts.unmount_under(shared / "from-node")
            await node.delete("spread")


async def agent_exec(node: Node, container_id: str, command: list[str]) -> Any:
    async with CriClient(node.config.runtime_endpoint) as cri:
        return await cri.exec_sync(
            container_id.removeprefix("containerd://"), command, timeout_seconds=10
        )


async def test_local_disks(node: Node, tmp_path: Path) -> None:
    """One as it is (Block), one with a filesystem that is made at first use, and grows."""
    with (
        loop_device(tmp_path / "raw", 4 * MIB) as raw,
        loop_device(tmp_path / "disk", 32 * MIB) as disk,
    ):
        await bound_claim(node, "raw", volumeMode="Block", local={"path": str(raw)})
        await bound_claim(node, "disk", local={"path": str(disk), "fsType": "ext4"})
        await bound_claim(node, "none", volumeMode="Block", local={"path": str(tmp_path)})
        devices = {"volumeDevices": [{"name": "v", "devicePath": "/dev/raw0"}]}
        write = "printf raw >/tmp/x; dd if=/tmp/x of=/dev/raw0 conv=fsync 2>/dev/null"
        show = "grep ' /v ' /proc/mounts | cut -d' ' -f3; touch /v/mine; stat -c %g /v/mine"
        group = {"securityContext": {"fsGroup": 4000}}
        async with node.running_agent():
            await node.create(pod("raw", shell(f"{write}; {FOREVER}", **devices),
                                  volumes=[claim_volume("raw")]))  # fmt: skip
            await node.create(pod("disk", mounting(f"{show}; df -m /v | tail -1; {FOREVER}"),
                                  volumes=[claim_volume("disk")], **group))  # fmt: skip
            await node.create(pod("none", shell(FOREVER, **devices),
                                  volumes=[claim_volume("none")]))  # fmt: skip
            await node.wait_pod("raw", is_ready)
            await node.wait(lambda: raw.open("rb").read(3) == b"raw")
            seen = await node.wait_pod("disk", is_ready)
            assert (await node.wait_log(seen, "c0", 2))[:2] == ["ext4", "4000"]
            text = await node.wait_event("none", "FailedMapVolume")
            assert text.endswith(f'path "{tmp_path}" is not a block device')
            # The disk grows; so does the filesystem, while it is in use.
            _grow(tmp_path / "disk", disk, 64 * MIB)
            patch = {"spec": {"capacity": {"storage": "64Mi"}}}
            await node.client.patch("persistentvolumes", "pv-disk", patch)
            if node.config.may_lower_oom_score:  # CAP_SYS_RESOURCE, which growing wants too
                await node.wait_event("disk", "FileSystemResizeSuccessful")
                path = node.config.pod_dir(seen["metadata"]["uid"]) / "volumes"
                room = os.statvfs(path / "kubernetes.io~local-volume" / "pv-disk")
                assert room.f_blocks * room.f_frsize > 48 * MIB
            else:
                text = await node.wait_event("disk", "VolumeResizeFailed")
                assert "Permission denied to resize filesystem" in text
            for name in ("raw", "disk", "none"):
                await node.delete(name)
            assert not mounts.mounts_under(node.config.data_dir / "pods")


async def test_a_volume_of_another_node(node: Node, tmp_path: Path) -> None:
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["elsewhere"]}
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}
    await bound_claim(node, "far", local={"path": str(tmp_path)}, nodeAffinity=affinity)
    async with node.running_agent():
        await node.create(pod("far", mounting(FOREVER), volumes=[claim_volume("far")]))
        assert await node.wait_event("far", "FailedMount") == (
            'MountVolume.NodeAffinity check failed for volume "pv-far" : '
            "no matching NodeSelectorTerms"
        )
        await node.delete("far")


async def test_image_volumes(node: Node) -> None:
    """The image's files, read-only; a part of them by subPath; one that is not there."""
    image = {"reference": BUSYBOX_IMAGE, "pullPolicy": "IfNotPresent"}
    try_write = "touch /v/x 2>/dev/null || echo refused"
    script = f"/v/bin/busybox echo ran; {try_write}; ls /part | head -1; {FOREVER}"
    container = mounting(script)
    container["volumeMounts"] += [{"name": "v", "mountPath": "/part", "subPath": "bin"}]
    absent = {"reference": "sagong.local/none:1", "pullPolicy": "Never"}
    async with node.running_agent():
        await node.create(pod("image", container, volumes=[{"name": "v", "image": image}]))
        await node.create(
            pod("absent", mounting(FOREVER), volumes=[{"name": "v", "image": absent}])
        )
        seen = await node.wait_pod("image", is_ready)
        lines = await node.wait_log(seen, "c0", 3)
        assert lines[0] == "ran"
        assert "refused" in lines
        assert "[" in lines[-1]  # busybox's first command by name
        seen = await node.wait_pod(
            "absent", lambda p: waiting(p).get("reason") == "ErrImageNeverPull"
        )
        await node.delete("image")
        await node.delete("absent")
        assert not mounts.mounts_under(node.config.data_dir / "pods")
    assert "kubernetes.io~image" not in _snapshots(node)


def _snapshots(node: Node) -> str:
    command = ["ctr", "--address", str(node.runtime.socket), "-n", "k8s.io", "snapshots", "ls"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


async def test_memory_and_read_only_mounts(node: Node) -> None:
    """A tmpfs has the size of its limit, or of the pod's memory; a wish nobody can fulfil."""
    volumes = [
        {"name": "limited", "emptyDir": {"medium": "Memory", "sizeLimit": "2Mi"}},
        {"name": "pod", "emptyDir": {"medium": "Memory"}},
    ]
    script = (
        "for v in limited pod; do df -k /$v | tail -1 | awk '{print $2}'; done; "
        "dd if=/dev/zero of=/limited/f bs=1M count=4 2>/dev/null || echo full"
    )
    using = shell(
        script,
        volumeMounts=[{"name": v["name"], "mountPath": f"/{v['name']}"} for v in volumes],
        resources={"limits": {"memory": "64Mi"}},
    )
    recursive = mounting(FOREVER, readOnly=True, recursiveReadOnly="Enabled")
    possible = mounting(f"touch /v/x || echo no; {FOREVER}", readOnly=True,
                        recursiveReadOnly="IfPossible")  # fmt: skip
    empty = [{"name": "v", "emptyDir": {}}]
    async with node.running_agent():
        await node.create(pod("sized", using, volumes=volumes, restartPolicy="Never"))
        await node.create(pod("recursive", recursive, possible, volumes=empty))
        sized = await node.wait_pod("sized", phase_is("Succeeded"))
        assert node.log(sized, "c0").splitlines() == ["2048", "65536", "full"]
        seen = await node.wait_pod("recursive", lambda p: bool(waiting(p).get("message")))
        assert waiting(seen)["message"] == (
            'volume "v" requested recursive read-only mode, but it is not supported by the runtime'
        )
        await node.wait_pod("recursive", lambda p: not waiting(p, 1))
        await node.delete("sized")
        await node.delete("recursive")


async def test_groups_of_volumes(node: Node, tmp_path: Path) -> None:
    """fsGroup goes through a volume, or only where its root does not fit."""
    for name in ("always", "mismatch"):
        base = tmp_path / name
        base.mkdir()
        (base / "file").write_text("")
        (base / "link").symlink_to("/etc/passwd")
        os.chown(base / "file", 0, 7)
        await bound_claim(node, name, local={"path": str(base)})
    os.chown(tmp_path / "mismatch", 0, 4000)
    (tmp_path / "mismatch").chmod(0o2770)
    before = os.stat("/etc/passwd")
    async with node.running_agent():
        for name, policy in (("always", "Always"), ("mismatch", "OnRootMismatch")):
            context = {"fsGroup": 4000, "fsGroupChangePolicy": policy}
            await node.create(pod(name, mounting(FOREVER), volumes=[claim_volume(name)],
                                  securityContext=context))  # fmt: skip
        for name in ("always", "mismatch"):
            await node.wait_pod(name, is_ready)
            await node.delete(name)
    groups = {n: (tmp_path / n / "file").stat().st_gid for n in ("always", "mismatch")}
    assert groups == {"always": 4000, "mismatch": 7}
    assert stat.S_IMODE((tmp_path / "always").stat().st_mode) == 0o2775
    assert os.stat("/etc/passwd").st_gid == before.st_gid
