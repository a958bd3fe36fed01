"""Images made without a registry: one layer and a configuration, as ``docker save`` writes them.

The archives are what ``ctr images import`` and ``sagong image import`` take. The pause image is
the first process of every pod: it holds the pod's namespaces and, where a pod shares its process
namespace, takes the exit status of processes that lost their parent.
"""

import asyncio
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

PAUSE_IMAGE = "sagong.local/pause:1"
BUSYBOX_IMAGE = "sagong.local/busybox:1"

# x86-64: SIGCHLD is ignored, so the kernel reaps whatever becomes a child; SIGTERM and SIGINT are
# blocked and waited for; then exit(0). 128 bytes: code, a struct sigaction, a signal set.
_PAUSE_X86_64 = bytes.fromhex(
    "b80d000000"  # mov eax, 13           rt_sigaction
    "bf11000000"  # mov edi, 17           SIGCHLD
    "488d3547000000"  # lea rsi, [rip+act]    SIG_IGN
    "31d2"  # xor edx, edx
    "41ba08000000"  # mov r10d, 8
    "0f05"  # syscall
    "b80e000000"  # mov eax, 14           rt_sigprocmask
    "31ff"  # xor edi, edi          SIG_BLOCK
    "488d354f000000"  # lea rsi, [rip+set]
    "31d2"  # xor edx, edx
    "41ba08000000"  # mov r10d, 8
    "0f05"  # syscall
    "b880000000"  # mov eax, 128          rt_sigtimedwait
    "488d3d39000000"  # lea rdi, [rip+set]
    "31f6"  # xor esi, esi
    "31d2"  # xor edx, edx
    "41ba08000000"  # mov r10d, 8
    "0f05"  # syscall
    "85c0"  # test eax, eax
    "78e4"  # js back to rt_sigtimedwait
    "b8e7000000"  # mov eax, 231          exit_group
    "31ff"  # xor edi, edi
    "0f05"  # syscall
) + bytes.fromhex("01" + "00" * 31 + "0240" + "00" * 6)
_LOAD_ADDRESS = 0x400000
_ELF_HEADERS_BYTES = 64 + 56

_BUSYBOX = "/bin/busybox"


@dataclass(frozen=True, slots=True)
class File:
    """A file of an image's layer; a symbolic link if ``target`` is set, else a directory
    if ``data`` is None."""

    data: bytes | None = None
    target: str = ""
    mode: int = 0o755


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """What an image holds and how it starts (the OCI image configuration)."""

    reference: str
    files: Mapping[str, File]
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    environment: Sequence[str] = (
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    )
    working_dir: str = "/"
    user: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


def build_archive(*images: ImageSpec) -> bytes:
    """An image archive (``docker save`` layout) that is the same for the same input."""
    entries: dict[str, bytes] = {}
    manifest = []
    for image in images:
        layer = _layer(image.files)
        digest = hashlib.sha256(layer).hexdigest()
        config = orjson.dumps(_config(image, digest))
        config_name = hashlib.sha256(config).hexdigest() + ".json"
        layer_name = f"{digest}/layer.tar"
        entries[layer_name] = layer
        entries[config_name] = config
        manifest.append(
            {"Config": config_name, "RepoTags": [image.reference], "Layers": [layer_name]}
        )
    entries["manifest.json"] = orjson.dumps(manifest)
    return _tar({name: File(data, mode=0o644) for name, data in entries.items()})


def pause_image(reference: str = PAUSE_IMAGE) -> ImageSpec:
    """The smallest image that can be a pod's first process.

    A static ELF of our own on x86-64; elsewhere a shell loop in the host's static busybox.
    """
    if os.uname().machine == "x86_64":
        return ImageSpec(reference, {"pause": File(_elf_x86_64())}, entrypoint=("/pause",))
    loop = "trap 'exit 0' TERM INT; while :; do sleep 86400 & wait $!; done"
    files = {"bin/busybox": File(_busybox())}
    return ImageSpec(reference, files, entrypoint=("/bin/busybox", "sh", "-c", loop))


