"""Publish the cluster's CA certificate as ConfigMap ``kube-root-ca.crt`` in every namespace.

Reads: Namespace, ConfigMap.  Writes: ConfigMap (create, update).
Invariant: the published certificate is the one that this process was given.
"""

from sagong.controllers.core.published_ca import Publication, publisher

_TEXT = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal "
    "endpoints such as the internal service IP or kubernetes.default.svc. No other usage is "
    "guaranteed across distributions of Kubernetes clusters."
)

PUBLICATION = Publication("kube-root-ca.crt", "ca.crt", {"kubernetes.io/description": _TEXT})
CONTROLLER = publisher("root-ca-cert-publisher", PUBLICATION)
