"""Keep the number of live pods of each ReplicationController equal to spec.replicas.

Reads: ReplicationController, Pod.  Writes: Pod, ReplicationController.status.
Invariant: that of ReplicaSets, whose plan this is.
"""

from sagong.api.types import Key
from sagong.controllers.pods.candidates import claims
from sagong.controllers.pods.replicas import Replicated, reconcile_replicas
from sagong.ctl.controller import Controller, Env, Result

CONTROLLER = Controller(
    name="replication",
    reconciles="replicationcontrollers",
    watches=(claims("pods", "replicationcontrollers", "ReplicationController"),),
    workers=5,
)
_KIND = Replicated(resource="replicationcontrollers", failure="ReplicaFailure")


async def reconcile(key: Key, env: Env) -> Result:
    return await reconcile_replicas(_KIND, key, env)
