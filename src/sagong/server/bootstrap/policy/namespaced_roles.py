"""Roles in kube-system and kube-public, and who has them. Facts of Kubernetes 1.36."""

from collections.abc import Mapping

from sagong.api.types import Obj
from sagong.server.bootstrap.policy.notation import READ, WRITE_EVENTS, account, allow, user

# By namespace and name.
ROLES: Mapping[tuple[str, str], tuple[Obj, ...]] = {
    ("kube-public", "system:controller:bootstrap-signer"): (
        allow(READ, "", "configmaps"),
        allow("update", "", "configmaps", "cluster-info"),
        WRITE_EVENTS,
    ),
    ("kube-system", "extension-apiserver-authentication-reader"): (
        allow(READ, "", "configmaps", "extension-apiserver-authentication"),
    ),
    ("kube-system", "system::leader-locking-kube-controller-manager"): (
        allow("create get list update watch", "coordination.k8s.io", "leases"),
        allow("create get list update watch", "coordination.k8s.io", "leasecandidates"),
    ),
    ("kube-system", "system::leader-locking-kube-scheduler"): (
        allow("create get list update watch", "coordination.k8s.io", "leases"),
        allow("create get list update watch", "coordination.k8s.io", "leasecandidates"),
    ),
    ("kube-system", "system:controller:bootstrap-signer"): (allow(READ, "", "secrets"),),
    ("kube-system", "system:controller:cloud-provider"): (
        allow("create get list watch", "", "configmaps"),
    ),
    ("kube-system", "system:controller:token-cleaner"): (
        allow("delete get list watch", "", "secrets"),
        WRITE_EVENTS,
    ),
}

# By namespace and name: the role and its subjects.
ROLE_BINDINGS: Mapping[tuple[str, str], tuple[str, tuple[Obj, ...]]] = {
    ("kube-public", "system:controller:bootstrap-signer"): (
        "system:controller:bootstrap-signer",
        (account("kube-system", "bootstrap-signer"),),
    ),
    ("kube-system", "system::extension-apiserver-authentication-reader"): (
        "extension-apiserver-authentication-reader",
        (
            user("system:kube-controller-manager"),
            user("system:kube-scheduler"),
        ),
    ),
    ("kube-system", "system::leader-locking-kube-controller-manager"): (
        "system::leader-locking-kube-controller-manager",
        (
            user("system:kube-controller-manager"),
            account("kube-system", "kube-controller-manager"),
            account("kube-system", "leader-election-controller"),
        ),
    ),
    ("kube-system", "system::leader-locking-kube-scheduler"): (
        "system::leader-locking-kube-scheduler",
        (
            user("system:kube-scheduler"),
            account("kube-system", "kube-scheduler"),
        ),
    ),
    ("kube-system", "system:controller:bootstrap-signer"): (
        "system:controller:bootstrap-signer",
        (account("kube-system", "bootstrap-signer"),),
    ),
    ("kube-system", "system:controller:cloud-provider"): (
        "system:controller:cloud-provider",
        (account("kube-system", "cloud-provider"),),
    ),
    ("kube-system", "system:controller:token-cleaner"): (
        "system:controller:token-cleaner",
        (account("kube-system", "token-cleaner"),),
    ),
}
