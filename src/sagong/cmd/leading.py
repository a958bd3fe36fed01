"""One control plane at a time among servers over one store: leader election around it, no logic."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from sagong.api.resources import ResourceTable
from sagong.api.types import User
from sagong.client.client import Client
from sagong.client.in_process import Dispatch, InProcess
from sagong.core.clock import Clock
from sagong.core.ids import Ids
from sagong.core.tasks import task_group
from sagong.ctl.events import Recorder
from sagong.ctl.lease import Elector, LeadershipLost

log = logging.getLogger(__name__)

# Upstream's lease of its controllers; its scheduler has another, ours is in the same process.
NAMESPACE, NAME = "kube-system", "kube-controller-manager"
_USER = User("system:kube-controller-manager", groups=("system:authenticated",))


def identity_of(ids: Ids) -> str:
    """This process among all candidates, as upstream names itself."""
    return f"{socket.gethostname()}_{ids.uid()}"


@contextlib.asynccontextmanager
async def elected(
    dispatch: Dispatch,
    resources: ResourceTable,
    clock: Clock,
    ids: Ids,
    plane: Callable[[], AbstractAsyncContextManager[object]],
    *,
    identity: str = "",
) -> AsyncIterator[None]:
    """The control plane that ``plane`` makes runs whenever this candidate leads, in the block.

    One that has lost the lease stops at once and stands again. One that ends gives it free.
    """
    client = Client(InProcess(dispatch, _USER), resources, user_agent="leader-election")
    identity = identity or identity_of(ids)
    recorder = Recorder(client, component=NAME, clock=clock, ids=ids)
    lease = {"kind": "Lease", "apiVersion": "coordination.k8s.io/v1"}
    lease |= {"namespace": NAMESPACE, "name": NAME}

    def tell(what: str) -> None:
        recorder.emit(lease, "Normal", "LeaderElection", f"{identity} {what}")

    async def lead() -> None:
        async with plane():
            await asyncio.Event().wait()

    async def stand() -> None:
        while True:
            elector = Elector(
                client,
                namespace=NAMESPACE,
                name=NAME,
                identity=identity,
                clock=clock,
                ids=ids,
                tell=tell,
            )
            try:
                await elector.run(lead)
            except LeadershipLost as error:
                log.warning("%s", error)

    async with task_group() as tasks:
        tasks.start(recorder.run(), name=f"events of {identity}")
        tasks.start(stand(), name=f"candidate {identity}")
        yield
