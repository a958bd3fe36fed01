"""What OpenAPI does not say of upstream's Go types: which values vanish, which are always there.

``encoding/json`` omits an empty value of an ``omitempty`` field unless the field is a pointer, and
never omits a struct held by value. Answers, managed fields and hashes show it, so it must be known.
OpenAPI v2 tells neither pointers nor structs by value; these tables do, by definition (the last
part of its name) and field. Rules first: ``metadata``, ``spec``, ``status`` and ``template`` are
structs by value; required fields are always there; of optional fields, empty strings, lists and
maps vanish and false and 0 stay, unless a table says otherwise.
"""

from collections.abc import Mapping
from typing import Any

# Structs by value, besides those that the rules name.
STRUCT_FIELDS: Mapping[str, tuple[str, ...]] = {
    "Container": ("resources",),
    "ContainerStatus": ("lastState", "state"),
    "CronJobSpec": ("jobTemplate",),
    "CustomResourceDefinitionSpec": ("names",),
    "CustomResourceDefinitionStatus": ("acceptedNames",),
    "DaemonSetSpec": ("updateStrategy",),
    "DeploymentSpec": ("strategy",),
    "EphemeralContainer": ("resources",),
    "Event": ("involvedObject", "source", "regarding", "deprecatedSource"),
    "IngressStatus": ("loadBalancer",),
    "LimitedPriorityLevelConfiguration": ("limitResponse",),
    "MutatingWebhook": ("clientConfig",),
    "NetworkPolicySpec": ("podSelector",),
    "NodeDaemonEndpoints": ("kubeletEndpoint",),
    "NodeStatus": ("daemonEndpoints", "nodeInfo"),
    "PersistentVolumeClaimSpec": ("resources",),
    "ResourceClaimSpec": ("devices",),
    "SelfSubjectReviewStatus": ("userInfo",),
    "ServiceStatus": ("loadBalancer",),
    "StatefulSetSpec": ("updateStrategy",),
    "TokenReviewStatus": ("user",),
    "ValidatingWebhook": ("clientConfig",),
    "VolumeAttachmentSpec": ("source",),
}
STRUCT_NAMES = ("metadata", "spec", "status", "template")
# Called so, but pointers; or required structs that are pointers.
POINTER_STRUCTS = frozenset({
    ("IPAddressSpec", "parentRef"),
    ("ReplicationControllerSpec", "template"),
    ("ScaleIOPersistentVolumeSource", "secretRef"),
    ("ScaleIOVolumeSource", "secretRef"),
    ("DaemonSetSpec", "selector"),
    ("DeploymentSpec", "selector"),
    ("ReplicaSetSpec", "selector"),
    ("StatefulSetSpec", "selector"),
})  # fmt: skip

# Optional fields that are always written, and their zero values.
ZERO_FIELDS: Mapping[str, Mapping[str, Any]] = {
    "ClusterRole": {"rules": None},
    "ContainerStateRunning": {"startedAt": None},
    "ContainerStateTerminated": {"finishedAt": None, "startedAt": None},
    "DeploymentCondition": {"lastTransitionTime": None, "lastUpdateTime": None},
    "DaemonSetCondition": {"lastTransitionTime": None},
    "Event": {
        "eventTime": None,
        "firstTimestamp": None,
        "lastTimestamp": None,
        "deprecatedFirstTimestamp": None,
        "deprecatedLastTimestamp": None,
        "reportingComponent": "",
        "reportingInstance": "",
    },
    "HorizontalPodAutoscalerCondition": {"lastTransitionTime": None},
    "JobCondition": {"lastProbeTime": None, "lastTransitionTime": None},
    "NamespaceCondition": {"lastTransitionTime": None},
    "NodeCondition": {"lastHeartbeatTime": None, "lastTransitionTime": None},
    "PersistentVolumeClaimCondition": {"lastProbeTime": None, "lastTransitionTime": None},
    "PodCondition": {"lastProbeTime": None, "lastTransitionTime": None},
    "ReplicaSetCondition": {"lastTransitionTime": None},
    "ReplicationControllerCondition": {"lastTransitionTime": None},
    "ResourceFieldSelector": {"divisor": "0"},
    "Role": {"rules": None},
    "StatefulSetCondition": {"lastTransitionTime": None},
    "StatefulSetStatus": {"availableReplicas": 0},
    "VolumeError": {"time": None},
}

# Lists without omitempty that are null in answers. (So are a Role's rules; those stay absent here.)
WRITTEN_NULLS: Mapping[str, tuple[str, ...]] = {
    "CSINodeDriver": ("topologyKeys",),
    "CustomResourceDefinitionStatus": ("conditions", "storedVersions"),
}

