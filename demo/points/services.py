"""Point 3: services and their names, from every node and from outside."""

import json
import urllib.error
import urllib.request
from collections import Counter

from demo.points.application import ensure
from demo.scene import NODE_PORT, Obj, Scene, is_ready, names

REQUESTS = 60
# An even spread: each of n endpoints gets 1/n; with 60 random choices, a quarter of its share or
# twice it is past four standard deviations.
SHARE_MIN, SHARE_MAX = 0.25, 2.0


def show(scene: Scene) -> None:
    ensure(scene)
    scene.until(lambda: len(scene.web_pods()) == 3 and all(map(is_ready, scene.web_pods())), 60)
    web = scene.web_pods()
    service = scene.get("service/web")["spec"]["clusterIP"]
    for node in scene.nodes():
        _from_node(scene, node, service, web)
    for node in scene.nodes():
        _node_port(scene, node)
    _headless(scene, web)
    _unready(scene, web[0])


def _from_node(scene: Scene, node: str, address: str, web: list[Obj]) -> None:
    client = scene.client_on(node)
    for name in ("web", "web.shop", "web.shop.svc.cluster.local"):
        answer = scene.shell(client, f"timeout 5 wget -qO- http://{name}/")
        scene.fact(f"{name} answers on {node}", "pod=web-" in answer, answer)
    script = f"for i in $(seq {REQUESTS}); do timeout 5 wget -qO- http://{address}/; done"
    lines = scene.shell(client, script).splitlines()
    count = Counter(word for line in lines for word in line.split() if word.startswith("pod="))
    share = REQUESTS / len(web)
    even = len(count) == len(web) and all(
        SHARE_MIN * share <= n <= SHARE_MAX * share for n in count.values()
    )
    whole = sum(count.values()) == REQUESTS
    scene.fact(f"{REQUESTS} requests from {node} spread evenly", even and whole, dict(count))


def fetch(url: str) -> str:
    """The body of an answer, or what was wrong."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as response:
            return str(response.read().decode())
    except (OSError, urllib.error.URLError) as error:
        return f"{type(error).__name__}: {error}"


def _node_port(scene: Scene, node: str) -> None:
    answer = fetch(f"http://{scene.node_address(node)}:{NODE_PORT}/")
    scene.fact(f"the node port answers on {node} from outside", "pod=web-" in answer, answer)


def _headless(scene: Scene, web: list[Obj]) -> None:
    client = scene.client_on(scene.nodes()[0])
    answer = scene.shell(client, "nslookup web-headless.shop.svc.cluster.local; true")
    addresses = {pod["status"]["podIP"] for pod in web}
    scene.fact("a headless name gives the pods' addresses", all(a in answer for a in addresses))
    answer = scene.shell(client, "timeout 5 wget -qO- http://db-0.db:8080/history")
    scene.fact("a stateful pod answers under its own name", "db-0 started" in answer, answer)
    answer = scene.shell(client, "nslookup kubernetes.default.svc.cluster.local")
    api = scene.get("service/kubernetes", "-n", "default")["spec"]["clusterIP"]
    scene.fact("kubernetes.default is the API's address", api in answer, api)


def _unready(scene: Scene, pod: Obj) -> None:
    """A pod that says it is not ready gets nothing, and all of it again once it is."""
    name, address = pod["metadata"]["name"], scene.get("service/web")["spec"]["clusterIP"]
    client = scene.client_on(scene.nodes()[0])
    scene.shell(name, "mv /www/healthz /www/unhealthy")
    try:
        out = scene.until(lambda: not _in_slices(scene, name), 30)
        scene.fact("an unready pod leaves the endpoints", out, name)
        # The last endpoint slice must reach the node's rules; any later request shows it.
        script = f"sleep 1; for i in $(seq 40); do timeout 5 wget -qO- http://{address}/; done"
        answer = scene.shell(client, script)
        right = answer.count("pod=web-") == 40 and f"pod={name} " not in answer
        scene.fact("it gets none of 40 requests, and none is lost", right)
    finally:
        scene.shell(name, "mv /www/unhealthy /www/healthz")
    back = scene.until(lambda: _in_slices(scene, name), 30)
    scene.fact("it comes back when it is ready", back, names([pod]))


def _in_slices(scene: Scene, pod: str) -> bool:
    listing = scene.kubectl(
        "get", "endpointslices", "-l", "kubernetes.io/service-name=web", "-o", "json"
    )
    return any(
        endpoint["targetRef"]["name"] == pod and endpoint["conditions"].get("ready")
        for item in json.loads(listing)["items"]
        for endpoint in item.get("endpoints") or ()
    )
