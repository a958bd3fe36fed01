"""The smallest registry that an image can be pulled from: one image, read only, plain HTTP."""

import contextlib
import hashlib
import io
import json
import tarfile
from collections.abc import AsyncIterator, Mapping

from aiohttp import web

_OCI = "application/vnd.oci.image"


def _layer(files: Mapping[str, str]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text.encode()), 0o644
            archive.addfile(entry, io.BytesIO(text.encode()))
    return data.getvalue()


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _described(media_type: str, data: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}


@contextlib.asynccontextmanager
async def registry(files: Mapping[str, str]) -> AsyncIterator[tuple[str, list[str]]]:
    """A reference that can be pulled, and the manifests that were asked for so far."""
    layer = _layer(files)
    rootfs = {"type": "layers", "diff_ids": [_digest(layer)]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": f"{_OCI}.manifest.v1+json",
            "config": _described(f"{_OCI}.config.v1+json", config),
            "layers": [_described(f"{_OCI}.layer.v1.tar", layer)],
        }
    ).encode()
    blobs = {_digest(data): data for data in (layer, config, manifest)}
    asked: list[str] = []

    async def manifests(request: web.Request) -> web.Response:
        asked.append(request.method)
        headers = {"Docker-Content-Digest": _digest(manifest)}
        return web.Response(body=manifest, headers=headers, content_type=f"{_OCI}.manifest.v1+json")

    async def blob(request: web.Request) -> web.Response:
        data = blobs.get(request.match_info["digest"])
        return web.Response(status=404) if data is None else web.Response(body=data)

    application = web.Application()
    application.router.add_get("/v2/", _done)
    application.router.add_get("/v2/files/manifests/{reference}", manifests)
    application.router.add_get("/v2/files/blobs/{digest}", blob)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        yield f"127.0.0.1:{port}/files:1", asked
    finally:
        await runner.cleanup()


async def _done(request: web.Request) -> web.Response:
    return web.Response()
