"""Health by check: what is asked, what is left out, and a store that does not answer."""

from rest import Api

from sagong.cmd.server import Running
from sagong.store.errors import Unavailable


async def test_checks_are_told_and_can_be_left_out(api: Api) -> None:
    answer = await api.call("GET", "/readyz?verbose")
    lines = answer.text.splitlines()
    assert answer.status == 200
    assert {"[+]ping ok", "[+]etcd ok", "[+]etcd-readiness ok", "[+]informer-sync ok"} <= set(lines)
    assert lines[-1] == "readyz check passed"
    answer = await api.call("GET", "/livez?verbose&exclude=etcd")
    assert "[+]etcd excluded: ok" in answer.text
    assert "informer-sync" not in answer.text
    assert (await api.call("GET", "/livez/etcd")).text == "ok"


async def test_a_store_that_does_not_answer(server: Running, api: Api) -> None:
    async def broken() -> int:
        raise Unavailable("gone")

    server.core.backend.store.current_revision = broken  # type: ignore[method-assign]
    answer = await api.call("GET", "/readyz")
    assert answer.status == 500
    assert "[-]etcd failed: reason withheld" in answer.text
    assert answer.text.endswith("readyz check failed\n")
    answer = await api.call(
        "GET", "/readyz?exclude=etcd&exclude=etcd-readiness&exclude=informer-sync"
    )
    assert answer.status == 200
