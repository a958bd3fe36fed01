"""The resources that Kubernetes 1.36 serves by default (its stable API), as discovery shows them.

Names, scope, verbs, short names and categories are in no published schema, so they stand here;
everything else about a kind is read from the published definitions (``schema.py``) or belongs to
its strategy (``server/kinds``). The order is that of ``kubectl api-resources``.
"""

from collections.abc import Iterable, Iterator

from sagong.api import scheduling
from sagong.api.types import ALL_VERBS, Resource, Subresource

_STATUS_VERBS = ("get", "patch", "update")
_PROXY_VERBS = ("create", "delete", "get", "patch", "update")


def _status(kind: str) -> Subresource:
    return Subresource("status", kind, _STATUS_VERBS)


def _scale() -> Subresource:
    return Subresource("scale", "Scale", _STATUS_VERBS, "autoscaling", "v1")


def _resource(
    group: str,
    version: str,
    plural: str,
    kind: str,
    *subresources: Subresource,
    namespaced: bool = True,
    singular: str = "",
    short: tuple[str, ...] = (),
    categories: tuple[str, ...] = (),
    verbs: tuple[str, ...] = ALL_VERBS,
    deprecation: str = "",
) -> Resource:
    return Resource(
        group=group,
        version=version,
        plural=plural,
        kind=kind,
        namespaced=namespaced,
        singular=singular or kind.lower(),
        short_names=short,
        categories=categories,
        verbs=verbs,
        subresources=subresources,
        deprecation=deprecation,
    )


