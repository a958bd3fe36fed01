"""All filters and scores by upstream's names, in the order and with the weights of its defaults."""

from collections.abc import Callable, Mapping

from sagong.api.types import Obj
from sagong.scheduler.filters import (
    dynamic_resources,
    inter_pod_affinity,
    node_affinity,
    node_name,
    node_ports,
    node_resources_fit,
    node_unschedulable,
    node_volume_limits,
    pod_topology_spread,
    taint_toleration,
    volume_binding,
    volume_restrictions,
    volume_zone,
)
from sagong.scheduler.plugin import Filter, Score
from sagong.scheduler.scores import image_locality, node_resources
from sagong.scheduler.scores import inter_pod_affinity as inter_pod_affinity_score
from sagong.scheduler.scores import node_affinity as node_affinity_score
from sagong.scheduler.scores import pod_topology_spread as pod_topology_spread_score
from sagong.scheduler.scores import taint_toleration as taint_toleration_score


def _always(plugin: Filter) -> Callable[[Obj], Filter]:
    return lambda arguments: plugin


def _always_score(plugin: Score) -> Callable[[Obj], Score]:
    return lambda arguments: plugin


# From a plugin's arguments in the configuration.
FILTERS: Mapping[str, Callable[[Obj], Filter]] = {
    "NodeUnschedulable": _always(node_unschedulable.FILTER),
    "NodeName": _always(node_name.FILTER),
    "TaintToleration": _always(taint_toleration.FILTER),
    "NodeAffinity": node_affinity.filter_of,
    "NodePorts": _always(node_ports.FILTER),
    "NodeResourcesFit": node_resources_fit.filter_of,
    "VolumeRestrictions": _always(volume_restrictions.FILTER),
    "NodeVolumeLimits": _always(node_volume_limits.FILTER),
    "VolumeBinding": _always(volume_binding.FILTER),
    "VolumeZone": _always(volume_zone.FILTER),
    "PodTopologySpread": pod_topology_spread.filter_of,
    "InterPodAffinity": _always(inter_pod_affinity.FILTER),
    "DynamicResources": _always(dynamic_resources.FILTER),
}

SCORES: Mapping[str, Callable[[Obj], Score]] = {
    "TaintToleration": _always_score(taint_toleration_score.SCORE),
    "NodeAffinity": node_affinity_score.score_of,
    "NodeResourcesFit": node_resources.score_of,
    "PodTopologySpread": pod_topology_spread_score.score_of,
    "InterPodAffinity": inter_pod_affinity_score.score_of,
    "NodeResourcesBalancedAllocation": node_resources.balanced_score_of,
    "ImageLocality": _always_score(image_locality.SCORE),
}

WEIGHTS = {"TaintToleration": 3, "NodeAffinity": 2, "PodTopologySpread": 2, "InterPodAffinity": 2}
