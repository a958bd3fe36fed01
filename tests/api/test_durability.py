"""A write that was acknowledged over HTTPS is there after the server was killed."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import aiohttp
from rest import CONFIG_MAPS, TOKENS, config_map

# An API server on a free port, with the durable store; says where it is.
SERVER = """
import asyncio, sys
from pathlib import Path
import uvloop
from sagong.cmd.server import ServerConfig, serving
from sagong.core.clock import SystemClock
from sagong.core.ids import SystemIds

async def main():
    data_dir = Path(sys.argv[1])
    config = ServerConfig(data_dir, port=0, token_auth_file=data_dir / "tokens.csv")
    async with serving(config, clock=SystemClock(), ids=SystemIds()) as running:
        print(running.url, flush=True)
        await asyncio.Event().wait()

uvloop.run(main())
"""
HEADERS = {"Authorization": "Bearer admin-token"}
WRITERS = 8
ACKNOWLEDGED = 200  # when the server is killed, others being under way


async def start(data_dir: Path) -> tuple[asyncio.subprocess.Process, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, str(data_dir), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    return process, (await process.stdout.readline()).decode().strip()


async def kill(process: asyncio.subprocess.Process) -> None:
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()


async def write(
    session: aiohttp.ClientSession, url: str, writer: int, said: dict[str, str], done: asyncio.Event
) -> None:
    """Create, update and delete for ever; ``said`` is what the server has acknowledged."""
    number = 0
    try:
        while True:
            name = f"w{writer}-{number}"
            body = config_map(name, value="1")
            async with session.post(url + CONFIG_MAPS, json=body) as made:
                assert made.status == 201
            said[name] = "1"
            body["data"]["value"] = "2"
            async with session.put(f"{url}{CONFIG_MAPS}/{name}", json=body) as put:
                assert put.status == 200
            said[name] = "2"
            if number % 3 == 0:
                async with session.delete(f"{url}{CONFIG_MAPS}/{name}") as deleted:
                    assert deleted.status == 200
                said[name] = ""
            if len(said) >= ACKNOWLEDGED:
                done.set()
            number += 1
    except aiohttp.ClientError:
        return  # killed


async def stored(session: aiohttp.ClientSession, url: str) -> dict[str, str]:
    async with session.get(url + CONFIG_MAPS) as response:
        items = (await response.json())["items"]
    return {item["metadata"]["name"]: item["data"]["value"] for item in items}


async def test_acknowledged_writes_survive_a_kill(tmp_path: Path) -> None:
    (tmp_path / "tokens.csv").write_text(TOKENS)
    process, url = await start(tmp_path)
    said: dict[str, str] = {}
    done = asyncio.Event()
    connector = aiohttp.TCPConnector(ssl=False)
    async with aiohttp.ClientSession(connector=connector, headers=HEADERS) as session:
        writers = [
            asyncio.ensure_future(write(session, url, number, said, done))
            for number in range(WRITERS)
        ]
        await done.wait()
        await kill(process)
        await asyncio.gather(*writers)

        process, url = await start(tmp_path)
        found = await stored(session, url)
        await kill(process)
    under_way = 0
    for name, value in said.items():
        # What was asked for next, and not acknowledged, may have happened or not.
        following = {"1": ("1", "2"), "2": ("2", ""), "": ("",)}[value]
        assert found.get(name, "") in following, (name, value, found.get(name))
        under_way += found.get(name, "") != value
    assert under_way <= WRITERS
