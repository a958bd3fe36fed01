"""Every built-in kind's strategy, by version-less resource name. Kinds without one get DEFAULT."""

from collections.abc import Mapping

from sagong.server.kinds.admissionregistration import admission_policy, webhook_configuration
from sagong.server.kinds.apiextensions import custom_resource_definition
from sagong.server.kinds.apiregistration import api_service
from sagong.server.kinds.apps import (
    controller_revision,
    daemon_set,
    deployment,
    replica_set,
    stateful_set,
)
from sagong.server.kinds.autoscaling import horizontal_pod_autoscaler
from sagong.server.kinds.batch import cron_job, job
from sagong.server.kinds.certificates import certificate_signing_request
from sagong.server.kinds.coordination import lease
from sagong.server.kinds.core import (
    config_map,
    endpoints,
    limit_range,
    namespace,
    node,
    persistent_volume,
    persistent_volume_claim,
    pod,
    pod_template,
    replication_controller,
    resource_quota,
    secret,
    service,
    service_account,
)
from sagong.server.kinds.core import event as core_event
from sagong.server.kinds.discovery import endpoint_slice
from sagong.server.kinds.events import event as events_event
from sagong.server.kinds.flowcontrol import flow_schema, priority_level
from sagong.server.kinds.networking import (
    ingress,
    ingress_class,
    ip_address,
    network_policy,
    service_cidr,
)
from sagong.server.kinds.node import runtime_class
from sagong.server.kinds.policy import pod_disruption_budget
from sagong.server.kinds.rbac import binding, role
from sagong.server.kinds.resource import (
    device_class,
    resource_claim,
    resource_claim_template,
    resource_slice,
)
from sagong.server.kinds.scheduling import priority_class
from sagong.server.kinds.storage import (
    csi_driver,
    csi_node,
    csi_storage_capacity,
    storage_class,
    volume_attachment,
    volume_attributes_class,
)
from sagong.server.kinds.strategy import Strategy

_CORE: Mapping[str, Strategy] = {
    "configmaps": config_map.STRATEGY,
    "endpoints": endpoints.STRATEGY,
    "events": core_event.STRATEGY,
    "limitranges": limit_range.STRATEGY,
    "namespaces": namespace.STRATEGY,
    "nodes": node.STRATEGY,
    "persistentvolumeclaims": persistent_volume_claim.STRATEGY,
    "persistentvolumes": persistent_volume.STRATEGY,
    "pods": pod.STRATEGY,
    "podtemplates": pod_template.STRATEGY,
    "replicationcontrollers": replication_controller.STRATEGY,
    "resourcequotas": resource_quota.STRATEGY,
    "secrets": secret.STRATEGY,
    "serviceaccounts": service_account.STRATEGY,
    "services": service.STRATEGY,
}

_WORKLOADS: Mapping[str, Strategy] = {
    "controllerrevisions.apps": controller_revision.STRATEGY,
    "daemonsets.apps": daemon_set.STRATEGY,
    "deployments.apps": deployment.STRATEGY,
    "replicasets.apps": replica_set.STRATEGY,
    "statefulsets.apps": stateful_set.STRATEGY,
    "horizontalpodautoscalers.autoscaling": horizontal_pod_autoscaler.STRATEGY,
    "cronjobs.batch": cron_job.STRATEGY,
    "jobs.batch": job.STRATEGY,
    "poddisruptionbudgets.policy": pod_disruption_budget.STRATEGY,
    "priorityclasses.scheduling.k8s.io": priority_class.STRATEGY,
    "runtimeclasses.node.k8s.io": runtime_class.STRATEGY,
}

_NETWORK: Mapping[str, Strategy] = {
    "endpointslices.discovery.k8s.io": endpoint_slice.STRATEGY,
    "ingressclasses.networking.k8s.io": ingress_class.STRATEGY,
    "ingresses.networking.k8s.io": ingress.STRATEGY,
    "ipaddresses.networking.k8s.io": ip_address.STRATEGY,
    "networkpolicies.networking.k8s.io": network_policy.STRATEGY,
    "servicecidrs.networking.k8s.io": service_cidr.STRATEGY,
}

_STORAGE: Mapping[str, Strategy] = {
    "csidrivers.storage.k8s.io": csi_driver.STRATEGY,
    "csinodes.storage.k8s.io": csi_node.STRATEGY,
    "csistoragecapacities.storage.k8s.io": csi_storage_capacity.STRATEGY,
    "storageclasses.storage.k8s.io": storage_class.STRATEGY,
    "volumeattachments.storage.k8s.io": volume_attachment.STRATEGY,
    "volumeattributesclasses.storage.k8s.io": volume_attributes_class.STRATEGY,
    "deviceclasses.resource.k8s.io": device_class.STRATEGY,
    "resourceclaims.resource.k8s.io": resource_claim.STRATEGY,
    "resourceclaimtemplates.resource.k8s.io": resource_claim_template.STRATEGY,
    "resourceslices.resource.k8s.io": resource_slice.STRATEGY,
}

_API: Mapping[str, Strategy] = {
    "mutatingadmissionpolicies.admissionregistration.k8s.io": admission_policy.MUTATING,
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io": (
        admission_policy.MUTATING_BINDING
    ),
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": webhook_configuration.MUTATING,
    "validatingadmissionpolicies.admissionregistration.k8s.io": admission_policy.VALIDATING,
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": (
        admission_policy.VALIDATING_BINDING
    ),
    "validatingwebhookconfigurations.admissionregistration.k8s.io": (
        webhook_configuration.VALIDATING
    ),
    "customresourcedefinitions.apiextensions.k8s.io": custom_resource_definition.STRATEGY,
    "apiservices.apiregistration.k8s.io": api_service.STRATEGY,
    "certificatesigningrequests.certificates.k8s.io": certificate_signing_request.STRATEGY,
    "leases.coordination.k8s.io": lease.STRATEGY,
    "events.events.k8s.io": events_event.STRATEGY,
    "flowschemas.flowcontrol.apiserver.k8s.io": flow_schema.STRATEGY,
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": priority_level.STRATEGY,
    "clusterrolebindings.rbac.authorization.k8s.io": binding.CLUSTER_ROLE_BINDING,
    "clusterroles.rbac.authorization.k8s.io": role.CLUSTER_ROLE,
    "rolebindings.rbac.authorization.k8s.io": binding.ROLE_BINDING,
    "roles.rbac.authorization.k8s.io": role.ROLE,
}

STRATEGIES: Mapping[str, Strategy] = {**_CORE, **_WORKLOADS, **_NETWORK, **_STORAGE, **_API}
