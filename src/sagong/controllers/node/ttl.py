"""Tell kubelets how long they may keep secrets and config maps, by the size of the cluster.

Reads: Node.  Writes: Node annotation ``node.alpha.kubernetes.io/ttl``.
Invariant: the annotation is the seconds of the step that the number of nodes is on; steps overlap,
so that a node more or less does not rewrite all of them back and forth.
"""

from dataclasses import dataclass

from sagong.api.meta import annotations_of
from sagong.api.types import Key
from sagong.ctl.controller import DONE, Cache, Controller, Env, Reconcile, Result

ANNOTATION = "node.alpha.kubernetes.io/ttl"
RESYNC_SECONDS = 60.0  # how soon all nodes follow when the step changes

CONTROLLER = Controller(name="ttl", reconciles="nodes", resync_seconds=RESYNC_SECONDS)


@dataclass(frozen=True, slots=True)
class Step:
    nodes_min: int
    nodes_max: int
    seconds: int


# Upstream's figures.
STEPS = (
    Step(0, 100, 0),
    Step(90, 500, 15),
    Step(450, 1000, 30),
    Step(900, 2000, 60),
    Step(1800, 1 << 31, 300),
)


def plan(nodes: int, step: int) -> int:
    """The step that so many nodes are on, coming from another one."""
    while nodes > STEPS[step].nodes_max:
        step += 1
    while nodes < STEPS[step].nodes_min:
        step -= 1
    return step


def observe(key: Key, cache: Cache) -> str | None:
    """The node's annotation, "" if it has none."""
    node = cache.get("nodes", "", key.name)
    return None if node is None else annotations_of(node).get(ANNOTATION, "")


def reconciler() -> Reconcile:
    """Reconcile with a memory of the step; after a restart it is found anew."""
    step = 0

    async def reconcile(key: Key, env: Env) -> Result:
        nonlocal step
        annotated = observe(key, env.cache)
        if annotated is None:
            return DONE
        step = plan(env.cache.count("nodes"), step)
        wanted = str(STEPS[step].seconds)
        if annotated != wanted:
            patch = {"metadata": {"annotations": {ANNOTATION: wanted}}}
            await env.client.patch("nodes", key.name, patch)
        return DONE

    return reconcile
