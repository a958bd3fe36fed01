"""Keep one pod of each DaemonSet on every node that its template admits.

Reads: DaemonSet, Pod, Node, ControllerRevision.
Writes: Pod (create, delete, adopt, release), ControllerRevision, DaemonSet.status.
Invariant: never act while one of our own earlier writes is still unseen in the cache. Pods are
bound by the scheduler; node affinity to metadata.name leaves it one choice.
"""

from collections.abc import Iterable, Sequence

from sagong.api.meta import key_of, labels_of, name_of, uid_of
from sagong.api.types import Key, Obj
from sagong.controllers.apps.daemonset_backoff import FailedPods
from sagong.controllers.apps.daemonset_plan import Plan, Seen, plan
from sagong.controllers.pods import revisions
from sagong.controllers.pods.candidates import ORPHAN_INDEX, candidates, claims, matches_of
from sagong.controllers.pods.control import create_pods, delete_pods, namespace_is_terminating
from sagong.controllers.pods.history import claim_revisions, delete_revision, write_current
from sagong.controllers.pods.state import seconds_to_available
from sagong.controllers.pods.template import CONTROLLER_REVISION_HASH
from sagong.ctl.controller import DONE, Cache, Controller, Env, Reconcile, Result, Watch, after
from sagong.ctl.ownership import claim

RESOURCE = "daemonsets.apps"


def _placement(node: Obj) -> tuple[object, object, object]:
    """What a DaemonSet can tell nodes apart by; heartbeats change none of it."""
    spec = node.get("spec") or {}
    return labels_of(node), spec.get("taints"), spec.get("unschedulable")


def _node_changed(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    if old is not None and new is not None and _placement(old) == _placement(new):
        return ()
    return [key_of(daemon_set) for daemon_set in cache.list(RESOURCE)]


CONTROLLER = Controller(
    name="daemon-set",
    component="daemonset-controller",
    reconciles=RESOURCE,
    watches=(
        claims("pods", RESOURCE, "DaemonSet"),
        Watch("nodes", _node_changed),
        Watch(revisions.RESOURCE, None, ORPHAN_INDEX),
    ),
    workers=2,
)


def reconciler() -> Reconcile:
    """Reconcile with a memory of the nodes that failed pods."""
    failed_pods = FailedPods()

    async def reconcile(key: Key, env: Env) -> Result:
        return await _reconcile(key, env, failed_pods)

    return reconcile


async def _reconcile(key: Key, env: Env, failed_pods: FailedPods) -> Result:
    daemon_set = env.cache.get(RESOURCE, key.namespace, key.name)
    if daemon_set is None:
        return DONE
    selector = daemon_set["spec"].get("selector") or {}
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        text = "This daemon set is selecting all pods. A non-empty selector is required."
        env.events.emit(daemon_set, "Warning", "SelectingAll", text)
        return DONE
    history = await claim_revisions(env, RESOURCE, daemon_set)
    current = revisions.current(daemon_set, history, hash_label=CONTROLLER_REVISION_HASH)
    await write_current(env, RESOURCE, daemon_set, current)
    found = candidates(env.cache, "pods", daemon_set)
    pods = await claim(env.client, RESOURCE, daemon_set, "pods", found, matches_of(daemon_set))
    hash_ = labels_of(current.revision).get(CONTROLLER_REVISION_HASH, "")
    nodes = sorted(env.cache.list("nodes"), key=name_of)
    uid, generation = uid_of(daemon_set), (daemon_set.get("status") or {}).get("observedGeneration")
    waits = failed_pods.waits(uid, generation or 0, env.clock.now())
    decided = plan(Seen(daemon_set, nodes, pods, hash_, waits), now=env.clock.now())
    failed_pods.note(uid, generation or 0, decided.failed_nodes, env.clock.now())
    await _apply(env, daemon_set, decided)
    await _truncate(env, daemon_set, history, current.revision, pods)
    seconds = daemon_set["spec"].get("minReadySeconds") or 0
    left = seconds_to_available(pods, seconds, env.clock.now())
    times = [t for t in (left, decided.look_again) if t is not None]
    return after(min(times)) if times else DONE


async def _apply(env: Env, daemon_set: Obj, decided: Plan) -> None:
    """Events, creations, deletions, and the status whatever came of them. Raises ApiError."""
    for event in decided.events:
        env.events.emit(daemon_set, *event)
    error = (await create_pods(env, daemon_set, decided.create)).failure
    if error is not None and namespace_is_terminating(error):
        error = None
    error = await delete_pods(env, daemon_set, decided.delete) or error
    if decided.status != (daemon_set.get("status") or {}):
        new = daemon_set | {"status": decided.status}
        await env.client.update(RESOURCE, new, subresource="status")
    if error is not None:
        raise error


async def _truncate(
    env: Env, daemon_set: Obj, history: Sequence[Obj], current: Obj, pods: Sequence[Obj]
) -> None:
    used = {labels_of(pod).get(CONTROLLER_REVISION_HASH) for pod in pods}
    live = {
        name_of(revision)
        for revision in history
        if labels_of(revision).get(CONTROLLER_REVISION_HASH) in used
    }
    live.add(name_of(current))
    limit = daemon_set["spec"].get("revisionHistoryLimit")
    for revision in revisions.past_history(history, live, 10 if limit is None else limit):
        await delete_revision(env, revision)
