"""The plain, obvious scheduler: one node after another, pods counted by looking at each of them.

Written from upstream's documentation, not from ours, and slow on purpose: it is what decisions are
compared with. Nothing here is vectorised, cached or shared with the real one but the parsing of
quantities and label selectors.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sagong.api.quantities import parse
from sagong.api.selectors import selector_from_object
from sagong.api.types import Obj

HOSTNAME = "kubernetes.io/hostname"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


@dataclass
class PlainCluster:
    """Nodes, and pods with the node that each is on."""

    nodes: list[Obj]
    namespaces: dict[str, dict[str, str]]
    placed: list[tuple[Obj, str]] = field(default_factory=list)
    default_selector: Obj | None = None

    def pods_on(self, node: Obj) -> list[Obj]:
        return [pod for pod, name in self.placed if name == node["metadata"]["name"]]

    def node(self, name: str) -> Obj | None:
        return next((n for n in self.nodes if n["metadata"]["name"] == name), None)


def labels(obj: Obj) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def matches(selector: Obj | None, pod: Obj) -> bool:
    return selector_from_object(selector).matches(labels(pod))


# Resources


def requests(pod: Obj, *, guessed: bool = False) -> dict[str, int]:
    total: dict[str, int] = {}
    for container in pod["spec"]["containers"]:
        wanted = (container.get("resources") or {}).get("requests") or {}
        amounts = {
            r: parse(q).milli_value if r == "cpu" else parse(q).value for r, q in wanted.items()
        }
        if guessed:
            amounts.setdefault("cpu", 100)
            amounts.setdefault("memory", 200 * 1024 * 1024)
        for resource, amount in amounts.items():
            total[resource] = total.get(resource, 0) + amount
    return total


def capacity(node: Obj) -> dict[str, int]:
    return {
        r: parse(q).milli_value if r == "cpu" else parse(q).value
        for r, q in node["status"]["allocatable"].items()
    }


def used(cluster: PlainCluster, node: Obj, resource: str, *, guessed: bool = False) -> int:
    return sum(requests(pod, guessed=guessed).get(resource, 0) for pod in cluster.pods_on(node))


def fit(cluster: PlainCluster, pod: Obj, node: Obj) -> tuple[list[str], bool]:
    reasons, hopeless = [], False
    room = capacity(node)
    if len(cluster.pods_on(node)) + 1 > room.get("pods", 0):
        reasons.append("Too many pods")
    for resource, wanted in requests(pod).items():
        if wanted and used(cluster, node, resource) + wanted > room.get(resource, 0):
            reasons.append(f"Insufficient {resource}")
            hopeless = hopeless or wanted > room.get(resource, 0)
    return reasons, not hopeless


# Nodes


def tolerated(pod: Obj, taint: Obj) -> bool:
    for toleration in pod["spec"].get("tolerations") or ():
        if toleration.get("effect") and toleration["effect"] != taint["effect"]:
            continue
        if toleration.get("key") and toleration["key"] != taint["key"]:
            continue
        if toleration.get("operator") == "Exists":
            return True
        if toleration.get("value", "") == taint.get("value", ""):
            return True
    return False


def untolerated(pod: Obj, node: Obj, effects: Sequence[str]) -> list[Obj]:
    taints = node["spec"].get("taints") or ()
    return [t for t in taints if t["effect"] in effects and not tolerated(pod, t)]


def expression_holds(expression: Obj, value: str | None) -> bool:
    operator, values = expression["operator"], expression.get("values") or []
    if operator == "In":
        return value in values
    if operator == "NotIn":
        return value not in values
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    if value is None or not value.isdigit():
        return False
    return int(value) > int(values[0]) if operator == "Gt" else int(value) < int(values[0])


def term_matches(term: Obj, node: Obj) -> bool:
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    name = node["metadata"]["name"]
    return all(expression_holds(e, labels(node).get(e["key"])) for e in expressions) and all(
        expression_holds(f, name) for f in fields
    )


def node_affinity(pod: Obj) -> Obj:
    return (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}


def admitted(pod: Obj, node: Obj) -> bool:
    for key, value in (pod["spec"].get("nodeSelector") or {}).items():
        if labels(node).get(key) != value:
            return False
    required = node_affinity(pod).get(REQUIRED)
    return required is None or any(term_matches(t, node) for t in required["nodeSelectorTerms"])


def ports(pod: Obj) -> list[tuple[str, str, int]]:
    return [
        (p.get("protocol", "TCP"), p.get("hostIP", "0.0.0.0"), p["hostPort"])
        for c in pod["spec"]["containers"]
        for p in c.get("ports") or ()
        if p.get("hostPort")
    ]


def ports_clash(one: Obj, other: Obj) -> bool:
    return any(
        a[0] == b[0] and a[2] == b[2] and (a[1] == b[1] or "0.0.0.0" in (a[1], b[1]))
        for a in ports(one)
        for b in ports(other)
    )


# Pods


def pod_terms(pod: Obj, side: str, kind: str) -> list[Obj]:
    return ((pod["spec"].get("affinity") or {}).get(side) or {}).get(kind) or []


def speaks_of(cluster: PlainCluster, owner: Obj, term: Obj, other: Obj) -> bool:
    """Whether a term of ``owner`` is about ``other``."""
    namespaces, selector = term.get("namespaces") or [], term.get("namespaceSelector")
    namespace = other["metadata"]["namespace"]
    if not namespaces and selector is None:
        namespaces = [owner["metadata"]["namespace"]]
    found = namespace in namespaces
    if not found and selector is not None:
        found = selector_from_object(selector).matches(cluster.namespaces[namespace])
    return found and matches(term.get("labelSelector"), other)


def same_domain(key: str, one: Obj, other: Obj | None) -> bool:
    return (
        other is not None
        and key in labels(one)
        and key in labels(other)
        and labels(one)[key] == labels(other)[key]
    )


def affinity_holds(cluster: PlainCluster, pod: Obj, node: Obj) -> bool:
    terms = pod_terms(pod, "podAffinity", REQUIRED)
    if not terms:
        return True
    if any(t["topologyKey"] not in labels(node) for t in terms):
        return False
    friends = [
        (other, cluster.node(name))
        for other, name in cluster.placed
        if all(speaks_of(cluster, pod, t, other) for t in terms)
    ]
    if all(any(same_domain(t["topologyKey"], node, where) for _, where in friends) for t in terms):
        return True
    anywhere = any(
        where is not None and t["topologyKey"] in labels(where)
        for _, where in friends
        for t in terms
    )
    return not anywhere and all(speaks_of(cluster, pod, t, pod) for t in terms)


def repels(cluster: PlainCluster, owner: Obj, other: Obj, here: Obj, there: Obj | None) -> bool:
    return any(
        speaks_of(cluster, owner, t, other) and same_domain(t["topologyKey"], here, there)
        for t in pod_terms(owner, "podAntiAffinity", REQUIRED)
    )


# Spreading


def constraints(cluster: PlainCluster, pod: Obj, when: str) -> tuple[list[Obj], bool]:
    """The constraints, and whether nodes need all keys."""
    own = pod["spec"].get("topologySpreadConstraints") or []
    if own:
        return [c for c in own if c["whenUnsatisfiable"] == when], True
    if when != "ScheduleAnyway" or cluster.default_selector is None:
        return [], True
    selector = cluster.default_selector
    zone = "topology.kubernetes.io/zone"
    return [
        {"topologyKey": HOSTNAME, "maxSkew": 3, "labelSelector": selector},
        {"topologyKey": zone, "maxSkew": 5, "labelSelector": selector},
    ], False


def spread_matches(pod: Obj, constraint: Obj, other: Obj) -> bool:
    selector = constraint.get("labelSelector")
    keys = [k for k in constraint.get("matchLabelKeys") or () if k in labels(pod)]
    if selector is None or not (any(selector.values()) or keys):
        return False
    if other["metadata"].get("deletionTimestamp"):
        return False
    if other["metadata"]["namespace"] != pod["metadata"]["namespace"]:
        return False
    return matches(selector, other) and all(labels(other).get(k) == labels(pod)[k] for k in keys)


def counts_for(pod: Obj, constraint: Obj, node: Obj) -> bool:
    if constraint.get("nodeAffinityPolicy", "Honor") == "Honor" and not admitted(pod, node):
        return False
    honored = constraint.get("nodeTaintsPolicy", "Ignore") == "Honor"
    return not (honored and untolerated(pod, node, ("NoSchedule", "NoExecute")))


def domains_of(
    cluster: PlainCluster, pod: Obj, constraint: Obj, needed: Sequence[str]
) -> dict[str, int]:
    """Matching pods by domain, of the nodes that count."""
    found: dict[str, int] = {}
    key = constraint["topologyKey"]
    for node in cluster.nodes:
        if any(k not in labels(node) for k in needed) or not counts_for(pod, constraint, node):
            continue
        if key in labels(node):
            matching = sum(spread_matches(pod, constraint, p) for p in cluster.pods_on(node))
            found[labels(node)[key]] = found.get(labels(node)[key], 0) + matching
    return found


def spread_refusal(cluster: PlainCluster, pod: Obj, node: Obj) -> tuple[str, bool] | None:
    found, _ = constraints(cluster, pod, "DoNotSchedule")
    keys = [c["topologyKey"] for c in found]
    words = "node(s) didn't match pod topology spread constraints"
    for constraint in found:
        key = constraint["topologyKey"]
        if key not in labels(node):
            return f"{words} (missing required label)", False
        domains = domains_of(cluster, pod, constraint, keys)
        fewest = min(domains.values(), default=0)
        if len(domains) < constraint.get("minDomains", 1):
            fewest = 0
        itself = int(matches(constraint.get("labelSelector"), pod))
        skew = domains.get(labels(node)[key], 0) + itself - fewest
        if domains and skew > constraint["maxSkew"]:
            return words, True
    return None


# One node


def refusal(cluster: PlainCluster, pod: Obj, node: Obj) -> tuple[list[str], bool] | None:
    """Why a node does not take a pod, and whether eviction could help; None if it takes it."""
    if node["spec"].get("unschedulable"):
        taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
        if not tolerated(pod, taint):
            return ["node(s) were unschedulable"], False
    if untolerated(pod, node, ("NoSchedule", "NoExecute")):
        return ["node(s) had untolerated taint(s)"], False
    if not admitted(pod, node):
        return ["node(s) didn't match Pod's node affinity/selector"], False
    if any(ports_clash(pod, other) for other in cluster.pods_on(node)):
        return ["node(s) didn't have free ports for the requested pod ports"], True
    reasons, helpful = fit(cluster, pod, node)
    if reasons:
        return reasons, helpful
    spread = spread_refusal(cluster, pod, node)
    if spread is not None:
        return [spread[0]], spread[1]
    if not affinity_holds(cluster, pod, node):
        return ["node(s) didn't match pod affinity rules"], False
    others = [(other, cluster.node(name)) for other, name in cluster.placed]
    if any(repels(cluster, pod, other, node, where) for other, where in others):
        return ["node(s) didn't match pod anti-affinity rules"], True
    if any(
        where is not None and repels(cluster, other, pod, node, where) for other, where in others
    ):
        return ["node(s) didn't satisfy existing pods anti-affinity rules"], True
    return None


# Scores


def scores(cluster: PlainCluster, pod: Obj, feasible: list[Obj]) -> dict[str, int]:
    """Each feasible node's total, upstream's weights applied."""
    parts: list[tuple[int, list[int]]] = [
        (
            3,
            proportional([len(untolerated(pod, n, ("PreferNoSchedule",))) for n in feasible], True),
        ),
        (1, [least_allocated(cluster, pod, n) for n in feasible]),
        (1, [balanced(cluster, pod, n) for n in feasible]),
        (1, [image_locality(cluster, pod, n) for n in feasible]),
        (2, preferred_nodes(pod, feasible)),
        (2, preferred_pods(cluster, pod, feasible)),
        (2, soft_spread(cluster, pod, feasible)),
    ]
    return {
        node["metadata"]["name"]: sum(weight * part[i] for weight, part in parts)
        for i, node in enumerate(feasible)
    }


def proportional(raw: list[int], reverse: bool = False) -> list[int]:
    largest = max(raw, default=0)
    if largest == 0:
        return [100 if reverse else 0] * len(raw)
    scaled = [r * 100 // largest for r in raw]
    return [100 - s for s in scaled] if reverse else scaled


def least_allocated(cluster: PlainCluster, pod: Obj, node: Obj) -> int:
    total = count = 0
    for resource in ("cpu", "memory"):
        there = capacity(node).get(resource, 0)
        if there:
            use = used(cluster, node, resource, guessed=True)
            use += requests(pod, guessed=True)[resource]
            total += 0 if use > there else (there - use) * 100 // there
            count += 1
    return total // count if count else 0


def balanced(cluster: PlainCluster, pod: Obj, node: Obj) -> int:
    wanted = requests(pod)
    if not wanted.get("cpu") and not wanted.get("memory"):
        return 0
    fractions = []
    for resource in ("cpu", "memory"):
        there = capacity(node).get(resource, 0)
        if there:
            use = used(cluster, node, resource) + wanted.get(resource, 0)
            fractions.append(min(use / there, 1.0))
    deviation = abs((fractions[0] - fractions[1]) / 2) if len(fractions) == 2 else 0.0
    return int((1 - deviation) * 100)


def image_locality(cluster: PlainCluster, pod: Obj, node: Obj) -> int:
    def sizes(of: Obj) -> dict[str, int]:
        images = of["status"].get("images") or ()
        return {name: i["sizeBytes"] for i in images for name in i["names"]}

    total = 0
    for container in pod["spec"]["containers"]:
        image = container["image"] if ":" in container["image"] else f"{container['image']}:latest"
        if image in sizes(node):
            holders = sum(image in sizes(n) for n in cluster.nodes)
            total += int(sizes(node)[image] * (holders / len(cluster.nodes)))
    least, most = 23 * 2**20, 1000 * 2**20 * len(pod["spec"]["containers"])
    return 100 * (min(max(total, least), most) - least) // (most - least)


def preferred_nodes(pod: Obj, feasible: list[Obj]) -> list[int]:
    preferences = node_affinity(pod).get(PREFERRED) or ()
    return proportional(
        [
            sum(p["weight"] for p in preferences if term_matches(p["preference"], n))
            for n in feasible
        ]
    )


def preferred_pods(cluster: PlainCluster, pod: Obj, feasible: list[Obj]) -> list[int]:
    raw = []
    for node in feasible:
        score = 0
        for other, name in cluster.placed:
            where = cluster.node(name)
            score += attraction(cluster, pod, other, node, where, 0)
            score += attraction(cluster, other, pod, node, where, 1)
        raw.append(score)
    low, high = min(raw, default=0), max(raw, default=0)
    if low == high:
        return [0] * len(raw)
    return [int(100 * ((score - low) / (high - low))) for score in raw]


def attraction(
    cluster: PlainCluster, owner: Obj, other: Obj, node: Obj, where: Obj | None, hard: int
) -> int:
    score = 0
    for side, sign in (("podAffinity", 1), ("podAntiAffinity", -1)):
        for entry in pod_terms(owner, side, PREFERRED):
            term = entry["podAffinityTerm"]
            if speaks_of(cluster, owner, term, other) and same_domain(
                term["topologyKey"], node, where
            ):
                score += sign * entry["weight"]
    for term in pod_terms(owner, "podAffinity", REQUIRED):
        if speaks_of(cluster, owner, term, other) and same_domain(term["topologyKey"], node, where):
            score += hard
    return score


def soft_spread(cluster: PlainCluster, pod: Obj, feasible: list[Obj]) -> list[int]:
    found, all_keys = constraints(cluster, pod, "ScheduleAnyway")
    if not found:
        return [0] * len(feasible)
    keys = [c["topologyKey"] for c in found]
    ranked = [n for n in feasible if not all_keys or all(k in labels(n) for k in keys)]
    raw: dict[str, int] = {}
    for node in ranked:
        score = 0.0
        for c in found:
            key = c["topologyKey"]
            if key not in labels(node):
                continue
            if key == HOSTNAME:
                size = len(ranked)
                count = sum(spread_matches(pod, c, p) for p in cluster.pods_on(node))
            else:
                size = len({labels(n).get(key, "") for n in ranked})
                domains = domains_of(cluster, pod, c, keys if all_keys else ())
                count = domains.get(labels(node)[key], 0)
            score += count * math.log(size + 2) + (c["maxSkew"] - 1)
        raw[node["metadata"]["name"]] = math.floor(score + 0.5)
    low, high = min(raw.values(), default=0), max(raw.values(), default=0)
    result = []
    for node in feasible:
        score_of: Any = raw.get(node["metadata"]["name"])
        if score_of is None:
            result.append(0)
        else:
            result.append(100 if high == 0 else 100 * (high + low - score_of) // high)
    return result
