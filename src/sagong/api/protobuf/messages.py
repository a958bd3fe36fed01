"""Which fields the API's protobuf messages have, and where they differ from the JSON form.

In Go inlined structs are messages of their own, and times, quantities, int-or-strings and raw JSON
have messages where JSON has a scalar. Source: the published ``generated.proto`` files of
Kubernetes 1.36, whose field numbers ``messages.json`` holds.
"""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import orjson

MAGIC = b"k8s\0"
UNKNOWN = "k8s.io.apimachinery.pkg.runtime.Unknown"
META = "k8s.io.apimachinery.pkg.apis.meta.v1."

# Go structs that JSON shows inline, by message and field: their fields join the parent's.
INLINE = frozenset(
    {
        ("Volume", "volumeSource"),
        ("PersistentVolumeSpec", "persistentVolumeSource"),
        ("Probe", "handler"),
        ("EphemeralContainer", "ephemeralContainerCommon"),
        ("ConfigMapEnvSource", "localObjectReference"),
        ("ConfigMapKeySelector", "localObjectReference"),
        ("ConfigMapProjection", "localObjectReference"),
        ("ConfigMapVolumeSource", "localObjectReference"),
        ("SecretEnvSource", "localObjectReference"),
        ("SecretKeySelector", "localObjectReference"),
        ("SecretProjection", "localObjectReference"),
        ("RuleWithOperations", "rule"),
        ("NamedRuleWithOperations", "ruleWithOperations"),
        ("IngressRule", "ingressRuleValue"),
        ("DeviceAllocationConfiguration", "deviceConfiguration"),
        ("DeviceClaimConfiguration", "deviceConfiguration"),
        ("DeviceClassConfiguration", "deviceConfiguration"),
    }
)
# Fields whose JSON name is another one.
_RENAMED = {
    ("MutatingWebhookConfiguration", "Webhooks"): "webhooks",
    ("ValidatingWebhookConfiguration", "Webhooks"): "webhooks",
    ("Validation", "Expression"): "expression",
    ("Variable", "Expression"): "expression",
    ("Variable", "Name"): "name",
    ("BoundObjectReference", "uID"): "uid",
    ("IngressClassParametersReference", "aPIGroup"): "apiGroup",
    ("JSONSchemaProps", "ref"): "$ref",
    ("JSONSchemaProps", "schema"): "$schema",
    ("JSONSchemaProps", "xKubernetesEmbeddedResource"): "x-kubernetes-embedded-resource",
    ("JSONSchemaProps", "xKubernetesIntOrString"): "x-kubernetes-int-or-string",
    ("JSONSchemaProps", "xKubernetesListMapKeys"): "x-kubernetes-list-map-keys",
    ("JSONSchemaProps", "xKubernetesListType"): "x-kubernetes-list-type",
    ("JSONSchemaProps", "xKubernetesMapType"): "x-kubernetes-map-type",
    ("JSONSchemaProps", "xKubernetesPreserveUnknownFields"): "x-kubernetes-preserve-unknown-fields",
    ("JSONSchemaProps", "xKubernetesValidations"): "x-kubernetes-validations",
}

Fields = Mapping[int, tuple[str, str, str, str]]


class BadProtobuf(ValueError):
    """The bytes are not what they claim to be."""


class Messages:
    """The messages of the API by full name; from field number to name, label and type."""

    def __init__(self) -> None:
        text = files("sagong.api.protobuf").joinpath("messages.json").read_bytes()
        self._raw: Mapping[str, Mapping[str, list[Any]]] = orjson.loads(text)["messages"]
        self._by_kind: dict[tuple[str, str], str] = {}
        self._fields: dict[str, Fields] = {}

    def named(self, name: str) -> Fields:
        """The fields of a message. Raises BadProtobuf if there is none."""
        fields = self._fields.get(name)
        if fields is None:
            raw = self._raw.get(name)
            if raw is None:
                raise BadProtobuf(f"no such message: {name}")
            short = name.rpartition(".")[2]
            fields = self._fields[name] = {
                f[0]: (
                    _RENAMED.get((short, field), field),
                    f[1],
                    f[2],
                    f[3] if f[1] == "map" else "",
                )
                for field, f in raw.items()
            }
        return fields

    def has_kind(self, api_version: str, kind: str) -> bool:
        """Whether there is a message of a kind."""
        try:
            self.of_kind(api_version, kind)
        except BadProtobuf:
            return False
        return True

    def of_kind(self, api_version: str, kind: str) -> str:
        """The message of a kind. Raises BadProtobuf if there is none."""
        if (known := self._by_kind.get((api_version, kind))) is not None:
            return known
        group, _, version = api_version.rpartition("/")
        for package in _packages(group, version):
            name = f"{package}.{kind}"
            if name in self._raw:
                self._by_kind[api_version, kind] = name
                return name
        raise BadProtobuf(f'no kind "{kind}" is registered for version "{api_version}"')


def _packages(group: str, version: str) -> list[str]:
    if kind_group := _SPECIAL_PACKAGES.get(group):
        return [f"{kind_group}.{version}"]
    short = group.partition(".")[0] or "core"
    return [f"k8s.io.api.{short}.{version}", f"k8s.io.apimachinery.pkg.apis.meta.{version}"]


_SPECIAL_PACKAGES = {
    "apiextensions.k8s.io": "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions",
    "apiregistration.k8s.io": "k8s.io.kube_aggregator.pkg.apis.apiregistration",
    "rbac.authorization.k8s.io": "k8s.io.api.rbac",
    "flowcontrol.apiserver.k8s.io": "k8s.io.api.flowcontrol",
    "meta.k8s.io": "k8s.io.apimachinery.pkg.apis.meta",
    "metrics.k8s.io": "k8s.io.metrics.pkg.apis.metrics",
}


# Messages that stand for a list in JSON.
LISTS = frozenset(("ExtraValue", "OptionalVerbs", "PodResourceClaimStatuses", "Verbs"))
# Messages that stand for whatever JSON there is.
RAW = frozenset(("FieldsV1", "JSON", "RawExtension"))
# Messages that hold a schema or something simpler.
CHOICES = frozenset(
    ("JSONSchemaPropsOrArray", "JSONSchemaPropsOrBool", "JSONSchemaPropsOrStringArray")
)
