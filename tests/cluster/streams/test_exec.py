"""kubectl exec against real containers."""

import pytest

from .conftest import FOREVER, Cluster, pod, shell

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_exec(cluster: Cluster) -> None:
    await cluster.run(pod("exec", shell(FOREVER)))
    for websockets in ("true", "false"):
        env = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": websockets}
        done = await cluster.kubectl(
            "exec", "exec", "--", "sh", "-c", "echo out; echo err >&2; exit 3", **env
        )
        assert (done.code, done.out) == (3, "out\n")
        assert done.err == "err\ncommand terminated with exit code 3\n"
        done = await cluster.kubectl("exec", "-i", "exec", "--", "wc", "-c", input=b"x" * 300_000, **env)
        assert done.out == "300000\n"
