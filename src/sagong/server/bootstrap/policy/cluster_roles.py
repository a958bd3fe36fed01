"""Cluster roles for people and components, by name, and who has them. Facts of Kubernetes 1.36."""

from collections.abc import Mapping

from sagong.api.types import Obj
from sagong.server.bootstrap.policy.notation import (
    ALL_VERBS,
    READ,
    WRITE_EVENTS,
    account,
    allow,
    allow_urls,
    group,
    user,
)

# Roles whose rules are those of all roles that carry the label of the same name.
AGGREGATED_ROLES: Mapping[str, str] = {
    "view": "rbac.authorization.k8s.io/aggregate-to-view",
    "edit": "rbac.authorization.k8s.io/aggregate-to-edit",
    "admin": "rbac.authorization.k8s.io/aggregate-to-admin",
}

# Roles that are part of an aggregated one, by the label that makes them so.
AGGREGATION_LABELS: Mapping[str, str] = {
    "edit": "rbac.authorization.k8s.io/aggregate-to-admin",
    "system:aggregate-to-admin": "rbac.authorization.k8s.io/aggregate-to-admin",
    "system:aggregate-to-edit": "rbac.authorization.k8s.io/aggregate-to-edit",
    "system:aggregate-to-view": "rbac.authorization.k8s.io/aggregate-to-view",
    "view": "rbac.authorization.k8s.io/aggregate-to-edit",
}

