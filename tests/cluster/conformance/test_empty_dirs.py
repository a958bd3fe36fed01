"""emptyDir volumes: modes, users and media, and what containers of a pod share by them."""

from typing import Any

from tests.cluster.conformance.cluster import Space
from tests.cluster.manifests import FOREVER, is_ready, phase_is, pod, shell

from sagong.api.types import Obj

CONTENT = "mount-tester new file"
SHOW = "stat -c '%A %u' /v/f; cat /v/f; grep ' /v ' /proc/mounts | cut -d' ' -f3"
NON_ROOT = 1001


def _volume(name: str, medium: str) -> Obj:
    return {"name": name, "emptyDir": {"medium": medium} if medium else {}}


def _mounting(script: str, volume: str, **fields: Any) -> Obj:
    return shell(script, volumeMounts=[{"name": volume, "mountPath": "/v"}], **fields)


async def test_files_of_every_mode_user_and_medium(space: Space) -> None:
    cases: dict[str, tuple[int, str, str]] = {
        f"{user or 'root'}-{mode}-{medium or 'default'}".lower(): (user, mode, medium)
        for user in (0, NON_ROOT)
        for mode in ("644", "666", "777")
        for medium in ("", "Memory")
    }
    symbols = {"644": "-rw-r--r--", "666": "-rw-rw-rw-", "777": "-rwxrwxrwx"}
    containers = [
        _mounting(
            f"echo '{CONTENT}' >/v/f; chmod {mode} /v/f; {SHOW}",
            name,
            name=name,
            securityContext={"runAsUser": user},
        )
        for name, (user, mode, _) in cases.items()
    ]
    volumes = [_volume(name, medium) for name, (_, _, medium) in cases.items()]
    manifest = pod("modes", *containers, volumes=volumes, restartPolicy="Never")
    await space.run(manifest, phase_is("Succeeded"))
    for name, (user, mode, medium) in cases.items():
        seen = (await space.logs("modes", name)).splitlines()
        assert seen[:2] == [f"{symbols[mode]} {user}", CONTENT], name
        assert (seen[2] == "tmpfs") == (medium == "Memory"), name


async def test_the_mode_of_a_volume(space: Space) -> None:
    script = "stat -c %A /v; grep ' /v ' /proc/mounts | cut -d' ' -f3"
    media = {"default": "", "memory": "Memory"}
    containers = [_mounting(script, name, name=name) for name in media]
    volumes = [_volume(name, medium) for name, medium in media.items()]
    manifest = pod("mode", *containers, volumes=volumes, restartPolicy="Never")
    await space.run(manifest, phase_is("Succeeded"))
    seen = {name: (await space.logs("mode", name)).split() for name in media}
    # The sticky bit is a tmpfs's own; the permissions are the same.
    assert seen["default"][0] == "drwxrwxrwx"
    assert seen["memory"][0] == "drwxrwxrwt"
    assert seen["memory"][1] == "tmpfs"
    assert seen["default"][1] != "tmpfs"


async def test_containers_share_a_volume(space: Space) -> None:
    """The main container waits for the file that the other one drops, and reads it."""
    main = _mounting(f"until [ -e /v/ready ]; do sleep 0.1; done; cat /v/ready; {FOREVER}", "both")
    other = _mounting(f"sleep 0.3; echo dropped >/v/.new; mv /v/.new /v/ready; {FOREVER}", "both")
    manifest = pod("shared", main, other, volumes=[_volume("both", "")])
    await space.run(manifest, is_ready)
    assert await space.shell("shared", "until [ -e /v/ready ]; do sleep 0.1; done; cat /v/ready",
                             "c0") == "dropped\n"  # fmt: skip
    await space.shell("shared", "echo back >/v/answer", "c0")
    assert await space.shell("shared", "cat /v/answer", "c1") == "back\n"
