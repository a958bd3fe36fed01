"""The composition root of controllers and scheduler in a server's process: no logic."""

import contextlib
import functools
from collections.abc import AsyncIterator

from prometheus_client import CollectorRegistry

from sagong.api.resources import ResourceTable
from sagong.api.types import User
from sagong.client.client import Client
from sagong.client.in_process import Dispatch, InProcess
from sagong.cmd.optional_controllers import run_while_served
from sagong.controllers.configured import Settings, configured
from sagong.controllers.garbage.collector import NAME as GARBAGE_COLLECTOR
from sagong.controllers.garbage.collector import GarbageCollector
from sagong.controllers.networking import gateway
from sagong.controllers.table import CONTROLLERS
from sagong.core.clock import Clock
from sagong.core.ids import Ids
from sagong.core.tasks import task_group
from sagong.ctl.events import Recorder
from sagong.ctl.informer import SharedCache
from sagong.ctl.metrics import QueueMetrics
from sagong.ctl.runner import Runner
from sagong.scheduler.configuration import SchedulerSettings
from sagong.scheduler.scheduler import NAME as SCHEDULER
from sagong.scheduler.scheduler import Scheduler

_AUTHENTICATED = "system:authenticated"
# Whose watches fill the cache that all of them share: it may read everything.
_CACHE_USER = User("system:kube-controller-manager", groups=(_AUTHENTICATED,))
_SCHEDULER_USER = User("system:kube-scheduler", groups=(_AUTHENTICATED,))

# Service accounts of controllers, where they are not called "<controller>-controller".
_ACCOUNTS = {
    "bootstrap-signer": "bootstrap-signer",
    "config-rollout-daemonsets": "config-rollout-controller",
    "config-rollout-deployments": "config-rollout-controller",
    "config-rollout-statefulsets": "config-rollout-controller",
    "csrapproving": "certificate-controller",
    "csrcleaner": "certificate-controller",
    "csrsigning": "certificate-controller",
    # Events that are old enough are garbage like any other.
    "event-expiry": "generic-garbage-collector",
    "garbage-collector": "generic-garbage-collector",
    "gateway-class": "gateway-controller",
    "gateway-route": "gateway-controller",
    "local-volume-provisioner": "persistent-volume-binder",
    "local-volume-remover": "persistent-volume-binder",
    "node-ipam": "node-controller",
    "persistentvolume-binder": "persistent-volume-binder",
    "persistentvolume-reclaimer": "persistent-volume-binder",
    "pod-garbage-collector": "pod-garbage-collector",
    "horizontal-pod-autoscaler": "horizontal-pod-autoscaler",
    "resource-claim-release": "resource-claim-controller",
    "root-ca-cert-publisher": "root-ca-cert-publisher",
    "service-ca-cert-publisher": "service-ca-cert-publisher",
    "token-cleaner": "token-cleaner",
    "taint-eviction-controller": "node-controller",
}


def account_of(controller: str) -> User:
    """The service account under which a controller acts (the subjects of upstream's roles)."""
    name = _ACCOUNTS.get(controller, f"{controller}-controller")
    return User(
        f"system:serviceaccount:kube-system:{name}",
        groups=("system:serviceaccounts", "system:serviceaccounts:kube-system", _AUTHENTICATED),
    )


@contextlib.asynccontextmanager
async def control_plane(
    dispatch: Dispatch,
    resources: ResourceTable,
    settings: Settings,
    clock: Clock,
    ids: Ids,
    scheduling: SchedulerSettings | None = None,
    metrics: QueueMetrics | None = None,
) -> AsyncIterator[Scheduler]:
    """Controllers and scheduler run while the block does; ``metrics`` count what queues do."""

    def client_of(user: User, agent: str) -> Client:
        return Client(InProcess(dispatch, user), resources, user_agent=agent)

    cache = SharedCache(client_of(_CACHE_USER, "kube-controller-manager"), ids)
    metrics = metrics or QueueMetrics(CollectorRegistry())

    def make_runner() -> Runner:
        return Runner(
            lambda name: client_of(account_of(name), "kube-controller-manager"),
            cache,
            clock,
            ids,
            metrics=metrics,
        )

    runner = make_runner()
    for controller, reconcile in (*CONTROLLERS, *configured(settings)):
        runner.add(controller, reconcile)
    collector = GarbageCollector(
        client_of(account_of(GARBAGE_COLLECTOR), "kube-controller-manager"), cache, clock, metrics
    )
    schedules = client_of(_SCHEDULER_USER, "kube-scheduler")
    recorder = Recorder(schedules, component=SCHEDULER, clock=clock, ids=ids)
    scheduler = Scheduler(schedules, cache, recorder, clock, ids, scheduling)
    async with task_group() as tasks:
        tasks.start(cache.run(), name="cache")
        tasks.start(recorder.run(), name="scheduler events")
        tasks.start(runner.run(), name="controllers")
        tasks.start(collector.run(), name=GARBAGE_COLLECTOR)
        gateways = run_while_served(
            gateway.MEMBERS,
            gateway.NEEDED,
            resources,
            make_runner,
            functools.partial(
                gateway.ensure_class,
                client_of(account_of(gateway.CLASS_CONTROLLER.name), "kube-controller-manager"),
            ),
        )
        tasks.start(gateways, name="gateways")
        tasks.start(scheduler.run(), name="scheduler")
        yield scheduler
