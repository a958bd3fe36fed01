"""``KubeSchedulerConfiguration``: profiles, plugins with their arguments, extenders.

Merging of plugin sets and error texts follow upstream's ``pkg/scheduler/apis/config``. Settings
that only concern upstream's own process (leader election, profiling, parallelism, the share of
nodes that are scored: here it is always all of them) are checked and have no effect.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sagong.api.types import Obj
from sagong.scheduler import table
from sagong.scheduler.argument_checks import ARGUMENT_CHECKS
from sagong.scheduler.config_errors import ConfigurationError, duplicate, invalid, required
from sagong.scheduler.extender_config import ExtenderConfig, extenders_of
from sagong.scheduler.pod import DEFAULT_SCHEDULER
from sagong.scheduler.profile import BINDER, PREEMPTION, PluginChoice, Profile, profile_of
from sagong.scheduler.queue import BACKOFF_FIRST_SECONDS, BACKOFF_MAX_SECONDS

API_VERSION, KIND = "kubescheduler.config.k8s.io/v1", "KubeSchedulerConfiguration"
SORT, GATES = "PrioritySort", "SchedulingGates"
# Every plugin by the extension points that it has here.
_POINTS: Mapping[str, frozenset[str]] = {
    "preEnqueue": frozenset({GATES}),
    "queueSort": frozenset({SORT}),
    "filter": frozenset(table.FILTERS),
    "postFilter": frozenset({PREEMPTION, "DynamicResources"}),
    "score": frozenset(table.SCORES),
    "bind": frozenset({BINDER}),
}
_OTHER_POINTS = (
    "preFilter", "preScore", "reserve", "permit", "preBind", "postBind", "multiPoint",
)  # fmt: skip
# The default profile's plugins in their order.
DEFAULT_PLUGINS = (
    GATES, SORT, "NodeUnschedulable", "NodeName", "TaintToleration", "NodeAffinity", "NodePorts",
    "NodeResourcesFit", "VolumeRestrictions", "NodeVolumeLimits", "VolumeBinding", "VolumeZone",
    "PodTopologySpread", "InterPodAffinity", "DynamicResources", PREEMPTION,
    "NodeResourcesBalancedAllocation", "ImageLocality", BINDER,
)  # fmt: skip
_FIELDS = frozenset({
    "apiVersion", "kind", "parallelism", "leaderElection", "clientConnection", "enableProfiling",
    "enableContentionProfiling", "percentageOfNodesToScore", "podInitialBackoffSeconds",
    "podMaxBackoffSeconds", "profiles", "extenders", "delayCacheUntilActive",
})  # fmt: skip
_PROFILE_FIELDS = frozenset(
    {"schedulerName", "percentageOfNodesToScore", "plugins", "pluginConfig"}
)


@dataclass(frozen=True, slots=True)
class SchedulerSettings:
    """What a configuration may say."""

    profiles: Sequence[Profile] = field(default_factory=lambda: (profile_of(),))
    extenders: Sequence[ExtenderConfig] = ()
    backoff_first_seconds: float = BACKOFF_FIRST_SECONDS
    backoff_max_seconds: float = BACKOFF_MAX_SECONDS
    bind_seconds_max: Mapping[str, float] = field(default_factory=dict)  # of volumes, by profile


def settings_of(document: object) -> SchedulerSettings:
    """From a parsed file. Raises ConfigurationError, which names everything that is wrong."""
    if not isinstance(document, dict):
        raise ConfigurationError(["the configuration must be a mapping"])
    config: Obj = document
    version, kind = config.get("apiVersion"), config.get("kind")
    if version != API_VERSION or kind != KIND:
        raise ConfigurationError(
            [f'no kind "{kind or ""}" is registered for version "{version or ""}"; '
             f"{KIND} of {API_VERSION} is"]
        )  # fmt: skip
    problems = [*_unknown(config), *_check_numbers(config)]
    profiles: list[Obj] = config.get("profiles") or [{}]
    extenders, extender_problems = extenders_of(config.get("extenders") or ())
    problems += _check_profiles(profiles) + extender_problems
    if problems:
        raise ConfigurationError(problems)
    ignored = [name for extender in extenders for name in extender.ignored_resources]
    return SchedulerSettings(
        profiles=[_profile(profile, ignored) for profile in profiles],
        extenders=extenders,
        backoff_first_seconds=float(
            config.get("podInitialBackoffSeconds") or BACKOFF_FIRST_SECONDS
        ),
        backoff_max_seconds=float(config.get("podMaxBackoffSeconds") or BACKOFF_MAX_SECONDS),
        bind_seconds_max={
            _name(p): float(seconds)
            for p in profiles
            if (seconds := _arguments(p).get("VolumeBinding", {}).get("bindTimeoutSeconds"))
        },
    )


def _unknown(config: Obj) -> list[str]:
    """Fields that are not known, as strict decoding names them."""
    found = [name for name in config if name not in _FIELDS]
    for index, profile in enumerate(config.get("profiles") or ()):
        found += [f"profiles[{index}].{n}" for n in profile if n not in _PROFILE_FIELDS]
        points = (*_POINTS, *_OTHER_POINTS)
        plugins = profile.get("plugins") or {}
        found += [f"profiles[{index}].plugins.{n}" for n in plugins if n not in points]
    return [f'strict decoding error: unknown field "{name}"' for name in found]


def _check_numbers(config: Obj) -> list[str]:
    problems = []
    parallelism = config.get("parallelism", 16)
    if parallelism <= 0:
        why = "should be an integer value greater than zero"
        problems.append(invalid("parallelism", parallelism, why))
    problems += _check_percentage("percentageOfNodesToScore", config)
    first = config.get("podInitialBackoffSeconds", BACKOFF_FIRST_SECONDS)
    most = config.get("podMaxBackoffSeconds", BACKOFF_MAX_SECONDS)
    if first <= 0:
        problems.append(invalid("podInitialBackoffSeconds", first, "must be greater than 0"))
    if most < first:
        why = "must be greater than or equal to PodInitialBackoffSeconds"
        problems.append(invalid("podMaxBackoffSeconds", most, why))
    return problems


def _check_percentage(path: str, holder: Obj) -> list[str]:
    percentage = holder.get("percentageOfNodesToScore")
    if percentage is None or 0 <= percentage <= 100:
        return []
    return [invalid(path, percentage, "not in valid range [0-100]")]


def _check_profiles(profiles: Sequence[Obj]) -> list[str]:
    problems: list[str] = []
    seen: dict[str, int] = {}
    for index, profile in enumerate(profiles):
        path = f"profiles[{index}]"
        if "schedulerName" in profile and not profile["schedulerName"]:
            problems.append(required(f"{path}.schedulerName", ""))
        problems += _check_percentage(f"{path}.percentageOfNodesToScore", profile)
        problems += _check_plugin_config(path, profile.get("pluginConfig") or ())
        problems += _check_plugins(path, profile)
        name = _name(profile)
        if name in seen:
            first = f"profiles[{seen[name]}].schedulerName"
            problems.append(duplicate(f"{path}.schedulerName", first))
        seen[name] = index
    return problems


def _check_plugin_config(path: str, entries: Sequence[Obj]) -> list[str]:
    problems: list[str] = []
    seen = set()
    for index, entry in enumerate(entries):
        where, name = f"{path}.pluginConfig[{index}]", entry.get("name", "")
        if name in seen:
            problems.append(duplicate(where, name))
        seen.add(name)
        if name not in DEFAULT_PLUGINS:
            problems.append(invalid(where, name, "no such plugin"))
        check = ARGUMENT_CHECKS.get(name)
        if check is not None:
            problems += check(f"{where}.args", entry.get("args") or {})
    return problems


def _check_plugins(path: str, profile: Obj) -> list[str]:
    problems = []
    for point, sets in (profile.get("plugins") or {}).items():
        for plugin in (sets or {}).get("enabled") or ():
            name = plugin.get("name", "")
            known = name in _POINTS.get(point, DEFAULT_PLUGINS)
            if not known:
                problems.append(_no_such(point, name))
            if plugin.get("weight", 0) < 0:
                where = f"{path}.plugins.{point}.enabled"
                problems.append(invalid(where, plugin["weight"], "must not be negative"))
    if not _enabled(profile, "queueSort"):
        problems.append(
            "only one queue sort plugin required for profile with scheduler name "
            f'"{_name(profile)}", but got 0'
        )
    if not _enabled(profile, "bind"):
        problems.append(
            f'at least one bind plugin is needed for profile with scheduler name "{_name(profile)}"'
        )
    return problems


def _no_such(point: str, name: str) -> str:
    if point == "multiPoint":
        return f'plugin "{name}" does not exist'
    return f'{point[:1].upper()}{point[1:]}Plugin "{name}" does not exist'


def _name(profile: Obj) -> str:
    return str(profile.get("schedulerName") or DEFAULT_SCHEDULER)


def _arguments(profile: Obj) -> dict[str, Obj]:
    return {e["name"]: e.get("args") or {} for e in profile.get("pluginConfig") or ()}


def _names(plugins: Iterable[Obj] | None) -> list[str]:
    return [plugin["name"] for plugin in plugins or ()]


def _enabled(profile: Obj, point: str) -> list[tuple[str, int]]:
    """The plugins of an extension point with their weights (0: the plugin's own).

    What the point enables itself comes first where it replaces what multiPoint says, and last
    where it adds to that.
    """
    plugins = profile.get("plugins") or {}
    own: Obj = plugins.get(point) or {}
    disabled = _names(own.get("disabled"))
    chosen = {p["name"]: int(p.get("weight") or 0) for p in own.get("enabled") or ()}
    general: list[tuple[str, int]] = []
    if "*" not in disabled:
        general = [
            (name, weight)
            for name, weight in _multi_point(plugins.get("multiPoint") or {})
            if name in _POINTS[point] and name not in disabled
        ]
    names = {name for name, _ in general}
    replacing = [(name, weight) for name, weight in chosen.items() if name in names]
    adding = [(name, weight) for name, weight in chosen.items() if name not in names]
    kept = [(name, weight) for name, weight in general if name not in chosen]
    return [*replacing, *kept, *adding]


def _multi_point(custom: Obj) -> list[tuple[str, int]]:
    """The default plugins as a profile's multiPoint changes them, in place."""
    disabled = _names(custom.get("disabled"))
    chosen: dict[str, Any] = {p["name"]: p for p in custom.get("enabled") or ()}
    found: list[tuple[str, int]] = []
    if "*" not in disabled:
        found = [
            (name, int(chosen.pop(name, {}).get("weight") or 0))
            for name in DEFAULT_PLUGINS
            if name not in disabled
        ]
    found += [(name, int(plugin.get("weight") or 0)) for name, plugin in chosen.items()]
    return found


def _profile(profile: Obj, ignored: Sequence[str]) -> Profile:
    arguments = _arguments(profile)
    if ignored:
        fit = dict(arguments.get("NodeResourcesFit", {}))
        fit["ignoredResources"] = [*(fit.get("ignoredResources") or ()), *ignored]
        arguments["NodeResourcesFit"] = fit
    choice = PluginChoice(
        filters=[name for name, _ in _enabled(profile, "filter")],
        scores=_enabled(profile, "score"),
        preempts=any(name == PREEMPTION for name, _ in _enabled(profile, "postFilter")),
        arguments=arguments,
    )
    return profile_of(_name(profile), choice)
