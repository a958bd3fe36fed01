"""What a KubeSchedulerConfiguration changes, and what is said of one that is wrong."""

from typing import Any

import pytest
from tests.unit.scheduler.cluster import Cluster, make_node, make_pod

from sagong.scheduler.config_errors import ConfigurationError
from sagong.scheduler.configuration import DEFAULT_PLUGINS, SchedulerSettings, settings_of
from sagong.scheduler.profile import profile_of

HEAD = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}


def settings(**fields: Any) -> SchedulerSettings:
    return settings_of(HEAD | fields)


def profile(plugins: Any = None, **arguments: Any) -> dict[str, Any]:
    config = [{"name": name, "args": args} for name, args in arguments.items()]
    return {"plugins": plugins or {}, "pluginConfig": config}


def cluster(made: dict[str, Any], *nodes: Any) -> Cluster:
    return Cluster(*nodes, profile=settings(profiles=[made]).profiles[0])


def filters(made: dict[str, Any]) -> set[str]:
    return {f.name for f in settings(profiles=[made]).profiles[0].filters}


def test_nothing_said_is_the_default() -> None:
    found = settings()
    (only,) = found.profiles
    default = profile_of()
    assert only.name == "default-scheduler"
    assert [f.name for f in only.filters] == [f.name for f in default.filters]
    weights = {s.name: weight for s, weight in only.scores}
    assert weights == {s.name: weight for s, weight in default.scores}
    assert weights == {
        "TaintToleration": 3,
        "NodeAffinity": 2,
        "NodeResourcesFit": 1,
        "PodTopologySpread": 2,
        "InterPodAffinity": 2,
        "NodeResourcesBalancedAllocation": 1,
        "ImageLocality": 1,
    }
    assert found.backoff_first_seconds == 1.0
    assert found.backoff_max_seconds == 10.0


def test_plugins_are_disabled_enabled_and_weighted() -> None:
    everything = {f.name for f in profile_of().filters}
    off = {"filter": {"disabled": [{"name": "TaintToleration"}]}}
    assert everything - filters(profile(off)) == {"TaintToleration"}
    only = {"filter": {"disabled": [{"name": "*"}], "enabled": [{"name": "NodeName"}]}}
    assert filters(profile(only)) == {"NodeName"}
    multi = {"multiPoint": {"disabled": [{"name": "NodePorts"}]}}
    assert "NodePorts" not in filters(profile(multi))
    weighted = {
        "multiPoint": {"enabled": [{"name": "ImageLocality", "weight": 7}]},
        "score": {"enabled": [{"name": "NodeAffinity", "weight": 9}]},
    }
    (made,) = settings(profiles=[profile(weighted)]).profiles
    weights = {score.name: weight for score, weight in made.scores}
    assert weights["ImageLocality"] == 7
    assert weights["NodeAffinity"] == 9
    assert weights["TaintToleration"] == 3
    polite = {"postFilter": {"disabled": [{"name": "DefaultPreemption"}]}}
    assert not settings(profiles=[profile(polite)]).profiles[0].preempts


def test_without_preemption_nothing_is_said_of_it() -> None:
    polite = {"postFilter": {"disabled": [{"name": "*"}]}}
    found = cluster(profile(polite), make_node("a", cpu="1"))
    message = "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate"
    assert found.why(make_pod("p", cpu="2")) == message


def test_resources_may_be_packed_or_follow_a_curve() -> None:
    nodes = [make_node("idle"), make_node("busy")]
    flat = {"score": {"disabled": [{"name": "NodeResourcesBalancedAllocation"}]}}
    for strategy, where in (
        ({"type": "LeastAllocated"}, "idle"),
        ({"type": "MostAllocated"}, "busy"),
        (
            {
                "type": "RequestedToCapacityRatio",
                "requestedToCapacityRatio": {
                    "shape": [{"utilization": 0, "score": 0}, {"utilization": 100, "score": 10}]
                },
            },
            "busy",
        ),
    ):
        found = cluster(profile(flat, NodeResourcesFit={"scoringStrategy": strategy}), *nodes)
        found.place(make_pod("x", cpu="2", memory="2Gi"), "busy")
        assert found.place(make_pod("y", cpu="500m", memory="500Mi")) == where, strategy


def test_extended_resources_can_be_scored_and_ignored() -> None:
    def gpu(name: str, count: int) -> Any:
        node = make_node(name)
        node["status"]["allocatable"]["example.com/gpu"] = str(count)
        return node

    wanted = make_pod("p")
    wanted["spec"]["containers"][0]["resources"]["requests"] = {"example.com/gpu": "1"}
    strategy = {"type": "MostAllocated", "resources": [{"name": "example.com/gpu", "weight": 5}]}
    packs = cluster(
        profile(NodeResourcesFit={"scoringStrategy": strategy}), gpu("many", 8), gpu("few", 2)
    )
    assert packs.place(wanted) == "few"
    plain = cluster(profile(), make_node("none"))
    assert "1 Insufficient example.com/gpu" in plain.why(wanted)
    for arguments in (
        {"ignoredResources": ["example.com/gpu"]},
        {"ignoredResourceGroups": ["example.com"]},
    ):
        ignoring = cluster(profile(NodeResourcesFit=arguments), make_node("none"))
        assert ignoring.place(wanted) == "none"
    managed = {"urlPrefix": "http://x", "managedResources": [
        {"name": "example.com/gpu", "ignoredByScheduler": True}]}  # fmt: skip
    (made,) = settings(extenders=[managed]).profiles
    assert Cluster(make_node("none"), profile=made).place(wanted) == "none"


