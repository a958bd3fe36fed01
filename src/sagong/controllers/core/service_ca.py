"""Publish the service CA as ConfigMap ``openshift-service-ca.crt`` in every namespace.

Reads: Namespace, ConfigMap.  Writes: ConfigMap (create, update).
Invariant: every namespace that takes pods has what their token volume mounts.

The recorded genuine servers mount this ConfigMap beside ``kube-root-ca.crt`` into every pod, so it
has to be there or no pod starts. We have no CA for services of its own: it is the cluster's.
"""

from sagong.controllers.core.published_ca import Publication, publisher

PUBLICATION = Publication("openshift-service-ca.crt", "service-ca.crt")
CONTROLLER = publisher("service-ca-cert-publisher", PUBLICATION)
