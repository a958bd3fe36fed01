"""Keep the number of live pods of each ReplicaSet equal to spec.replicas.

Reads: ReplicaSet, Pod.  Writes: Pod (create, delete, adopt, release), ReplicaSet.status.
Invariant: never act while one of our own earlier writes is still unseen in the cache.
"""

from sagong.api.types import Key
from sagong.controllers.pods.candidates import claims
from sagong.controllers.pods.replicas import Replicated, reconcile_replicas
from sagong.ctl.controller import Controller, Env, Result

CONTROLLER = Controller(
    name="replicaset",
    reconciles="replicasets.apps",
    watches=(claims("pods", "replicasets.apps", "ReplicaSet"),),
    workers=5,
)
_KIND = Replicated(resource="replicasets.apps", failure="ReplicaFailure")


async def reconcile(key: Key, env: Env) -> Result:
    return await reconcile_replicas(_KIND, key, env)
