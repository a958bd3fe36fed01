"""A profile: which filters and scores a scheduler name uses, in which order, with what weight."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sagong.api.types import Obj
from sagong.scheduler.plugin import Filter, Scope, Score
from sagong.scheduler.pod import DEFAULT_SCHEDULER
from sagong.scheduler.table import FILTERS, SCORES, WEIGHTS

BINDER, PREEMPTION = "DefaultBinder", "DefaultPreemption"


@dataclass(frozen=True, slots=True)
class PluginChoice:
    """What the configuration says about plugins: extension points with names in order."""

    filters: Sequence[str] = tuple(FILTERS)
    # With weights; 0: the plugin's own.
    scores: Sequence[tuple[str, int]] = tuple((name, 0) for name in SCORES)
    preempts: bool = True
    arguments: Mapping[str, Obj] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """Everything that decisions about the pods of one scheduler name depend on."""

    name: str
    filters: tuple[Filter, ...]
    scores: tuple[tuple[Score, int], ...]
    preempts: bool
    preemption_arguments: Obj

    cluster_filters: tuple[Filter, ...]  # of filters those of scope CLUSTER
    fit_ignores: bool  # some extended resources are none of this scheduler's business


def profile_of(name: str = DEFAULT_SCHEDULER, choice: PluginChoice | None = None) -> Profile:
    """Build a profile's plugins from a choice that has been validated."""
    choice = choice or PluginChoice()
    arguments = choice.arguments
    fit = arguments.get("NodeResourcesFit", {})
    filters = [FILTERS[n](arguments.get(n, {})) for n in choice.filters if n in FILTERS]
    return Profile(
        name=name,
        # A node counts for the first filter that refuses it: what is known longest comes first.
        filters=tuple(sorted(filters, key=lambda f: f.scope)),
        cluster_filters=tuple(f for f in filters if f.scope is Scope.CLUSTER),
        fit_ignores=bool(fit.get("ignoredResources") or fit.get("ignoredResourceGroups")),
        scores=tuple(
            (SCORES[n](arguments.get(n, {})), weight or WEIGHTS.get(n, 1))
            for n, weight in choice.scores
            if n in SCORES
        ),
        preempts=choice.preempts,
        preemption_arguments=arguments.get(PREEMPTION, {}),
    )
