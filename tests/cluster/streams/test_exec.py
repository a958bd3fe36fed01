"""kubectl exec, attach, cp and run against real containers, over both protocols."""

import asyncio
import os
import pty
from pathlib import Path

import pytest
from kubernetes import client as official
from kubernetes import config as official_config
from kubernetes.stream import stream

from .conftest import BUSYBOX_IMAGE, FOREVER, Cluster, pod, shell

pytestmark = pytest.mark.asyncio(loop_scope="session")
both_protocols = pytest.mark.parametrize("websockets", ["true", "false"])


def env(websockets: str) -> dict[str, str]:
    return {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": websockets}


@both_protocols
async def test_exec(cluster: Cluster, websockets: str) -> None:
    name = f"exec-{websockets}"
    await cluster.run(pod(name, shell(FOREVER)))
    script = "echo out; echo err >&2; exit 3"
    done = await cluster.kubectl("exec", name, "--", "sh", "-c", script, **env(websockets))
    assert (done.code, done.out) == (3, "out\n")
    assert done.err == "err\ncommand terminated with exit code 3\n"
    # The end of the input reaches the command, however much there was.
    done = await cluster.kubectl(
        "exec", "-i", name, "--", "wc", "-c", input=b"x" * 3_000_000, **env(websockets)
    )
    assert (done.code, done.out) == (0, "3000000\n")
    done = await cluster.kubectl("exec", name, "--", "/absent", **env(websockets))
    assert done.code == 126 or "not found" in done.err or "no such file" in done.err
    done = await cluster.kubectl("exec", name, "-c", "x", "--", "true", **env(websockets))
    assert (done.code, done.err) == (
        1,
        f"Error from server (BadRequest): container x is not valid for pod {name}\n",
    )


@both_protocols
async def test_a_terminal(cluster: Cluster, websockets: str) -> None:
    name = f"tty-{websockets}"
    await cluster.run(pod(name, shell(FOREVER)))
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    import termios

    termios.tcsetwinsize(theirs, (33, 77))
    process = await asyncio.create_subprocess_exec(
        *cluster.command("exec", "-it", name, "--", "sh", "-c", "sleep 0.5; stty size"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, **env(websockets)},
    )
    async with asyncio.timeout(20):
        assert await process.wait() == 0
    assert b"33 77\r\n" in os.read(ours, 4096)
    os.close(ours)
    os.close(theirs)


@both_protocols
async def test_attach(cluster: Cluster, websockets: str) -> None:
    name = f"attach-{websockets}"
    cat = {"command": ["cat"], "stdin": True, "stdinOnce": True}
    await cluster.run(pod(name, cat, restartPolicy="Never"))
    done = await cluster.kubectl("attach", "-i", name, input=b"hello\n", **env(websockets))
    assert "hello\n" in done.out


async def test_copies_in_both_directions(cluster: Cluster, tmp_path: Path) -> None:
    await cluster.run(pod("copies", shell(FOREVER)))
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(os.urandom(2_000_000))
    done = await cluster.kubectl("cp", str(there), "copies:/tmp/file")
    assert done.code == 0, done.err
    done = await cluster.kubectl("cp", "copies:/tmp/file", str(back))
    assert done.code == 0, done.err
    assert back.read_bytes() == there.read_bytes()


async def test_run_and_remove(cluster: Cluster) -> None:
    done = await cluster.kubectl(
        "run", "once", "--rm", "-i", "--restart=Never", f"--image={BUSYBOX_IMAGE}",
        "--image-pull-policy=Never", "--", "sh", "-c", "sleep 1; echo done; exit 4",
        input=b"",
    )  # fmt: skip
    assert done.code == 4
    assert "done\n" in done.out
    gone = await cluster.kubectl("get", "pod", "once")
    assert "NotFound" in gone.err


async def test_many_at_once(cluster: Cluster) -> None:
    await cluster.run(pod("many", shell(FOREVER)))
    jobs = (cluster.kubectl("exec", "many", "--", "echo", str(i)) for i in range(12))
    assert [done.out for done in await asyncio.gather(*jobs)] == [f"{i}\n" for i in range(12)]


async def test_the_official_python_client(cluster: Cluster) -> None:
    await cluster.run(pod("python", shell(FOREVER)))

    def talk() -> tuple[str, int, str]:
        api = official.CoreV1Api(official_config.new_client_from_config(str(cluster.kubeconfig)))
        arguments = {"stderr": True, "stdout": True, "tty": False}
        whole = stream(
            api.connect_get_namespaced_pod_exec, "python", "default",
            command=["echo", "hi"], stdin=False, **arguments,
        )  # fmt: skip
        open_ = stream(
            api.connect_get_namespaced_pod_exec, "python", "default",
            command=["sh"], stdin=True, _preload_content=False, **arguments,
        )  # fmt: skip
        open_.write_stdin("echo one; exit 7\n")
        open_.run_forever(timeout=10)
        output = open_.read_stdout()
        code = int(open_.returncode)
        open_.close()
        return whole, code, output

    assert await asyncio.to_thread(talk) == ("hi\n", 7, "one\n")


async def test_only_upgrades(cluster: Cluster) -> None:
    await cluster.run(pod("plain", shell(FOREVER)))
    path = "/api/v1/namespaces/default/pods/plain/exec?command=true"
    done = await cluster.kubectl("get", "--raw", path)
    assert done.err == "Error from server (BadRequest): Upgrade request required\n"
