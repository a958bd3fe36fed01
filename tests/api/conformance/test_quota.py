"""ResourceQuota: what is used is counted as things come and go; what exceeds it is refused."""

from typing import Any

import pytest
from spaces import Space, pod_spec, template

pytestmark = pytest.mark.asyncio(loop_scope="module")
REQUESTS = {"requests": {"cpu": "500m", "memory": "252Mi"}}


async def quota(space: Space, name: str = "q", **spec: Any) -> None:
    await space.create("resourcequotas", name, spec=spec)
    await uses(space, dict.fromkeys(spec["hard"]), name, started=True)


async def uses(
    space: Space, wanted: dict[str, Any], name: str = "q", *, started: bool = False
) -> None:
    def holds(found: Any) -> bool:
        used = (found or {}).get("status", {}).get("used", {})
        return all(k in used if started else used.get(k) == v for k, v in wanted.items())

    await space.wait(f"resourcequotas/{name}", holds)


async def test_status_is_calculated_promptly(space: Space) -> None:
    await space.create(
        "resourcequotas", "q", spec={"hard": {"pods": "5", "count/replicasets.apps": "5"}}
    )
    found = await space.wait("resourcequotas/q", lambda q: q.get("status", {}).get("hard"))
    assert found["status"]["hard"] == {"pods": "5", "count/replicasets.apps": "5"}
    assert found["status"]["used"] == {"pods": "0", "count/replicasets.apps": "0"}


LIVES = [
    ("configmaps", "configmaps", {"data": {"a": "b"}}),
    ("secrets", "secrets", {"stringData": {"a": "b"}}),
    ("services", "services", {"spec": {"ports": [{"port": 80}], "type": "ClusterIP"}}),
    (
        "replicationcontrollers",
        "replicationcontrollers",
        {"spec": {"replicas": 0, "selector": {"a": "b"}, "template": template(a="b")}},
    ),
    (
        "apps/v1 replicasets",
        "count/replicasets.apps",
        {
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": {"a": "b"}},
                "template": template(a="b"),
            }
        },
    ),
]


@pytest.mark.parametrize(("path", "counted", "fields"), LIVES, ids=[life[1] for life in LIVES])
async def test_life(space: Space, path: str, counted: str, fields: dict[str, Any]) -> None:
    before = len(await space.names(path))
    await quota(space, hard={counted: str(before + 1)})
    await uses(space, {counted: str(before)})
    await space.create(path, "first", **fields)
    await uses(space, {counted: str(before + 1)})
    told = await space.refused("POST", path, {"metadata": {"name": "second"}, **fields})
    assert told["reason"] == "Forbidden"
    assert f"exceeded quota: q, requested: {counted}=1" in told["message"]
    await space.delete(f"{path}/first")
    await uses(space, {counted: str(before)})


async def test_life_of_a_pod(space: Space) -> None:
    await quota(
        space, hard={"pods": "5", "cpu": "1", "memory": "500Mi", "requests.example.com/dongle": "3"}
    )
    spec = pod_spec()
    dongles = {"example.com/dongle": "2"}
    spec["containers"][0]["resources"] = {
        "requests": REQUESTS["requests"] | dongles,
        "limits": dongles,
    }
    await space.create("pods", "one", spec=spec)
    used = {"pods": "1", "cpu": "500m", "memory": "252Mi", "requests.example.com/dongle": "2"}
    await uses(space, used)
    too_much = pod_spec()
    too_much["containers"][0]["resources"] = {"requests": {"cpu": "600m", "memory": "100Mi"}}
    body = {"metadata": {"name": "two"}, "spec": too_much}
    assert "exceeded quota" in (await space.refused("POST", "pods", body))["message"]
    # Not even the status may grow it, and an update of labels does not count anew.
    await space.patch("pods/one", {"metadata": {"labels": {"a": "b"}}})
    await uses(space, used)
    await space.ask("DELETE", "pods/one?gracePeriodSeconds=0")
    await uses(space, {"pods": "0", "cpu": "0", "memory": "0", "requests.example.com/dongle": "0"})


async def test_best_effort_scopes(space: Space) -> None:
    await quota(space, "best", hard={"pods": "5"}, scopes=["BestEffort"])
    await quota(space, "other", hard={"pods": "5"}, scopes=["NotBestEffort"])
    await space.create("pods", "plain", spec=pod_spec())
    await uses(space, {"pods": "1"}, "best")
    await uses(space, {"pods": "0"}, "other")
    burstable = pod_spec()
    burstable["containers"][0]["resources"] = REQUESTS
    await space.create("pods", "burstable", spec=burstable)
    await uses(space, {"pods": "1"}, "other")
    await uses(space, {"pods": "1"}, "best")
    for name in ("plain", "burstable"):
        await space.ask("DELETE", f"pods/{name}?gracePeriodSeconds=0")
    await uses(space, {"pods": "0"}, "best")
    await uses(space, {"pods": "0"}, "other")


async def test_terminating_scopes(space: Space) -> None:
    await quota(space, "ends", hard={"pods": "5"}, scopes=["Terminating"])
    await quota(space, "stays", hard={"pods": "5"}, scopes=["NotTerminating"])
    await space.create("pods", "service", spec=pod_spec())
    await space.create("pods", "task", spec=pod_spec(activeDeadlineSeconds=3600))
    await uses(space, {"pods": "1"}, "ends")
    await uses(space, {"pods": "1"}, "stays")
    for name in ("service", "task"):
        await space.ask("DELETE", f"pods/{name}?gracePeriodSeconds=0")
    await uses(space, {"pods": "0"}, "ends")
    await uses(space, {"pods": "0"}, "stays")


async def test_update_and_delete(space: Space) -> None:
    await quota(space, hard={"cpu": "1", "memory": "500Mi"})
    hard = {"hard": {"cpu": "2", "memory": "1Gi"}}
    await space.change("resourcequotas/q", lambda found: found["spec"].update(hard))
    await space.wait(
        "resourcequotas/q", lambda q: q["status"].get("hard") == {"cpu": "2", "memory": "1Gi"}
    )
    await space.delete("resourcequotas/q")
    assert await space.get("resourcequotas/q") is None


async def test_status_is_written_back(space: Space) -> None:
    """A status that someone else writes is replaced by what is true."""
    await quota(space, hard={"pods": "5"})
    wrong = {"status": {"hard": {"pods": "9"}, "used": {"pods": "3"}}}
    patched = await space.patch("resourcequotas/q/status", wrong)
    assert patched["status"]["hard"] == {"pods": "9"}
    await uses(space, {"pods": "0"})
