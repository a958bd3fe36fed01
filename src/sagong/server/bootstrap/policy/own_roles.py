"""What our own components need beyond upstream's roles: upstream leaves these to kubeadm and to
network plugins. They do not carry the label of upstream's own defaults.
"""

from collections.abc import Mapping

from sagong.api import gateway
from sagong.api.types import Obj
from sagong.server.bootstrap.policy.notation import (
    READ,
    WRITE_EVENTS,
    account,
    allow,
    group,
    user,
)

_NODES = group("system:nodes")
_BOOTSTRAPPERS = group("system:bootstrappers")
_GATEWAY_KINDS = "gatewayclasses gateways httproutes grpcroutes referencegrants"
_REQUESTS = "system:certificates.k8s.io:certificatesigningrequests"

OWN_CLUSTER_ROLES: Mapping[str, tuple[Obj, ...]] = {
    # The network half of an agent: policies need to see every pod, whatever its node.
    "sagong:node-network": (
        allow(READ, "", "namespaces nodes pods"),
        allow(READ, "networking.k8s.io", "networkpolicies ingresses ingressclasses"),
        allow(READ, "discovery.k8s.io", "endpointslices"),
        allow(READ, gateway.GROUP, _GATEWAY_KINDS),
        WRITE_EVENTS,
    ),
    "sagong:controller:gateway-controller": (
        allow(READ, "", "namespaces nodes services"),
        allow(READ, gateway.GROUP, _GATEWAY_KINDS),
        allow("create", gateway.GROUP, "gatewayclasses"),
        allow(
            "update patch",
            gateway.GROUP,
            "gatewayclasses/status gateways/status httproutes/status grpcroutes/status",
        ),
        WRITE_EVENTS,
    ),
    "sagong:controller:ingress-controller": (
        allow(READ, "", "nodes"),
        allow(READ, "networking.k8s.io", "ingresses ingressclasses"),
        allow("update patch", "networking.k8s.io", "ingresses/status"),
        WRITE_EVENTS,
    ),
    # Upstream's runs as the controller manager itself; ours has an account like the others.
    "sagong:account-tokens": (
        allow("get", "", "serviceaccounts"),
        allow("create", "", "serviceaccounts/token"),
        allow("delete update", "", "secrets"),
        WRITE_EVENTS,
    ),
    # Schedulers say how they decided; whoever is bound to the second role may read it.
    "sagong:scheduling-publisher": (allow("update", "", "pods/scheduling"),),
    "sagong:scheduling-viewer": (allow("get", "", "pods/scheduling"),),
    # Restarts workloads that ask for it; what it reads comes from the cache that controllers share.
    "sagong:config-rollout": (
        allow("patch", "apps", "daemonsets deployments statefulsets"),
        WRITE_EVENTS,
    ),
}

# By name: the cluster role and its subjects.
OWN_BINDINGS: Mapping[str, tuple[str, tuple[Obj, ...]]] = {
    "sagong:node-network": ("sagong:node-network", (_NODES,)),
    "sagong:controller:gateway-controller": (
        "sagong:controller:gateway-controller",
        (account("kube-system", "gateway-controller"),),
    ),
    "sagong:controller:ingress-controller": (
        "sagong:controller:ingress-controller",
        (account("kube-system", "ingress-controller"),),
    ),
    "sagong:account-tokens": (
        "sagong:account-tokens",
        (account("kube-system", "tokens-controller"),),
    ),
    "sagong:scheduling-publisher": (
        "sagong:scheduling-publisher",
        (user("system:kube-scheduler"),),
    ),
    "sagong:config-rollout": (
        "sagong:config-rollout",
        (account("kube-system", "config-rollout-controller"),),
    ),
    # As kubeadm:node-proxier, which goes to the proxy's account there.
    "sagong:node-proxier": ("system:node-proxier", (_NODES,)),
    # As kubeadm:kubelet-bootstrap and kubeadm:node-autoapprove-*.
    "sagong:node-bootstrapper": ("system:node-bootstrapper", (_BOOTSTRAPPERS,)),
    "sagong:node-autoapprove-bootstrap": (f"{_REQUESTS}:nodeclient", (_BOOTSTRAPPERS,)),
    "sagong:node-autoapprove-renewal": (f"{_REQUESTS}:selfnodeclient", (_NODES,)),
    # Nodes' serving certificates are approved by controllers/certificates/approving.py.
    "sagong:node-autoapprove-serving": (
        "system:certificates.k8s.io:kubelet-serving-approver",
        (account("kube-system", "certificate-controller"),),
    ),
}
