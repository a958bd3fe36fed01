"""Labels of nodes that have newer names, and warnings about them (upstream: pkg/api/node)."""

from collections.abc import Iterator, Mapping

from sagong.api.types import Obj
from sagong.api.validation import Path

DEPRECATED: Mapping[str, str] = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "beta.kubernetes.io/instance-type": (
        'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead'
    ),
    "failure-domain.beta.kubernetes.io/region": (
        'deprecated since v1.17; use "topology.kubernetes.io/region" instead'
    ),
    "failure-domain.beta.kubernetes.io/zone": (
        'deprecated since v1.17; use "topology.kubernetes.io/zone" instead'
    ),
}


def node_term_warnings(term: Obj, path: Path) -> Iterator[str]:
    """Of a node selector's term."""
    for i, requirement in enumerate(term.get("matchExpressions") or ()):
        key = requirement.get("key")
        if key in DEPRECATED:
            where = path.child("matchExpressions").index(i).child("key")
            yield f"{where}: {key} is {DEPRECATED[key]}"
