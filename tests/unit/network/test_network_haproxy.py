"""The proxy as a program: it starts, takes changes, says why it cannot, and leaves nothing."""

import shutil
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from sagong.network.ingress.config import Ports, Surroundings, plan_files
from sagong.network.ingress.haproxy import Haproxy, HaproxyError
from sagong.network.ingress.model import Backend, Choice, Match, Site

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="needs haproxy")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def status(port: int, path: str) -> int:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def where(directory: Path, port: int) -> Surroundings:
    return Surroundings(directory, Ports(port, port, "127.0.0.1"), resolver="")


async def test_it_serves_what_its_files_say_until_it_is_stopped(tmp_path: Path) -> None:
    directory, port = tmp_path / "ingress", free_port()
    proxy, none = Haproxy(directory), Backend("default.none.80")
    try:
        files = plan_files(
            {(port, False): Site({Match("", "/a"): (Choice(none),)})}, where(directory, port)
        )
        assert await proxy.serve(files)
        assert not await proxy.serve(files)
        assert (status(port, "/a/b"), status(port, "/b")) == (503, 404)
        other = Haproxy(directory)  # of an agent that was started again
        files = plan_files(
            {(port, False): Site({Match("", "/b"): (Choice(none),)})}, where(directory, port)
        )
        assert await other.serve(files)
        for _ in range(50):
            if status(port, "/b") == 503:
                break
        assert (status(port, "/a"), status(port, "/b")) == (404, 503)
        assert all(path.stat().st_mode & 0o77 == 0 for path in directory.glob("*.map"))
    finally:
        await proxy.stop()
    assert not directory.exists()
    with pytest.raises(urllib.error.URLError):
        status(port, "/a")


async def test_it_says_who_has_its_port_and_what_it_does_not_understand(tmp_path: Path) -> None:
    directory = tmp_path / "ingress"
    proxy = Haproxy(directory)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        files = plan_files({(port, False): Site(default=Backend("x"))}, where(directory, port))
        with pytest.raises(HaproxyError, match=f"cannot bind socket.*127.0.0.1:{port}"):
            await proxy.serve(files)
    with pytest.raises(HaproxyError, match="nonsense"):
        await proxy.serve({**files, "haproxy.cfg": b"nonsense\n"})
    # Once the port is free and the words are right, the same files are served after all.
    try:
        assert await proxy.serve(files)
        assert status(port, "/") == 503
    finally:
        await proxy.stop()
