"""Installing the system packages that a node needs, on Debian and Ubuntu."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Debian's names; the same on Ubuntu.
PACKAGES = (
    "containerd",
    "runc",
    "containernetworking-plugins",
    "nftables",
    "iptables",  # the portmap CNI plugin of Debian 12 knows nothing else
    "conntrack",
    "iproute2",
    "util-linux",
    "procps",
    "mount",
    "busybox-static",  # the pause image and the demonstration are made of it
)


INGRESS_PACKAGES = ("haproxy",)  # serves Ingresses; only where some are


class InstallError(Exception):
    """A package could not be installed; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step, said before it is taken."""

    description: str
    argv: tuple[str, ...]


def missing_packages(wanted: Sequence[str] = PACKAGES) -> list[str]:
    """Those that dpkg does not know as installed."""
    answer = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *wanted],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = (line.split() for line in answer.stdout.splitlines())
    installed = {fields[0] for fields in lines if fields[1:] == ["installed"]}
    return [package for package in wanted if package not in installed]


def plan_install(wanted: Sequence[str] = PACKAGES) -> list[Step]:
    """The steps still to take; empty when everything is there. Raises InstallError."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-query") is None:
        raise InstallError(
            "this system has no apt-get; install these with its own package tool: "
            + " ".join(wanted)
        )
    missing = missing_packages(wanted)
    if not missing:
        return []
    if os.geteuid() != 0:
        raise InstallError("installing packages needs root; run the command with sudo")
    names = " ".join(missing)
    install = ("apt-get", "install", "-y", "--no-install-recommends", *missing)
    return [
        Step("refreshing the package lists", ("apt-get", "update", "-q")),
        Step(f"installing {names}", install),
    ]


def apply_install(steps: list[Step]) -> Iterator[Step]:
    """Take the steps, saying each before it is taken. Raises InstallError with apt's last lines."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in steps:
        yield step
        done = subprocess.run(
            step.argv,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            tail = "\n".join(done.stdout.splitlines()[-5:])
            raise InstallError(f"{' '.join(step.argv)} failed ({done.returncode}):\n{tail}")
