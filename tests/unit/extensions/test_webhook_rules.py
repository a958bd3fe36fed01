"""Which writes a webhook is called for, as a table."""

from typing import Any

import pytest

from sagong.api.call import Options
from sagong.api.errors import NotFound
from sagong.api.resources import ResourceTable
from sagong.api.types import Encoded, Obj, User
from sagong.server.admission.interface import Attributes, Operation
from sagong.server.admission.webhooks.hooks import hooks_of
from sagong.server.admission.webhooks.matching import wanted_as

TABLE = ResourceTable()
NAMESPACES = {"try": {"team": "blue"}, "other": {}}


class Namespaces:
    """The namespaces that there are."""

    def get(self, resource: str, namespace: str, name: str) -> Encoded | None:
        labels = NAMESPACES.get(name)
        return None if labels is None else Encoded({"metadata": {"name": name, "labels": labels}})

    def list(self, resource: str, namespace: str | None = None) -> list[Encoded]:
        return []

    def version(self, resource: str) -> int:
        return 0


def write(resource: str, **fields: Any) -> Attributes:
    found = TABLE.named(resource)
    assert found is not None
    labels: dict[str, str] = fields.pop("labels", {})
    namespace = fields.pop("namespace", "try" if found.namespaced else "")
    obj: Obj = {"kind": found.kind, "metadata": {"name": "x", "labels": labels}}
    values: dict[str, Any] = {
        "operation": Operation.CREATE,
        "subresource": "",
        "obj": obj,
        "old": None,
        **fields,
    }
    return Attributes(
        resource=found,
        namespace=namespace,
        name="x",
        options=Options(),
        user=User("u"),
        lister=Namespaces(),
        **values,
    )


def called(attributes: Attributes, rule: Obj | None = None, **webhook: Any) -> str:
    """The version in which the webhook sees the write, "" for not at all."""
    rules = {
        "operations": ["CREATE"],
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "resources": ["*"],
        **(rule or {}),
    }
    client = {"clientConfig": {"url": "https://x"}, "name": "a.b.c"}
    (hook,) = hooks_of(
        {"metadata": {"name": "c"}, "webhooks": [{**client, "rules": [rules], **webhook}]}
    )
    resource = attributes.resource
    equivalents = [r for r in TABLE if r.plural == resource.plural and resource.plural == _HPA]
    found = wanted_as(hook, attributes, equivalents or [resource])
    return found.version if found else ""


_HPA = "horizontalpodautoscalers"
EXEC = {"subresource": "exec", "operation": Operation.CONNECT}
RULES: list[tuple[Attributes, Obj, str]] = [
    (write("pods"), {}, "v1"),
    (write("pods"), {"operations": ["UPDATE", "DELETE"]}, ""),
    (write("pods"), {"operations": ["*"]}, "v1"),
    (write("pods"), {"resources": ["configmaps"]}, ""),
    (write("pods"), {"apiGroups": ["apps"]}, ""),
    (write("pods"), {"apiGroups": ["*"], "apiVersions": ["*"]}, "v1"),
    (write("pods"), {"apiVersions": ["v2"]}, ""),
    # "*" is every resource and no subresource; "*/*" is everything.
    (write("pods", **EXEC), {"operations": ["CONNECT"], "resources": ["*"]}, ""),
    (write("pods", **EXEC), {"operations": ["CONNECT"], "resources": ["*/*"]}, "v1"),
    (write("pods", **EXEC), {"operations": ["CONNECT"], "resources": ["pods/*"]}, "v1"),
    (write("pods", **EXEC), {"operations": ["CONNECT"], "resources": ["*/exec"]}, "v1"),
    (write("pods", **EXEC), {"operations": ["CONNECT"], "resources": ["*/attach"]}, ""),
    # Namespaces are cluster-scoped themselves.
    (write("pods"), {"scope": "Cluster"}, ""),
    (write("pods"), {"scope": "Namespaced"}, "v1"),
    (write("nodes"), {"scope": "Cluster"}, "v1"),
    (write("namespaces"), {"scope": "Namespaced"}, ""),
    (write("namespaces"), {"scope": "Cluster"}, "v1"),
]


@pytest.mark.parametrize(("attributes", "rule", "version"), RULES)
def test_rules(attributes: Attributes, rule: Obj, version: str) -> None:
    assert called(attributes, rule) == version


BLUE = {"namespaceSelector": {"matchLabels": {"team": "blue"}}}
MARKED = {"objectSelector": {"matchLabels": {"marked": "yes"}}}
YES = {"marked": "yes"}
OLD = {"metadata": {"labels": YES}}
SELECTORS: list[tuple[Attributes, Obj, str]] = [
    (write("pods"), BLUE, "v1"),
    (write("pods", namespace="other"), BLUE, ""),
    (write("nodes"), BLUE, "v1"),  # nothing outside of namespaces is exempt
    (write("namespaces", labels={"team": "blue"}), BLUE, "v1"),
    (write("namespaces"), BLUE, ""),
    (write("pods"), MARKED, ""),
    (write("pods", labels=YES), MARKED, "v1"),
    # The old object counts as well, so that a label cannot be taken off unseen.
    (write("pods", old=OLD), MARKED, "v1"),
    (write("pods", obj={"kind": "PodExecOptions"}), MARKED, ""),
]


@pytest.mark.parametrize(("attributes", "webhook", "version"), SELECTORS)
def test_selectors(attributes: Attributes, webhook: Obj, version: str) -> None:
    assert called(attributes, None, **webhook) == version


def test_a_namespace_that_is_not_there_matters_only_if_the_rules_match() -> None:
    attributes = write("pods", namespace="absent")
    with pytest.raises(NotFound):
        called(attributes, None, **BLUE)
    assert called(attributes, {"resources": ["secrets"]}, **BLUE) == ""


@pytest.mark.parametrize(("policy", "version"), [("Equivalent", "v1"), ("Exact", "")])
def test_other_versions_count_if_the_policy_says_so(policy: str, version: str) -> None:
    attributes = write(f"{_HPA}.autoscaling")
    assert attributes.resource.version == "v2"
    rule = {"apiGroups": ["autoscaling"], "apiVersions": ["v1"], "resources": [_HPA]}
    assert called(attributes, rule, matchPolicy=policy) == version