BUILT_IN: tuple[Resource, ...] = (
    _resource("", "v1", "bindings", "Binding", verbs=("create",)),
    _resource(
        "",
        "v1",
        "componentstatuses",
        "ComponentStatus",
        namespaced=False,
        short=("cs",),
        verbs=("get", "list"),
        deprecation="v1 ComponentStatus is deprecated in v1.19+",
    ),
    _resource("", "v1", "configmaps", "ConfigMap", short=("cm",)),
    _resource(
        "",
        "v1",
        "endpoints",
        "Endpoints",
        short=("ep",),
        deprecation=("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
    ),
    _resource("", "v1", "events", "Event", short=("ev",)),
    _resource("", "v1", "limitranges", "LimitRange", short=("limits",)),
    _resource(
        "",
        "v1",
        "namespaces",
        "Namespace",
        Subresource("finalize", "Namespace", ("update",)),
        _status("Namespace"),
        namespaced=False,
        short=("ns",),
        verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    ),
    _resource(
        "",
        "v1",
        "nodes",
        "Node",
        Subresource("proxy", "NodeProxyOptions", _PROXY_VERBS),
        _status("Node"),
        namespaced=False,
        short=("no",),
    ),
    _resource(
        "",
        "v1",
        "persistentvolumeclaims",
        "PersistentVolumeClaim",
        _status("PersistentVolumeClaim"),
        short=("pvc",),
    ),
    _resource(
        "",
        "v1",
        "persistentvolumes",
        "PersistentVolume",
        _status("PersistentVolume"),
        namespaced=False,
        short=("pv",),
    ),
    _resource(
        "",
        "v1",
        "pods",
        "Pod",
        Subresource("attach", "PodAttachOptions", ("create", "get")),
        Subresource("binding", "Binding", ("create",)),
        Subresource("ephemeralcontainers", "Pod", _STATUS_VERBS),
        Subresource("eviction", "Eviction", ("create",), "policy", "v1"),
        Subresource("exec", "PodExecOptions", ("create", "get")),
        Subresource("log", "Pod", ("get",)),
        Subresource("portforward", "PodPortForwardOptions", ("create", "get")),
        Subresource("proxy", "PodProxyOptions", _PROXY_VERBS),
        Subresource("resize", "Pod", _STATUS_VERBS),
        Subresource(
            scheduling.SUBRESOURCE,
            scheduling.KIND,
            ("get", "update"),
            scheduling.GROUP,
            scheduling.VERSION,
            discovered=False,
        ),
        _status("Pod"),
        short=("po",),
        categories=("all",),
    ),
    _resource("", "v1", "podtemplates", "PodTemplate"),
    _resource(
        "",
        "v1",
        "replicationcontrollers",
        "ReplicationController",
        _scale(),
        _status("ReplicationController"),
        short=("rc",),
        categories=("all",),
    ),
    _resource(
        "", "v1", "resourcequotas", "ResourceQuota", _status("ResourceQuota"), short=("quota",)
    ),
    _resource("", "v1", "secrets", "Secret"),
    _resource(
        "",
        "v1",
        "serviceaccounts",
        "ServiceAccount",
        Subresource("token", "TokenRequest", ("create",), "authentication.k8s.io", "v1"),
        short=("sa",),
    ),
    _resource(
        "",
        "v1",
        "services",
        "Service",
        Subresource("proxy", "ServiceProxyOptions", _PROXY_VERBS),
        _status("Service"),
        short=("svc",),
        categories=("all",),
    ),
    _resource(
        "admissionregistration.k8s.io",
        "v1",
        "mutatingadmissionpolicies",
        "MutatingAdmissionPolicy",
        namespaced=False,
        categories=("api-extensions",),
    ),
    _resource(
        "admissionregistration.k8s.io",
        "v1",
        "mutatingadmissionpolicybindings",
        "MutatingAdmissionPolicyBinding",
        namespaced=False,
        categories=("api-extensions",),
    ),
    _resource(
        "admissionregistration.k8s.io",
        "v1",
        "mutatingwebhookconfigurations",
        "MutatingWebhookConfiguration",
        namespaced=False,
        categories=("api-extensions",),
    ),
    _resource(
        "admissionregistration.k8s.io",
        "v1",
        "validatingadmissionpolicies",
        "ValidatingAdmissionPolicy",
        _status("ValidatingAdmissionPolicy"),
        namespaced=False,
        categories=("api-extensions",),
    ),
    _resource(
        "admissionregistration.k8s.io",
        "v1",
        "validatingadmissionpolicybindings",
        "ValidatingAdmissionPolicyBinding",
        namespaced=False,
        categories=("api-extensions",),
    ),
    _resource(
        "admissionregistration.k8s.io",
        "v1",
        "validatingwebhookconfigurations",
        "ValidatingWebhookConfiguration",
        namespaced=False,
        categories=("api-extensions",),
    ),
    _resource(
        "apiextensions.k8s.io",
        "v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        _status("CustomResourceDefinition"),
        namespaced=False,
        short=("crd", "crds"),
        categories=("api-extensions",),
    ),
    _resource(
        "apiregistration.k8s.io",
        "v1",
        "apiservices",
        "APIService",
        _status("APIService"),
        namespaced=False,
        categories=("api-extensions",),
    ),
    _resource("apps", "v1", "controllerrevisions", "ControllerRevision"),
    _resource(
        "apps",
        "v1",
        "daemonsets",
        "DaemonSet",
        _status("DaemonSet"),
        short=("ds",),
        categories=("all",),
    ),
    _resource(
        "apps",
        "v1",
        "deployments",
        "Deployment",
        _scale(),
        _status("Deployment"),
        short=("deploy",),
        categories=("all",),
    ),
    _resource(
        "apps",
        "v1",
        "replicasets",
        "ReplicaSet",
        _scale(),
        _status("ReplicaSet"),
        short=("rs",),
        categories=("all",),
    ),
    _resource(
        "apps",
        "v1",
        "statefulsets",
        "StatefulSet",
        _scale(),
        _status("StatefulSet"),
        short=("sts",),
        categories=("all",),
    ),
    _resource(
        "authentication.k8s.io",
        "v1",
        "selfsubjectreviews",
        "SelfSubjectReview",
        namespaced=False,
        verbs=("create",),
    ),
    _resource(
        "authentication.k8s.io",
        "v1",
        "tokenreviews",
        "TokenReview",
        namespaced=False,
        verbs=("create",),
    ),
    _resource(
        "authorization.k8s.io",
        "v1",
        "localsubjectaccessreviews",
        "LocalSubjectAccessReview",
        verbs=("create",),
    ),
    _resource(
        "authorization.k8s.io",
        "v1",
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
        namespaced=False,
        verbs=("create",),
    ),
    _resource(
        "authorization.k8s.io",
        "v1",
        "selfsubjectrulesreviews",
        "SelfSubjectRulesReview",
        namespaced=False,
        verbs=("create",),
    ),
    _resource(
        "authorization.k8s.io",
        "v1",
        "subjectaccessreviews",
        "SubjectAccessReview",
        namespaced=False,
        verbs=("create",),
    ),
    _resource(
        "autoscaling",
        "v1",
        "horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
        _status("HorizontalPodAutoscaler"),
        short=("hpa",),
        categories=("all",),
    ),
    _resource(
        "autoscaling",
        "v2",
        "horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
        _status("HorizontalPodAutoscaler"),
        short=("hpa",),
        categories=("all",),
    ),
    _resource(
        "batch", "v1", "cronjobs", "CronJob", _status("CronJob"), short=("cj",), categories=("all",)
    ),
    _resource("batch", "v1", "jobs", "Job", _status("Job"), categories=("all",)),
    _resource(
        "certificates.k8s.io",
        "v1",
        "certificatesigningrequests",
        "CertificateSigningRequest",
        Subresource("approval", "CertificateSigningRequest", _STATUS_VERBS),
        _status("CertificateSigningRequest"),
        namespaced=False,
        short=("csr",),
    ),
    _resource("coordination.k8s.io", "v1", "leases", "Lease"),
    _resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice"),
    _resource("events.k8s.io", "v1", "events", "Event", short=("ev",)),
    _resource(
        "flowcontrol.apiserver.k8s.io",
        "v1",
        "flowschemas",
        "FlowSchema",
        _status("FlowSchema"),
        namespaced=False,
    ),
    _resource(
        "flowcontrol.apiserver.k8s.io",
        "v1",
        "prioritylevelconfigurations",
        "PriorityLevelConfiguration",
        _status("PriorityLevelConfiguration"),
        namespaced=False,
    ),
    _resource("networking.k8s.io", "v1", "ingressclasses", "IngressClass", namespaced=False),
    _resource(
        "networking.k8s.io", "v1", "ingresses", "Ingress", _status("Ingress"), short=("ing",)
    ),
    _resource(
        "networking.k8s.io", "v1", "ipaddresses", "IPAddress", namespaced=False, short=("ip",)
    ),
    _resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", short=("netpol",)),
    _resource(
        "networking.k8s.io",
        "v1",
        "servicecidrs",
        "ServiceCIDR",
        _status("ServiceCIDR"),
        namespaced=False,
    ),
    _resource("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", namespaced=False),
    _resource(
        "policy",
        "v1",
        "poddisruptionbudgets",
        "PodDisruptionBudget",
        _status("PodDisruptionBudget"),
        short=("pdb",),
    ),
    _resource(
        "rbac.authorization.k8s.io",
        "v1",
        "clusterrolebindings",
        "ClusterRoleBinding",
        namespaced=False,
    ),
    _resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False),
    _resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding"),
    _resource("rbac.authorization.k8s.io", "v1", "roles", "Role"),
    _resource("resource.k8s.io", "v1", "deviceclasses", "DeviceClass", namespaced=False),
    _resource("resource.k8s.io", "v1", "resourceclaims", "ResourceClaim", _status("ResourceClaim")),
    _resource("resource.k8s.io", "v1", "resourceclaimtemplates", "ResourceClaimTemplate"),
    _resource("resource.k8s.io", "v1", "resourceslices", "ResourceSlice", namespaced=False),
    _resource(
        "scheduling.k8s.io",
        "v1",
        "priorityclasses",
        "PriorityClass",
        namespaced=False,
        short=("pc",),
    ),
    _resource("storage.k8s.io", "v1", "csidrivers", "CSIDriver", namespaced=False),
    _resource("storage.k8s.io", "v1", "csinodes", "CSINode", namespaced=False),
    _resource("storage.k8s.io", "v1", "csistoragecapacities", "CSIStorageCapacity"),
    _resource(
        "storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False, short=("sc",)
    ),
    _resource(
        "storage.k8s.io",
        "v1",
        "volumeattachments",
        "VolumeAttachment",
        _status("VolumeAttachment"),
        namespaced=False,
    ),
    _resource(
        "storage.k8s.io",
        "v1",
        "volumeattributesclasses",
        "VolumeAttributesClass",
        namespaced=False,
        short=("vac",),
    ),
)


