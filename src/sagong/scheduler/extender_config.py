"""Extenders in a configuration: where they are, what they are asked, whom they concern."""

from collections.abc import Sequence
from dataclasses import dataclass

from sagong.api import names
from sagong.api.types import Obj
from sagong.core.durations import seconds
from sagong.scheduler.config_errors import ConfigurationError, invalid
from sagong.scheduler.pod import PodFacts
from sagong.scheduler.resources import is_extended

TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ExtenderConfig:
    """One extender. A verb that is "" is not asked."""

    url: str
    filter_verb: str
    prioritize_verb: str
    preempt_verb: str
    bind_verb: str
    weight: int
    timeout_seconds: float
    # Whether the extender knows nodes by name, or wants whole objects.
    knows_nodes: bool
    # The resources that make a pod its business; none: every pod is.
    resources: Sequence[str]
    ignored_resources: Sequence[str]  # of which our own filters take no notice
    ignorable: bool  # whether pods are scheduled without it when it does not answer
    tls: Obj

    def concerns(self, pod: PodFacts) -> bool:
        requests = pod.template.requests
        return not self.resources or any(r in requests for r in self.resources)


def extenders_of(entries: Sequence[Obj]) -> tuple[list[ExtenderConfig], list[str]]:
    """The extenders, and what is wrong with them."""
    problems: list[str] = []
    seen: set[str] = set()
    binders = 0
    for index, entry in enumerate(entries):
        path = f"extenders[{index}]"
        if entry.get("prioritizeVerb") and entry.get("weight", 0) <= 0:
            why = "must have a positive weight applied to it"
            problems.append(invalid(f"{path}.weight", entry.get("weight", 0), why))
        binders += bool(entry.get("bindVerb"))
        for number, resource in enumerate(entry.get("managedResources") or ()):
            where = f"{path}.managedResources[{number}].name"
            problems += _check_resource(where, resource.get("name", ""), seen)
    if binders > 1:
        found = f"found {binders} extenders implementing bind"
        problems.append(invalid("extenders", found, "only one extender can implement bind"))
    return ([] if problems else [_extender(entry) for entry in entries]), problems


def _check_resource(path: str, name: str, seen: set[str]) -> list[str]:
    problems = [invalid(path, name, why) for why in names.qualified_name(name)]
    if not problems and not is_extended(name):
        problems.append(invalid(path, name, f"{name} is an invalid extended resource name"))
    if name in seen:
        problems.append(invalid(path, name, "duplicate extender managed resource name"))
    seen.add(name)
    return problems


def _extender(entry: Obj) -> ExtenderConfig:
    managed = entry.get("managedResources") or ()
    prefix = str(entry.get("urlPrefix") or "").rstrip("/")
    if entry.get("enableHTTPS") and prefix.startswith("http://"):
        prefix = "https://" + prefix.removeprefix("http://")
    return ExtenderConfig(
        url=prefix,
        filter_verb=entry.get("filterVerb") or "",
        prioritize_verb=entry.get("prioritizeVerb") or "",
        preempt_verb=entry.get("preemptVerb") or "",
        bind_verb=entry.get("bindVerb") or "",
        weight=entry.get("weight") or 1,
        timeout_seconds=_seconds(entry.get("httpTimeout")) or TIMEOUT_SECONDS,
        knows_nodes=bool(entry.get("nodeCacheCapable")),
        resources=tuple(r["name"] for r in managed),
        ignored_resources=tuple(r["name"] for r in managed if r.get("ignoredByScheduler")),
        ignorable=bool(entry.get("ignorable")),
        tls=entry.get("tlsConfig") or {},
    )


def _seconds(text: object) -> float:
    """0 for none."""
    try:
        return seconds(str(text or "0"))
    except ValueError:
        problem = invalid("extenders.httpTimeout", text, "must be a duration, as 100ms")
        raise ConfigurationError([problem]) from None
