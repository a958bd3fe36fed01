"""[sig-node] ImageVolume: an image pulled from a registry and seen as files."""

from .conftest import Node, phase_is, pod, shell
from .registry import registry


async def test_an_image_is_pulled_always_and_mounted(node: Node) -> None:
    files = {"data.json": "{}", "dir/hello.txt": "hello"}
    async with registry(files) as (reference, asked), node.running_agent():
        for count in (1, 2):
            name = f"reader-{count}"
            script = "cat /volume/dir/hello.txt; touch /volume/new || echo refused"
            mounts = [{"name": "v", "mountPath": "/volume"}]
            image = {"reference": reference, "pullPolicy": "Always"}
            await node.create(
                pod(
                    name,
                    shell(script, volumeMounts=mounts),
                    restartPolicy="Never",
                    volumes=[{"name": "v", "image": image}],
                )
            )
            seen = await node.wait_pod(name, phase_is("Succeeded"))
            assert "hello" in node.log(seen, "c0")
            assert "refused" in node.log(seen, "c0")
            told = await node.events(name)
            assert ("Pulling", f'Pulling image "{reference}"') in told
            assert len(asked) >= count  # it asks again although the image is there
