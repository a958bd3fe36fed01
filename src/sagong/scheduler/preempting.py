"""Making room: who must go is decided purely (``preemption``); here it is said and done."""

import logging
from dataclasses import replace

from sagong.api import errors
from sagong.api.call import PatchType
from sagong.api.meta import condition, is_deleting, uid_of
from sagong.api.types import Obj
from sagong.client.client import Client
from sagong.core.clock import Clock, format_time
from sagong.core.ids import Ids
from sagong.ctl.controller import Events
from sagong.ctl.informer import SharedCache
from sagong.scheduler.cycle import Decision, Explanation
from sagong.scheduler.plugin import Cycle
from sagong.scheduler.pod import PodFacts
from sagong.scheduler.preemption import (
    NEVER,
    TERMINATING,
    Attempt,
    Candidate,
    Nominees,
    Search,
    budget_of,
    find_victims,
)
from sagong.scheduler.profile import Profile

log = logging.getLogger(__name__)

BUDGETS = "poddisruptionbudgets.policy"
REASON = "PreemptionByScheduler"
_NOT_STARTED = "~"  # sorts after every timestamp


class Preempting:
    """Finds victims and evicts them."""

    def __init__(
        self,
        client: Client,
        cache: SharedCache,
        events: Events,
        clock: Clock,
        ids: Ids,
        nominees: Nominees,
    ) -> None:
        self.nominees = nominees
        self._client = client
        self._cache = cache
        self._events = events
        self._clock = clock
        self._ids = ids
        cache.declare(BUDGETS)

    def ineligible(self, cycle: Cycle, decision: Decision) -> str:
        """Why a pod may make nobody go; "" if it may."""
        if cycle.template.never_preempts:
            return NEVER
        return TERMINATING if self._waits_for_victims(cycle, decision) else ""

    def search(self, profile: Profile, cycle: Cycle, decision: Decision) -> Attempt | None:
        """Candidates, the best first; None if eviction can help nowhere."""
        if decision.evictable is None or not decision.evictable.any():
            return None
        budgets = [budget_of(obj) for obj in self._cache.list(BUDGETS)]
        search = Search(profile, budgets, self.start_of)
        return find_victims(search, cycle, decision.evictable, self._ids)

    def settle(
        self, pod: PodFacts, explanation: Explanation, attempt: Attempt | None
    ) -> tuple[Explanation, Candidate | None]:
        """What is to be said of the pod, and whose eviction lets it in.

        A pod that victims are chosen for is nominated for their node from now on.
        """
        chosen = attempt.chosen if attempt else None
        if chosen is None:
            self.nominees.remove(pod.uid)
            reasons = attempt.reasons if attempt else {}
            return replace(explanation, no_victims=reasons), None
        self.nominees.set(pod, chosen.node)
        return replace(explanation, preempts=True), chosen

    async def carry_out(self, pod: PodFacts, candidate: Candidate) -> None:
        """Evict the victims. Raises an API error if one cannot be evicted."""
        for victim in candidate.victims:
            await self._evict(victim, pod, candidate.node)
        for nominee in self.nominees.outranked(pod, candidate.node):
            self.nominees.remove(nominee.uid)
            await self._patch_status(nominee, {"nominatedNodeName": None})

    def start_of(self, pod: PodFacts) -> str:
        """When a pod started, as a timestamp that sorts."""
        obj = self.object_of(pod) or {}
        return str((obj.get("status") or {}).get("startTime") or _NOT_STARTED)

    def object_of(self, pod: PodFacts) -> Obj | None:
        obj = self._cache.get("pods", pod.key.namespace, pod.key.name)
        return obj if obj is not None and uid_of(obj) == pod.uid else None

    async def _evict(self, victim: PodFacts, pod: PodFacts, node: str) -> None:
        obj = self.object_of(victim)
        if obj is None or is_deleting(obj):
            return
        target = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": REASON,
            "message": f"{pod.scheduler_name}: preempting to accommodate a higher priority pod",
            "lastTransitionTime": format_time(self._clock.now()),
            "observedGeneration": obj["metadata"].get("generation"),
        }
        await self._patch_status(victim, {"conditions": [target]})
        try:
            await self._client.delete(
                "pods", victim.key.name, namespace=victim.key.namespace, uid=victim.uid
            )
        except (errors.NotFound, errors.Conflict):
            return  # it has gone by itself
        message = f"Preempted by pod {pod.uid} on node {node}"
        self._events.emit(obj, "Normal", "Preempted", message)

    async def _patch_status(self, pod: PodFacts, status: Obj) -> None:
        try:
            await self._client.patch(
                "pods",
                pod.key.name,
                {"metadata": {"uid": pod.uid}, "status": status},
                namespace=pod.key.namespace,
                patch_type=PatchType.STRATEGIC,
                subresource="status",
            )
        except (errors.NotFound, errors.Conflict) as error:
            log.debug("status of %s: %s", pod.key, error)

    def _waits_for_victims(self, cycle: Cycle, decision: Decision) -> bool:
        """Whether victims of an earlier attempt are still about to leave the nominated node."""
        node = self.nominees.node_of(cycle.pod.uid)
        slot = cycle.state.columns.slot(node) if node else None
        if slot is None or decision.evictable is None or not decision.evictable[slot]:
            return False
        lower = (p for p in cycle.state.pods_on(node) if p.priority < cycle.pod.priority)
        return any(self._is_leaving(pod) for pod in lower)

    def _is_leaving(self, pod: PodFacts) -> bool:
        obj = self.object_of(pod)
        target = condition(obj, "DisruptionTarget") if obj and is_deleting(obj) else None
        return bool(target and target["status"] == "True" and target.get("reason") == REASON)
