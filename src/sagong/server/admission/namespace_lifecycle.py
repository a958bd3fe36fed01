"""NamespaceLifecycle: nothing is written into namespaces that do not exist or are going away.

Source of semantics: apiserver's ``pkg/admission/plugin/namespace/lifecycle``.
"""

from sagong.api.errors import forbidden, not_found
from sagong.server.admission.interface import Attributes, Operation
from sagong.server.admission.plugin import Mutating, refuse

IMMORTAL = frozenset({"default", "kube-system", "kube-public"})
_ACCESS_REVIEWS = "localsubjectaccessreviews.authorization.k8s.io"


class NamespaceLifecycle(Mutating):
    name = "NamespaceLifecycle"

    async def admit(self, attributes: Attributes) -> None:
        if attributes.operation is Operation.CONNECT:
            return
        deletes = attributes.operation is Operation.DELETE
        if attributes.resource.name == "namespaces":
            if deletes and attributes.name in IMMORTAL:
                raise forbidden(
                    "", "namespaces", attributes.name, "this namespace may not be deleted"
                )
            return
        if not attributes.namespace or deletes or attributes.resource.name == _ACCESS_REVIEWS:
            return
        namespace = attributes.lister.get("namespaces", "", attributes.namespace)
        if namespace is None:
            raise not_found("", "namespaces", attributes.namespace)
        if attributes.operation is not Operation.CREATE:
            return
        if (namespace.obj.get("status") or {}).get("phase") == "Terminating":
            raise _terminating(attributes)


def _terminating(attributes: Attributes) -> Exception:
    name = attributes.namespace
    error = refuse(
        attributes,
        f"unable to create new content in namespace {name} because it is being terminated",
    )
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {name} is being terminated",
        "field": "metadata.namespace",
    }
    error.details = {**(error.details or {}), "causes": [cause]}
    return error