class ResourceTable:
    """Served resources by name, kind or path. Custom resources are added at run time."""

    def __init__(self, resources: Iterable[Resource] = BUILT_IN) -> None:
        self._by_gvr: dict[tuple[str, str, str], Resource] = {}
        self._by_name: dict[str, Resource] = {}
        self._by_gvk: dict[tuple[str, str, str], Resource] = {}
        self.version = 0  # counts changes, for what is derived from the table
        for resource in resources:
            self.add(resource)

    def add(self, resource: Resource) -> None:
        """Serve a resource. Of several versions, the one added last answers ``named``."""
        self.version += 1
        self._by_gvr[resource.group, resource.version, resource.plural] = resource
        self._by_name[resource.name] = resource
        self._by_gvk[resource.group, resource.version, resource.kind] = resource

    def remove(self, resource: Resource) -> None:
        """Stop serving a resource."""
        self.version += 1
        self._by_gvr.pop((resource.group, resource.version, resource.plural), None)
        self._by_gvk.pop((resource.group, resource.version, resource.kind), None)
        if self._by_name.get(resource.name) == resource:
            del self._by_name[resource.name]

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        return self._by_gvr.get((group, version, plural))

    def named(self, name: str) -> Resource | None:
        """By version-less name: ``pods`` or ``deployments.apps``."""
        return self._by_name.get(name)

    def of_kind(self, api_version: str, kind: str) -> Resource | None:
        """By ``apiVersion`` and ``kind`` of an object."""
        group, _, version = api_version.rpartition("/")
        return self._by_gvk.get((group, version, kind))

    def __iter__(self) -> Iterator[Resource]:
        return iter(tuple(self._by_gvr.values()))
