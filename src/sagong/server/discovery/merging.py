"""Groups that this server serves and those of extensions, in one order. Pure."""

from collections.abc import Iterable, Mapping

from sagong.server.aggregation.services import GroupVersion, Priority
from sagong.server.discovery.documents import version_rank

Groups = list[tuple[str, list[str]]]
_FIRST = "apiregistration.k8s.io"  # the aggregator's own group, which has no APIService
_NONE = Priority(0, 0)


def merged_groups(
    local: Groups, remote: Iterable[GroupVersion], priorities: Mapping[GroupVersion, Priority]
) -> Groups:
    """By the priorities of their APIServices, groups by their highest, versions by their own."""
    found: dict[str, set[str]] = {group: set(versions) for group, versions in local}
    for group, version in remote:
        found.setdefault(group, set()).add(version)

    def group_rank(group: str) -> tuple[bool, int, str]:
        ranks = [priorities.get((group, v), _NONE).group for v in found[group]]
        return group not in ("", _FIRST), -max(ranks), group

    def rank(group: str, version: str) -> tuple[object, ...]:
        return -priorities.get((group, version), _NONE).version, version_rank(version)

    return [
        (group, sorted(found[group], key=lambda version: rank(group, version)))
        for group in sorted(found, key=group_rank)
    ]
