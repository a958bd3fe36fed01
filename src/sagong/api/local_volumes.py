"""The default storage class, whose volumes are directories on a node, by the names that are fixed.

The server makes the class, the controllers make its volumes, agents say where they are kept.
"""

from sagong.api.types import Obj

PROVISIONER = "sagong.dev/local"
STORAGE_CLASS = "local"
# Where a node keeps such volumes; its agent says so on its Node object.
DIRECTORY_ANNOTATION = "sagong.dev/volumes-directory"


def default_class() -> Obj:
    """The storage class that a new cluster has."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": STORAGE_CLASS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
    }