# Optional strings that are pointers: "" is a value of its own and stays.
POINTER_STRINGS = frozenset({
    "apiGroup", "appProtocol", "deprecationWarning", "holderIdentity", "ingressClassName",
    "loadBalancerClass", "localhostProfile", "managedBy", "persistentVolumeName",
    "runtimeClassName", "timeZone", "url", "volumeAttributesClassName",
})  # fmt: skip
POINTER_STRING_FIELDS = frozenset({
    ("CSIVolumeSource", "fsType"),
    ("Endpoint", "hostname"),
    ("Endpoint", "nodeName"),
    ("Endpoint", "zone"),
    ("EndpointPort", "name"),
    ("GRPCAction", "service"),
    ("HostPathVolumeSource", "type"),
    ("PersistentVolumeClaimSpec", "storageClassName"),
    ("PodDNSConfigOption", "value"),
    ("PodSpec", "hostnameOverride"),
    ("ResourceSliceSpec", "nodeName"),
    ("ServiceReference", "path"),
})  # fmt: skip
# ... and of those names, the fields that are plain strings after all.
VALUE_STRING_FIELDS = frozenset({
    ("RoleRef", "apiGroup"),
    ("Subject", "apiGroup"),
    ("ResourceClaimConsumerReference", "apiGroup"),
})  # fmt: skip

# Optional booleans held by value: false vanishes.
VALUE_BOOLEANS = frozenset({
    "chapAuthDiscovery", "chapAuthSession", "deprecated", "exclusiveMaximum", "exclusiveMinimum",
    "globalDefault", "hostIPC", "hostNetwork", "hostPID", "incomplete", "insecureSkipTLSVerify",
    "nullable", "paused", "preserveUnknownFields", "publishNotReadyAddresses", "readOnly",
    "sslEnabled", "stdin", "stdinOnce", "tty", "uniqueItems", "unschedulable",
    "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string", "authenticated", "denied",
})  # fmt: skip
POINTER_BOOLEAN_FIELDS = frozenset({
    ("CSIVolumeSource", "readOnly"),
    ("AzureDiskVolumeSource", "readOnly"),
})  # fmt: skip

# Optional integers held by value: 0 vanishes.
VALUE_INTEGERS = frozenset({
    "availableReplicas", "failureThreshold", "fullyLabeledReplicas",
    "generation", "healthCheckNodePort", "hostPort", "initialDelaySeconds", "minReadySeconds",
    "nodePort", "numberAvailable", "numberUnavailable", "observedGeneration", "periodSeconds",
    "readyReplicas", "signal", "successThreshold", "unavailableReplicas",
    "updatedNumberScheduled", "updatedReplicas",
})  # fmt: skip
VALUE_INTEGER_FIELDS = frozenset({
    ("AWSElasticBlockStoreVolumeSource", "partition"),
    ("DeploymentStatus", "replicas"),
    ("Event", "count"),
    ("EventSeries", "count"),
    ("ExactDeviceRequest", "count"),
    ("GCEPersistentDiskVolumeSource", "partition"),
    ("JobStatus", "active"),
    ("JobStatus", "failed"),
    ("JobStatus", "succeeded"),
    ("Probe", "timeoutSeconds"),
    ("StatefulSetStatus", "currentReplicas"),
})  # fmt: skip
POINTER_INTEGER_FIELDS = frozenset({
    ("HorizontalPodAutoscalerStatus", "observedGeneration"),
    ("PodCertificateRequestStatus", "observedGeneration"),
})  # fmt: skip


def vanishes(type_name: str, field: str, kind: str) -> bool:
    """Is an empty value of this optional field not written? ``kind`` as in ``schema.Kind``."""
    at = (type_name, field)
    if kind in ("array", "map", "bytes"):
        if field in WRITTEN_NULLS.get(type_name, ()):
            return False
        return field not in ZERO_FIELDS.get(type_name, ())
    if kind == "string":
        pointer = field in POINTER_STRINGS and at not in VALUE_STRING_FIELDS
        written = field in ZERO_FIELDS.get(type_name, ())
        return not (pointer or written or at in POINTER_STRING_FIELDS)
    if kind == "boolean":
        return field in VALUE_BOOLEANS and at not in POINTER_BOOLEAN_FIELDS
    if kind == "integer":
        by_name = field in VALUE_INTEGERS and at not in POINTER_INTEGER_FIELDS
        written = field in ZERO_FIELDS.get(type_name, ())
        return not written and (by_name or at in VALUE_INTEGER_FIELDS)
    return False