CLUSTER_ROLES: Mapping[str, tuple[Obj, ...]] = {
    "cluster-admin": (
        allow("*", "*", "*"),
        allow_urls("*", "*"),
    ),
    "system:aggregate-to-admin": (
        allow("create", "authorization.k8s.io", "localsubjectaccessreviews"),
        allow(ALL_VERBS, "rbac.authorization.k8s.io", "rolebindings roles"),
    ),
    "system:aggregate-to-edit": (
        allow(READ, "", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"),
        allow("impersonate", "", "serviceaccounts"),
        allow(
            "create delete deletecollection patch update",
            "",
            "pods pods/attach pods/exec pods/portforward pods/proxy",
        ),
        allow("create", "", "pods/eviction"),
        allow(
            "create delete deletecollection patch update",
            "",
            "configmaps persistentvolumeclaims replicationcontrollers "
            "replicationcontrollers/scale secrets serviceaccounts services "
            "services/proxy",
        ),
        allow("create", "", "serviceaccounts/token"),
        allow("create delete deletecollection patch update", ",events.k8s.io", "events"),
        allow(
            "create delete deletecollection patch update",
            "apps",
            "daemonsets deployments deployments/rollback deployments/scale "
            "replicasets replicasets/scale statefulsets statefulsets/scale",
        ),
        allow(
            "create delete deletecollection patch update", "autoscaling", "horizontalpodautoscalers"
        ),
        allow("create delete deletecollection patch update", "batch", "cronjobs jobs"),
        allow(
            "create delete deletecollection patch update",
            "extensions",
            "daemonsets deployments deployments/rollback deployments/scale ingresses "
            "networkpolicies replicasets replicasets/scale "
            "replicationcontrollers/scale",
        ),
        allow("create delete deletecollection patch update", "policy", "poddisruptionbudgets"),
        allow(
            "create delete deletecollection patch update",
            "networking.k8s.io",
            "ingresses networkpolicies",
        ),
        allow(ALL_VERBS, "coordination.k8s.io", "leases"),
        allow(
            "create delete deletecollection patch update",
            "resource.k8s.io",
            "resourceclaims resourceclaimtemplates",
        ),
    ),
    "system:aggregate-to-view": (
        allow(
            READ,
            "",
            "configmaps endpoints persistentvolumeclaims "
            "persistentvolumeclaims/status pods replicationcontrollers "
            "replicationcontrollers/scale serviceaccounts services services/status",
        ),
        allow(
            READ,
            "",
            "bindings limitranges namespaces/status pods/log pods/status "
            "replicationcontrollers/status resourcequotas resourcequotas/status",
        ),
        allow(READ, "", "namespaces"),
        allow(READ, ",events.k8s.io", "events"),
        allow(READ, "discovery.k8s.io", "endpointslices"),
        allow(
            READ,
            "apps",
            "controllerrevisions daemonsets daemonsets/status deployments "
            "deployments/scale deployments/status replicasets replicasets/scale "
            "replicasets/status statefulsets statefulsets/scale statefulsets/status",
        ),
        allow(READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
        allow(READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
        allow(
            READ,
            "extensions",
            "daemonsets daemonsets/status deployments deployments/scale "
            "deployments/status ingresses ingresses/status networkpolicies "
            "replicasets replicasets/scale replicasets/status "
            "replicationcontrollers/scale",
        ),
        allow(READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
        allow(READ, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
        allow(
            READ, "resource.k8s.io", "resourceclaims resourceclaims/status resourceclaimtemplates"
        ),
    ),
    "system:auth-delegator": (
        allow("create", "authentication.k8s.io", "tokenreviews"),
        allow("create", "authorization.k8s.io", "subjectaccessreviews"),
    ),
    "system:basic-user": (
        allow("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
        allow("create", "authentication.k8s.io", "selfsubjectreviews"),
    ),
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": (
        allow("create", "certificates.k8s.io", "certificatesigningrequests/nodeclient"),
    ),
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": (
        allow("create", "certificates.k8s.io", "certificatesigningrequests/selfnodeclient"),
    ),
    "system:certificates.k8s.io:kube-apiserver-client-approver": (
        allow("approve", "certificates.k8s.io", "signers", "kubernetes.io/kube-apiserver-client"),
    ),
    "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver": (
        allow(
            "approve",
            "certificates.k8s.io",
            "signers",
            "kubernetes.io/kube-apiserver-client-kubelet",
        ),
    ),
    "system:certificates.k8s.io:kubelet-serving-approver": (
        allow("approve", "certificates.k8s.io", "signers", "kubernetes.io/kubelet-serving"),
    ),
    "system:certificates.k8s.io:legacy-unknown-approver": (
        allow("approve", "certificates.k8s.io", "signers", "kubernetes.io/legacy-unknown"),
    ),
    "system:discovery": (
        allow_urls(
            "get",
            "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz "
            "/version /version/",
        ),
    ),
    "system:heapster": (
        allow(READ, "", "events namespaces nodes pods"),
        allow(READ, "extensions", "deployments"),
    ),
    "system:kube-aggregator": (allow(READ, "", "endpoints services"),),
    "system:kube-controller-manager": (
        WRITE_EVENTS,
        allow("create", "coordination.k8s.io", "leases"),
        allow("get update", "coordination.k8s.io", "leases", "kube-controller-manager"),
        allow("create", "", "secrets serviceaccounts"),
        allow("delete", "", "secrets"),
        allow("get", "", "configmaps namespaces secrets serviceaccounts"),
        allow("update", "", "secrets serviceaccounts"),
        allow("create", "authentication.k8s.io", "tokenreviews"),
        allow("create", "authorization.k8s.io", "subjectaccessreviews"),
        allow("list watch", "*", "*"),
        allow("create", "", "serviceaccounts/token"),
    ),
    "system:kube-dns": (allow("list watch", "", "endpoints services"),),
    "system:kube-scheduler": (
        WRITE_EVENTS,
        allow("create", "coordination.k8s.io", "leases"),
        allow("get list update watch", "coordination.k8s.io", "leases", "kube-scheduler"),
        allow(ALL_VERBS, "coordination.k8s.io", "leasecandidates"),
        allow(READ, "", "nodes"),
        allow("delete get list watch", "", "pods"),
        allow("create", "", "bindings pods/binding"),
        allow("patch update", "", "pods/status"),
        allow(READ, "", "replicationcontrollers services"),
        allow(READ, "apps,extensions", "replicasets"),
        allow(READ, "apps", "statefulsets"),
        allow(READ, "policy", "poddisruptionbudgets"),
        allow(READ, "", "persistentvolumeclaims persistentvolumes"),
        allow("create", "authentication.k8s.io", "tokenreviews"),
        allow("create", "authorization.k8s.io", "subjectaccessreviews"),
        allow(READ, "storage.k8s.io", "csinodes"),
        allow(READ, "storage.k8s.io", "volumeattachments"),
        allow(READ, "", "namespaces"),
        allow(READ, "storage.k8s.io", "csidrivers"),
        allow(READ, "storage.k8s.io", "csistoragecapacities"),
        allow(READ, "resource.k8s.io", "deviceclasses"),
        allow("get list patch update watch", "resource.k8s.io", "resourceclaims"),
        allow("get list patch update watch", "resource.k8s.io", "resourceclaims/status"),
        allow("update", "", "pods/finalizers"),
        allow(READ, "resource.k8s.io", "resourceslices"),
        allow("create delete", "resource.k8s.io", "resourceclaims"),
        allow("patch update", "resource.k8s.io", "resourceclaims/binding"),
    ),
    "system:kubelet-api-admin": (
        allow(READ, "", "nodes"),
        allow("proxy", "", "nodes"),
        allow("*", "", "nodes/log nodes/metrics nodes/proxy nodes/stats"),
        allow("*", "", "nodes/configz nodes/healthz nodes/pods"),
    ),
    "system:monitoring": (
        allow_urls(
            "get",
            "/flagz /healthz /healthz/* /livez /livez/* /metrics /metrics/slis "
            "/readyz /readyz/* /statusz",
        ),
        allow("get", "", "nodes/metrics"),
    ),
    "system:node": (
        allow("create", "authentication.k8s.io", "tokenreviews"),
        allow("create", "authorization.k8s.io", "localsubjectaccessreviews subjectaccessreviews"),
        allow(READ, "", "services"),
        allow("create get list watch", "", "nodes"),
        allow("patch update", "", "nodes/status"),
        allow("patch update", "", "nodes"),
        WRITE_EVENTS,
        allow(READ, "", "pods"),
        allow("create delete", "", "pods"),
        allow("patch update", "", "pods/status"),
        allow("create", "", "pods/eviction"),
        allow(READ, "", "configmaps secrets"),
        allow("get", "", "persistentvolumeclaims persistentvolumes"),
        allow("get", "", "endpoints"),
        allow("create get list watch", "certificates.k8s.io", "certificatesigningrequests"),
        allow("create delete get patch update", "coordination.k8s.io", "leases"),
        allow("get", "storage.k8s.io", "volumeattachments"),
        allow("create", "", "serviceaccounts/token"),
        allow("get patch update", "", "persistentvolumeclaims/status"),
        allow(READ, "storage.k8s.io", "csidrivers"),
        allow("create delete get patch update", "storage.k8s.io", "csinodes"),
        allow(READ, "node.k8s.io", "runtimeclasses"),
        allow("get", "resource.k8s.io", "resourceclaims"),
        allow("deletecollection", "resource.k8s.io", "resourceslices"),
        allow("get", "", "serviceaccounts"),
    ),
    "system:node-bootstrapper": (
        allow("create get list watch", "certificates.k8s.io", "certificatesigningrequests"),
    ),
    "system:node-problem-detector": (
        allow("get", "", "nodes"),
        allow("patch", "", "nodes/status"),
        WRITE_EVENTS,
    ),
    "system:node-proxier": (
        allow("list watch", "", "endpoints services"),
        allow(READ, "", "nodes"),
        WRITE_EVENTS,
        allow("list watch", "networking.k8s.io", "servicecidrs"),
        allow("list watch", "discovery.k8s.io", "endpointslices"),
    ),
    "system:openshift:public-info-viewer": (allow_urls("get", "/.well-known /.well-known/*"),),
    "system:persistent-volume-provisioner": (
        allow("create delete get list watch", "", "persistentvolumes"),
        allow("get list update watch", "", "persistentvolumeclaims"),
        allow(READ, "storage.k8s.io", "storageclasses"),
        allow("watch", "", "events"),
        WRITE_EVENTS,
    ),
    "system:public-info-viewer": (allow_urls("get", "/healthz /livez /readyz /version /version/"),),
    "system:service-account-issuer-discovery": (
        allow_urls(
            "get",
            "/.well-known/openid-configuration /.well-known/openid-configuration/ "
            "/openid/v1/jwks /openid/v1/jwks/",
        ),
    ),
    "system:volume-scheduler": (
        allow("get list patch update watch", "", "persistentvolumes"),
        allow(READ, "storage.k8s.io", "storageclasses"),
        allow("get list patch update watch", "", "persistentvolumeclaims"),
    ),
}

# Subjects of each role: cluster role bindings are named after their role.
CLUSTER_ROLE_SUBJECTS: Mapping[str, tuple[Obj, ...]] = {
    "cluster-admin": (group("system:masters"),),
    "system:basic-user": (group("system:authenticated"),),
    "system:discovery": (group("system:authenticated"),),
    "system:kube-controller-manager": (user("system:kube-controller-manager"),),
    "system:kube-dns": (account("kube-system", "kube-dns"),),
    "system:kube-scheduler": (user("system:kube-scheduler"),),
    "system:monitoring": (group("system:monitoring"),),
    "system:node": (),
    "system:node-proxier": (user("system:kube-proxy"),),
    "system:openshift:public-info-viewer": (
        group("system:authenticated"),
        group("system:unauthenticated"),
    ),
    "system:public-info-viewer": (
        group("system:authenticated"),
        group("system:unauthenticated"),
    ),
    "system:service-account-issuer-discovery": (group("system:serviceaccounts"),),
    "system:volume-scheduler": (user("system:kube-scheduler"),),
}
