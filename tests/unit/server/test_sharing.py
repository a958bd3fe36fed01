"""Parts of cached objects become one without anybody being able to tell."""

import random
from typing import Any

import orjson

from sagong.api.meta import deep_copy
from sagong.server.sharing import Sharing


def random_part(rng: random.Random, depth: int) -> Any:
    """Values that are equal, or nearly so, again and again."""
    if depth and rng.random() < 0.4:
        names = rng.sample(["a", "b", "c"], rng.randint(0, 3))  # in any order
        return {name: random_part(rng, depth - 1) for name in names}
    if depth and rng.random() < 0.4:
        return [random_part(rng, depth - 1) for _ in range(rng.randint(0, 3))]
    return rng.choice([0, 1, 1.0, True, False, None, "", "1", "a", "True", 2**40])


def random_object(rng: random.Random) -> dict[str, Any]:
    return {name: random_part(rng, 4) for name in ("metadata", "spec", "status")}


def test_objects_stay_what_they_are_to_the_byte() -> None:
    rng = random.Random(1)
    for parts_max in (1, 2, 7, 100_000):
        sharing, kept = Sharing(parts_max=parts_max), []
        for number in range(600):
            obj = random_object(rng)
            kept.append((obj, orjson.dumps(obj)))
            sharing.share(obj)
            if rng.random() < 0.5:
                del kept[rng.randrange(len(kept))]  # identities come free and are used again
            if number % 50 == 0:
                assert all(orjson.dumps(obj) == data for obj, data in kept)
        assert all(orjson.dumps(obj) == data for obj, data in kept)


def test_equal_parts_are_one() -> None:
    sharing = Sharing()
    template = {"spec": {"env": [{"name": "A", "value": "b"}], "limits": {"cpu": "1"}}}
    pods = [{**deep_copy(template), "metadata": {"name": f"p{i}"}} for i in range(3)]
    for pod in pods:
        sharing.share(pod)
    assert len({id(pod["spec"]) for pod in pods}) == 1
    assert len({id(pod["metadata"]) for pod in pods}) == 3
    # A part of an object that differs elsewhere.
    other = {"spec": {**deep_copy(template["spec"]), "limits": {"cpu": "2"}}}
    sharing.share(other)
    assert other["spec"] is not pods[0]["spec"]
    assert other["spec"]["env"] is pods[0]["spec"]["env"]


def test_what_is_only_equal_to_python_is_not_the_same() -> None:
    sharing = Sharing()
    values: list[Any] = [1, True, 1.0, "1", None, 0, False, ""]
    objs = [{"spec": {"x": value}, "list": {"y": [value]}} for value in values]
    for obj in objs:
        sharing.share(obj)
    assert [orjson.dumps(obj["spec"]["x"]) for obj in objs] == [orjson.dumps(v) for v in values]
    assert len({id(obj["list"]["y"]) for obj in objs}) == len(values)


def test_a_changed_object_keeps_the_parts_it_took_over() -> None:
    sharing = Sharing()
    first = {"spec": {"env": [{"name": "A"}], "node": ""}}
    sharing.share(first)
    env = first["spec"]["env"]
    changed = {"spec": {**first["spec"], "node": "n"}}
    sharing.share(changed)
    again = {"spec": {"env": [{"name": "A"}], "node": "n"}}
    sharing.share(again)
    assert changed["spec"]["env"] is env
    assert again["spec"] is changed["spec"]


def test_known_parts_are_bounded() -> None:
    sharing = Sharing(parts_max=10)
    for number in range(1000):
        sharing.share({"spec": {"number": {"n": number}}})
    assert len(sharing._new) + len(sharing._old) <= 20
