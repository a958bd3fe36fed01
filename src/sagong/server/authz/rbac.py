"""Role-based access control over the cluster's own Roles and bindings.

Bindings are indexed by subject, and each subject's rules are compiled, when it first asks after a
change; most requests then cost a walk over the few rules of their user. Source of semantics:
upstream's ``plugin/pkg/auth/authorizer/rbac`` and ``pkg/registry/rbac/validation``.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sagong.api.meta import name_of, namespace_of
from sagong.api.types import Obj, User
from sagong.server.admission.interface import Lister
from sagong.server.authz.interface import Attributes, Decision, Effect
from sagong.server.authz.rules import Rule

GROUP = "rbac.authorization.k8s.io"
CLUSTER_ROLES = f"clusterroles.{GROUP}"
CLUSTER_ROLE_BINDINGS = f"clusterrolebindings.{GROUP}"
ROLES = f"roles.{GROUP}"
ROLE_BINDINGS = f"rolebindings.{GROUP}"

# Users whose compiled rules are kept. Past it all are compiled again.
VIEWS_MAX = 4096
# Decisions kept. Past it all are made again.
DECISIONS_MAX = 8192

# A subject as bindings name it: its kind and its name.
_Subject = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Grant:
    """The rules that one subject has through one binding."""

    reason: str
    rules: tuple[Rule, ...]
    source: Sequence[Obj]
    problem: str = ""  # why the role could not be resolved


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """What one user was granted in one namespace."""

    grants: tuple[_Grant, ...]
    has_names: bool


# A view and what was asked: of a resource or not, the verb, group, resource and subresource or the
# path, and the name if any rule of the view has names.
_Question = tuple[_View, bool, str, str, str, str, str]


@dataclass(slots=True)
class _Index:
    """Bindings by subject, cluster-wide and by namespace, of one state of the cluster.

    Everything that follows from it is kept with it and goes with it: a role or a binding that
    changes makes another index.
    """

    versions: tuple[int, ...]
    cluster: Mapping[_Subject, Sequence[_Grant]]
    namespaced: Mapping[str, Mapping[_Subject, Sequence[_Grant]]]
    views: dict[tuple[str, tuple[str, ...], str], _View] = field(default_factory=dict)
    decisions: dict[_Question, Decision] = field(default_factory=dict)


class RbacAuthorizer:
    """Authorises by the RBAC objects that a Lister shows; always as fresh as the Lister."""

    def __init__(self, lister: Lister) -> None:
        self._lister = lister
        self._index = _Index((), {}, {})

    async def authorize(self, attributes: Attributes) -> Decision:
        asked = attributes
        view = self._view(asked.user, asked.namespace if asked.is_resource else "")
        question = (
            view,
            asked.is_resource,
            asked.verb,
            asked.group if asked.is_resource else asked.path,
            asked.resource,
            asked.subresource,
            asked.name if view.has_names else "",
        )
        decisions = self._index.decisions
        decision = decisions.get(question)
        if decision is None:
            if len(decisions) >= DECISIONS_MAX:
                decisions.clear()
            decision = decisions[question] = _decide(view.grants, asked)
        return decision

    def rules_for(self, user: User, namespace: str) -> Sequence[Obj]:
        return [rule for grant in self._view(user, namespace).grants for rule in grant.source]

    def problems_for(self, user: User, namespace: str) -> Sequence[str]:
        """Why the answer of ``rules_for`` may be incomplete: roles that are bound and absent."""
        grants = self._view(user, namespace).grants
        return list(dict.fromkeys(grant.problem for grant in grants if grant.problem))

    def rules_of_role(self, role_ref: Obj, namespace: str) -> Sequence[Obj] | None:
        """The rules that a binding's roleRef stands for; None if there is no such role."""
        if role_ref.get("kind") == "ClusterRole":
            role = self._lister.get(CLUSTER_ROLES, "", role_ref["name"])
        else:
            role = self._lister.get(ROLES, namespace, role_ref["name"])
        return None if role is None else role.obj.get("rules") or []

    def _view(self, user: User, namespace: str) -> _View:
        version = self._lister.version
        versions = (
            version(CLUSTER_ROLES),
            version(CLUSTER_ROLE_BINDINGS),
            version(ROLES),
            version(ROLE_BINDINGS),
        )
        if versions != self._index.versions:
            self._index = self._build(versions)
        index = self._index
        key = (user.name, user.groups, namespace)
        found = index.views.get(key)
        if found is None:
            if len(index.views) >= VIEWS_MAX:
                index.views.clear()
            found = index.views[key] = _view(index, user, namespace)
        return found

    def _build(self, versions: tuple[int, ...]) -> _Index:
        compiled: dict[tuple[str, str], tuple[Sequence[Obj], tuple[Rule, ...]] | None] = {}
        cluster: defaultdict[_Subject, list[_Grant]] = defaultdict(list)
        for binding in _sorted(self._lister, CLUSTER_ROLE_BINDINGS):
            self._add(binding, compiled, cluster)
        namespaced: defaultdict[str, defaultdict[_Subject, list[_Grant]]]
        namespaced = defaultdict(lambda: defaultdict(list))
        for binding in _sorted(self._lister, ROLE_BINDINGS):
            self._add(binding, compiled, namespaced[namespace_of(binding)])
        return _Index(versions, cluster, namespaced)

    def _add(
        self,
        binding: Obj,
        compiled: dict[tuple[str, str], tuple[Sequence[Obj], tuple[Rule, ...]] | None],
        index: defaultdict[_Subject, list[_Grant]],
    ) -> None:
        namespace = namespace_of(binding)
        role_ref = binding["roleRef"]
        is_cluster_role = role_ref.get("kind") == "ClusterRole"
        key = ("" if is_cluster_role else namespace, role_ref["name"])
        if key not in compiled:
            rules = self.rules_of_role(role_ref, namespace)
            compiled[key] = None if rules is None else (rules, tuple(map(Rule.of, rules)))
        role = compiled[key]
        for subject in binding.get("subjects") or ():
            reason = _describe(binding, subject)
            if role is None:
                grant = _Grant(reason, (), (), _absent(role_ref))
            else:
                grant = _Grant(reason, role[1], role[0])
            index[_subject_key(subject, namespace)].append(grant)


