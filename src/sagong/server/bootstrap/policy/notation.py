"""A short way to write RBAC rules and subjects, so that the tables of policy can be read."""

from sagong.api.types import Obj

RBAC = "rbac.authorization.k8s.io"
READ = "get list watch"
ALL_VERBS = "create delete deletecollection get list patch update watch"


def allow(verbs: str, groups: str, resources: str, *names: str) -> Obj:
    """A rule. Verbs and resources are separated by blanks, groups by commas ("" is the core)."""
    rule: Obj = {
        "apiGroups": groups.split(","),
        "resources": resources.split(),
        "verbs": verbs.split(),
    }
    if names:
        rule["resourceNames"] = list(names)
    return rule


def allow_urls(verbs: str, urls: str) -> Obj:
    return {"nonResourceURLs": urls.split(), "verbs": verbs.split()}


def user(name: str) -> Obj:
    return {"apiGroup": RBAC, "kind": "User", "name": name}


def group(name: str) -> Obj:
    return {"apiGroup": RBAC, "kind": "Group", "name": name}


def account(namespace: str, name: str) -> Obj:
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}


WRITE_EVENTS = allow("create patch update", ",events.k8s.io", "events")
