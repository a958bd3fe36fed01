"""The shared cluster itself: pods of any node reach each other by service name."""

import asyncio

from tests.cluster.conformance.cluster import Space
from tests.cluster.manifests import is_ready, pod, shell


async def test_pods_of_every_node_answer_under_one_name(space: Space) -> None:
    labels = {"app": "web"}
    server = shell("hostname > /tmp/index.html; exec httpd -f -p 80 -h /tmp")
    pods = [
        pod(f"web-{node}", server, labels=labels, nodeName=node) for node in space.cluster.nodes
    ]
    service = {"selector": labels, "ports": [{"port": 80}]}
    await space.create("services", {"metadata": {"name": "web"}, "spec": service})
    await asyncio.gather(*(space.run(p, is_ready) for p in pods))
    names = {p["metadata"]["name"] for p in pods}
    script = "for i in $(seq 60); do wget -qO- http://web; done"
    seen = set((await space.shell(next(iter(sorted(names))), script)).split())
    assert seen == names