def _decide(grants: Sequence[_Grant], asked: Attributes) -> Decision:
    for grant in grants:
        for rule in grant.rules:
            if rule.allows(asked):
                return Decision(Effect.ALLOW, f"RBAC: allowed by {grant.reason}")
    problems = list(dict.fromkeys(grant.problem for grant in grants if grant.problem))
    if not problems:
        return Decision(Effect.NO_OPINION)
    text = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
    return Decision(Effect.NO_OPINION, f"RBAC: {text}")


def _view(index: _Index, user: User, namespace: str) -> _View:
    subjects = [("User", user.name), *(("Group", group) for group in user.groups)]
    grants = [grant for s in subjects for grant in index.cluster.get(s, ())]
    if namespace:
        local = index.namespaced.get(namespace, {})
        grants += [grant for s in subjects for grant in local.get(s, ())]
    return _View(tuple(grants), any(rule.names for grant in grants for rule in grant.rules))


def _sorted(lister: Lister, resource: str) -> Iterable[Obj]:
    objects = (encoded.obj for encoded in lister.list(resource))
    return sorted(objects, key=lambda obj: (namespace_of(obj), name_of(obj)))


def _subject_key(subject: Obj, binding_namespace: str) -> _Subject:
    """Service accounts are users of a certain name."""
    if subject["kind"] != "ServiceAccount":
        return (subject["kind"], subject["name"])
    namespace = subject.get("namespace") or binding_namespace
    return ("User", f"system:serviceaccount:{namespace}:{subject['name']}")


def _describe(binding: Obj, subject: Obj) -> str:
    """``ClusterRoleBinding "x" of ClusterRole "y" to Group "z"``."""
    namespace = namespace_of(binding)
    kind = "RoleBinding" if namespace else "ClusterRoleBinding"
    name = f"{name_of(binding)}/{namespace}" if namespace else name_of(binding)
    who = subject["name"]
    if subject["kind"] == "ServiceAccount":
        who = f"{who}/{subject.get('namespace') or namespace}"
    role_ref = binding["roleRef"]
    role = f'{role_ref["kind"]} "{role_ref["name"]}"'
    return f'{kind} "{name}" of {role} to {subject["kind"]} "{who}"'


def _absent(role_ref: Obj) -> str:
    return f'{role_ref["kind"].lower()}.{GROUP} "{role_ref["name"]}" not found'
