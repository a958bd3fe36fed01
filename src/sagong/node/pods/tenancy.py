"""The pods that a node has taken, and what it has promised them: who may still come or grow."""

from collections.abc import Callable, Mapping, Sequence

from sagong.api.meta import uid_of
from sagong.api.quantities import parse
from sagong.api.types import Obj
from sagong.node.pods.admission import (
    Features,
    NodeState,
    Refused,
    is_critical,
    refusal,
    refusal_besides_resources,
    shortage,
    used_by,
)
from sagong.node.pods.model import Room
from sagong.node.pods.preemption import victims
from sagong.node.pods.resources import count


class Tenancy:
    """One an agent. Pods stand in it with the resources that were agreed to, until they end."""

    def __init__(
        self,
        allocatable: Mapping[str, str],
        node: Callable[[], Obj],
        *,
        features: Features,
        unsafe_sysctls: Sequence[str] = (),
    ) -> None:
        self._allocatable = {name: count(name, text) for name, text in allocatable.items()}
        self._node = node
        self._unsafe_sysctls = unsafe_sysctls
        self._features = features
        self._pods: dict[str, Obj] = {}
        self._waiting: dict[str, Callable[[], None]] = {}
        self.pressures: Sequence[str] = ()
        self.is_shutting_down = False

    def admit(self, pod: Obj) -> Refused | None:
        """Take a pod that is new to this node, or say why not."""
        found = refusal(pod, self._state(uid_of(pod)))
        if found is None:
            self.take(pod)
        return found

    def victims(self, pod: Obj) -> Sequence[str]:
        """Uids of pods that a critical one may take the place of; none if that would not do."""
        state = self._state(uid_of(pod))
        if not is_critical(pod) or refusal_besides_resources(pod, state) is not None:
            return ()
        return [uid_of(other) for other in victims(pod, state.others, shortage(pod, state))]

    def take(self, pod: Obj) -> None:
        """Note what a pod has been promised."""
        before = self._pods.get(uid_of(pod))
        self._pods[uid_of(pod)] = pod
        if before is not None and before is not pod:
            self._wake()

    def leave(self, uid: str) -> None:
        """A pod has ended: its room is free."""
        self._waiting.pop(uid, None)
        if self._pods.pop(uid, None) is not None:
            self._wake()

    def room(self, uid: str) -> Room:
        """What is there for one pod beside the others."""
        return Room(self._allocatable_now(), used_by(self._others(uid)))

    def wait(self, uid: str, wake: Callable[[], None]) -> None:
        """Call ``wake`` once room may have become free."""
        self._waiting[uid] = wake

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for wake in waiting.values():
            wake()

    def _others(self, uid: str) -> list[Obj]:
        return [pod for other, pod in self._pods.items() if other != uid]

    def _state(self, uid: str) -> NodeState:
        return NodeState(
            node=self._node(),
            allocatable=self._allocatable_now(),
            others=self._others(uid),
            pressures=self.pressures,
            is_shutting_down=self.is_shutting_down,
            unsafe_sysctls=self._unsafe_sysctls,
            features=self._features,
        )

    def _allocatable_now(self) -> Mapping[str, int]:
        """Our own figures, and extended resources that others have added to the Node's status."""
        told = (self._node().get("status") or {}).get("allocatable") or {}
        extra = {k: parse(v).value for k, v in told.items() if k not in self._allocatable}
        return {**extra, **self._allocatable}
