"""kubectl logs against real containers."""

import pytest

from .conftest import FOREVER, Cluster, pod, shell

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_logs_in_all_ways(cluster: Cluster) -> None:
    script = f"for i in 1 2 3; do echo line $i; done; echo wrong >&2; {FOREVER}"
    await cluster.run(pod("logs", shell(script)))
    done = await cluster.kubectl("logs", "logs")
    assert (done.code, done.err) == (0, "")
    assert sorted(done.out.splitlines()) == ["line 1", "line 2", "line 3", "wrong"]