def test_affinity_can_be_added_for_a_whole_profile() -> None:
    term = {"matchExpressions": [{"key": "pool", "operator": "In", "values": ["x"]}]}
    added = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    found = cluster(
        profile(NodeAffinity={"addedAffinity": added}),
        make_node("a", labels={"pool": "y"}),
        make_node("b", labels={"pool": "x"}, cpu="1"),
    )
    assert found.place(make_pod("p")) == "b"
    message = found.why(make_pod("q", cpu="2"))
    assert "1 node(s) didn't match scheduler-enforced node affinity" in message


def test_default_constraints_can_be_given() -> None:
    zone = "topology.kubernetes.io/zone"
    constraint = {"maxSkew": 1, "topologyKey": zone, "whenUnsatisfiable": "DoNotSchedule"}
    spread = {"defaultingType": "List", "defaultConstraints": [constraint]}
    found = cluster(
        profile(PodTopologySpread=spread),
        make_node("a", labels={zone: "1"}),
        make_node("b", labels={zone: "2"}, unschedulable=True),
    )
    found.default_selectors["rs"] = {"matchLabels": {"app": "x"}}
    pods = [make_pod(f"p{i}", owner="rs", labels={"app": "x"}) for i in range(2)]
    assert found.place(pods[0]) == "a"
    assert "1 node(s) didn't match pod topology spread constraints" in found.why(pods[1])


def test_scheduler_names_and_backoff() -> None:
    found = settings(
        profiles=[{"schedulerName": "one"}, {"schedulerName": "two"}],
        podInitialBackoffSeconds=2,
        podMaxBackoffSeconds=20,
        percentageOfNodesToScore=50,
        leaderElection={"leaderElect": False},
    )
    assert [p.name for p in found.profiles] == ["one", "two"]
    assert found.backoff_first_seconds == 2.0
    assert found.backoff_max_seconds == 20.0


SPREAD = {"maxSkew": 1, "topologyKey": "k", "whenUnsatisfiable": "DoNotSchedule"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"parallelism": 0},
         "parallelism: Invalid value: 0: should be an integer value greater than zero"),
        ({"percentageOfNodesToScore": 101},
         "percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]"),
        ({"podInitialBackoffSeconds": 0},
         "podInitialBackoffSeconds: Invalid value: 0: must be greater than 0"),
        ({"podMaxBackoffSeconds": 0.5},
         "podMaxBackoffSeconds: Invalid value: 0.5: must be greater than or equal to "
         "PodInitialBackoffSeconds"),
        ({"wrong": 1}, 'strict decoding error: unknown field "wrong"'),
        ({"profiles": [{"plugins": {"wrong": {}}}]},
         'strict decoding error: unknown field "profiles[0].plugins.wrong"'),
        ({"profiles": [{"schedulerName": ""}]}, "profiles[0].schedulerName: Required value"),
        ({"profiles": [{}, {}]},
         'profiles[1].schedulerName: Duplicate value: "profiles[0].schedulerName"'),
        ({"profiles": [profile({"filter": {"enabled": [{"name": "Mine"}]}})]},
         'FilterPlugin "Mine" does not exist'),
        ({"profiles": [profile({"multiPoint": {"enabled": [{"name": "Mine"}]}})]},
         'plugin "Mine" does not exist'),
        ({"profiles": [profile({"queueSort": {"disabled": [{"name": "*"}]}})]},
         "only one queue sort plugin required for profile with scheduler name "
         '"default-scheduler", but got 0'),
        ({"profiles": [profile({"bind": {"disabled": [{"name": "*"}]}})]},
         "at least one bind plugin is needed for profile with scheduler name "
         '"default-scheduler"'),
        ({"profiles": [profile(InterPodAffinity={"hardPodAffinityWeight": 101})]},
         "profiles[0].pluginConfig[0].args.hardPodAffinityWeight: Invalid value: 101: not in "
         "valid range [0-100]"),
        ({"profiles": [profile(PodTopologySpread={"defaultConstraints": [SPREAD]})]},
         'profiles[0].pluginConfig[0].args.defaultingType: Invalid value: "System": when '
         ".defaultConstraints are not empty"),
        ({"profiles": [profile(VolumeBinding={"bindTimeoutSeconds": -1})]},
         "profiles[0].pluginConfig[0].args.bindTimeoutSeconds: Invalid value: -1: invalid "
         "BindTimeoutSeconds, should not be a negative value"),
        ({"extenders": [{"prioritizeVerb": "p"}]},
         "extenders[0].weight: Invalid value: 0: must have a positive weight applied to it"),
        ({"extenders": [{"bindVerb": "b"}, {"bindVerb": "b"}]},
         'extenders: Invalid value: "found 2 extenders implementing bind": only one extender '
         "can implement bind"),
        ({"extenders": [{"managedResources": [{"name": "kubernetes.io/foo"}]}]},
         'extenders[0].managedResources[0].name: Invalid value: "kubernetes.io/foo": '
         "kubernetes.io/foo is an invalid extended resource name"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        settings(**fields)
    assert str(raised.value) == message


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ConfigurationError) as raised:
        settings(parallelism=0, percentageOfNodesToScore=101)
    assert len(raised.value.problems) == 2
    assert str(raised.value).startswith("[parallelism: ")
    with pytest.raises(ConfigurationError):
        settings_of({"apiVersion": "kubescheduler.config.k8s.io/v1beta3", "kind": "x"})
    with pytest.raises(ConfigurationError):
        settings_of(["not", "a", "mapping"])


def test_every_filter_and_score_is_a_default_plugin() -> None:
    default = profile_of()
    names = {f.name for f in default.filters} | {s.name for s, _ in default.scores}
    assert names <= set(DEFAULT_PLUGINS)
