"""What a node keeps back, and how it shuts down: from flags and from a file as the kubelet's."""

from pathlib import Path
from typing import Any

import click
import yaml
from click.testing import CliRunner

from sagong.cli import options
from sagong.cli.node_shutdown import SHUTDOWN_KEYS, shutdown_options, take_shutdown
from sagong.cli.reservations import RESERVATION_KEYS, reservation_options, take_reservations

FILE = {
    "kubeReserved": {"cpu": "500m", "memory": "100Mi"},
    "systemReserved": {"cpu": "250m"},
    "reservedMemory": [{"numaNode": 0, "limits": {"memory": "200Mi"}}],
    "cpuManagerPolicy": "static",
    "cpuManagerPolicyOptions": {"full-pcpus-only": True},
    "topologyManagerPolicy": "restricted",
    "topologyManagerScope": "pod",
}


@click.command()
@options.config_file(RESERVATION_KEYS)
@reservation_options
def command(config: Path | None, **settings: Any) -> None:
    reserved, alignment = take_reservations(settings)
    assert not settings
    print(dict(reserved), alignment)


def test_a_file_as_the_kubelets(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(yaml.safe_dump(FILE))
    done = CliRunner().invoke(command, ["--config", str(path)])
    assert done.exit_code == 0, done.output
    assert "{'cpu': '750m', 'memory': '100Mi'}" in done.output
    for text in ("'full-pcpus-only': 'true'", "{0: {'memory': '200Mi'}}", "'restricted'", "'pod'"):
        assert text in done.output


def test_flags_and_their_mistakes() -> None:
    given = ["--cpu-manager-policy", "static", "--reserved-cpus", "0,4"]
    done = CliRunner().invoke(command, given)
    assert done.exit_code == 0, done.output
    assert "{'cpu': '2'}" in done.output
    for wrong in (
        ["--cpu-manager-policy", "static"],
        ["--reserved-memory", "0"],
        ["--system-reserved", "cpu"],
        ["--cpu-manager-policy-options", "align-by-socket=true"],
        ["--topology-manager-policy", "some"],
    ):
        done = CliRunner().invoke(command, wrong)
        assert done.exit_code == 2, wrong


@click.command()
@options.config_file(SHUTDOWN_KEYS)
@shutdown_options
def shutting_down(config: Path | None, **settings: Any) -> None:
    print([(p.priority, p.seconds) for p in take_shutdown(settings).periods])


def test_how_long_a_shutdown_waits(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    sums = {"shutdownGracePeriod": "1m30s", "shutdownGracePeriodCriticalPods": "30s"}
    path.write_text(yaml.safe_dump(sums))
    done = CliRunner().invoke(shutting_down, ["--config", str(path)])
    assert done.output == "[(0, 60), (2000000000, 30)]\n"
    listed = [{"priority": 1000, "shutdownGracePeriodSeconds": 20}]
    path.write_text(yaml.safe_dump({"shutdownGracePeriodByPodPriority": listed}))
    done = CliRunner().invoke(shutting_down, ["--config", str(path)])
    assert done.output == "[(1000, 20)]\n"
    by_flag = ["--shutdown-grace-period-by-pod-priority", "1000=20,0=5"]
    assert CliRunner().invoke(shutting_down, by_flag).output == "[(0, 5), (1000, 20)]\n"
    for wrong in ("10", "500ms"):
        done = CliRunner().invoke(shutting_down, ["--shutdown-grace-period", wrong])
        assert done.exit_code == 2, wrong