def busybox_image(reference: str = BUSYBOX_IMAGE) -> ImageSpec:
    """The host's static busybox with all its applets, the files a user expects, and a shell.

    Raises FileNotFoundError if busybox-static is not installed.
    """
    files = {f"bin/{name}": File(target="busybox") for name in _applets()}
    files |= {
        "bin/busybox": File(_busybox()),
        "etc/passwd": File(b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
                           mode=0o644),
        "etc/group": File(b"root:x:0:\nnogroup:x:65534:\n", mode=0o644),
        "root": File(mode=0o700),
        "tmp": File(mode=0o1777),
        "var/www": File(),
    }  # fmt: skip
    return ImageSpec(reference, files, command=("sh",))


async def import_archive(socket: Path, archive: Path) -> None:
    """Load an archive into a containerd's Kubernetes images. Raises RuntimeError with the reason.

    Done through ``ctr``, which comes with containerd; the CRI has no call for it.
    """
    command = ("-a", str(socket), "-n", "k8s.io", "images", "import", str(archive))
    process = await asyncio.create_subprocess_exec(
        shutil.which("ctr") or "ctr",
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        text = output.decode(errors="replace").strip()
        raise RuntimeError(f"cannot import {archive}: {text}")


async def import_images(socket: Path, directory: Path, *images: ImageSpec) -> None:
    """Build images and load them; ``directory`` holds the archive meanwhile."""
    data = build_archive(*images)
    archive = directory / f"images-{hashlib.sha256(data).hexdigest()[:12]}.tar"
    archive.write_bytes(data)
    try:
        await import_archive(socket, archive)
    finally:
        archive.unlink(missing_ok=True)


def has_busybox() -> bool:
    """Whether busybox-static is installed, which ``busybox_image`` is made of."""
    return Path(_BUSYBOX).exists()


def _busybox() -> bytes:
    return Path(_BUSYBOX).read_bytes()


def _applets() -> Sequence[str]:
    listing = subprocess.run([_BUSYBOX, "--list"], capture_output=True, check=True, text=True)
    return [name for name in listing.stdout.split() if name != "busybox"]


def _elf_x86_64() -> bytes:
    """The pause program as an ELF executable: one header, one segment (``elf(5)``)."""
    entry = _LOAD_ADDRESS + _ELF_HEADERS_BYTES
    size = _ELF_HEADERS_BYTES + len(_PAUSE_X86_64)

    def word(value: int, length: int) -> bytes:
        return value.to_bytes(length, "little")

    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += word(2, 2) + word(62, 2) + word(1, 4)  # executable, x86-64, version 1
    header += word(entry, 8) + word(64, 8) + word(0, 8)  # entry, program headers, no sections
    header += word(0, 4) + word(64, 2) + word(56, 2) + word(1, 2) + word(64, 2) + word(0, 4)
    segment = word(1, 4) + word(5, 4) + word(0, 8)  # PT_LOAD, read and execute, from offset 0
    segment += word(_LOAD_ADDRESS, 8) * 2 + word(size, 8) * 2 + word(0x1000, 8)
    return header + segment + _PAUSE_X86_64


def _config(image: ImageSpec, layer_digest: str) -> dict[str, object]:
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "amd64")
    config: dict[str, object] = {"Env": list(image.environment), "WorkingDir": image.working_dir}
    if image.entrypoint:
        config["Entrypoint"] = list(image.entrypoint)
    if image.command:
        config["Cmd"] = list(image.command)
    if image.user:
        config["User"] = image.user
    if image.labels:
        config["Labels"] = dict(image.labels)
    return {
        "architecture": architecture,
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + layer_digest]},
        "history": [{"created_by": "sagong"}],
    }


def _layer(files: Mapping[str, File]) -> bytes:
    parents = {
        str(parent): File()
        for name in files
        for parent in Path(name).parents
        if str(parent) not in (".", *files)
    }
    return _tar({**parents, **files})


def _tar(files: Mapping[str, File]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, file in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.mode = file.mode
            if file.target:
                info.type, info.linkname = tarfile.SYMTYPE, file.target
            elif file.data is None:
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(file.data)
            tar.addfile(info, io.BytesIO(file.data or b""))
    return buffer.getvalue()
