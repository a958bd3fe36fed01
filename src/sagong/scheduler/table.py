"""All filters and scores, in the order and with the weights of upstream's default profile."""

from sagong.scheduler.filters import (
    inter_pod_affinity,
    node_affinity,
    node_name,
    node_ports,
    node_resources_fit,
    node_unschedulable,
    pod_topology_spread,
    taint_toleration,
    volume_binding,
)
from sagong.scheduler.plugin import Filter, Score
from sagong.scheduler.scores import (
    image_locality,
    node_resources,
)
from sagong.scheduler.scores import inter_pod_affinity as inter_pod_affinity_score
from sagong.scheduler.scores import node_affinity as node_affinity_score
from sagong.scheduler.scores import pod_topology_spread as pod_topology_spread_score
from sagong.scheduler.scores import taint_toleration as taint_toleration_score

FILTERS: tuple[Filter, ...] = (
    node_unschedulable.FILTER,
    node_name.FILTER,
    taint_toleration.FILTER,
    node_affinity.FILTER,
    node_ports.FILTER,
    node_resources_fit.FILTER,
    volume_binding.FILTER,
    pod_topology_spread.FILTER,
    inter_pod_affinity.FILTER,
)

SCORES: tuple[Score, ...] = (
    taint_toleration_score.SCORE,
    node_affinity_score.SCORE,
    node_resources.LEAST_ALLOCATED,
    pod_topology_spread_score.SCORE,
    inter_pod_affinity_score.SCORE,
    node_resources.BALANCED_ALLOCATION,
    image_locality.SCORE,
)
