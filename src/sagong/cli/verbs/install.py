"""``sagong install``: the system packages a node needs, or systemd services; idempotent."""

import shutil
import sys
from pathlib import Path

import click

from sagong.local import packages, preflight
from sagong.local.services import UNIT_DIR, plan_units


@click.command()
@click.option("--service", type=click.Choice(["server", "agent"]), help="Write a systemd unit.")
@click.option("--config", type=click.Path(path_type=Path), help="The service's configuration file.")
@click.option("--ingress", is_flag=True, help="Also what serves Ingresses (haproxy).")
def command(service: str | None, config: Path | None, ingress: bool) -> None:
    """Install what a node needs (Debian, Ubuntu), or a systemd service with --service."""
    if service:
        _install_service(service, config)
    else:
        install_packages(ingress=ingress)


def install_packages(*, ingress: bool = False) -> None:
    """Install what is missing, saying each step; exits with 1 when something cannot be had."""
    try:
        wanted = packages.PACKAGES + (packages.INGRESS_PACKAGES if ingress else ())
        steps = packages.plan_install(wanted)
        for step in packages.apply_install(steps):
            click.echo(f"{step.description} ...")
    except packages.InstallError as error:
        raise click.ClickException(str(error)) from error
    if not steps:
        click.echo("all system packages are installed")
    for check in preflight.unmet(preflight.check_node()):
        click.echo(check.line())


def _install_service(name: str, config: Path | None) -> None:
    if shutil.which("systemctl") is None:
        raise click.ClickException(
            f"this machine has no systemd; run `sagong {name}` under its own service manager"
        )
    config = config or Path(f"/etc/sagong/{name}.yaml")
    for unit in plan_units(name, program=Path(sys.argv[0]).resolve(), config=config):
        path = UNIT_DIR / unit.name
        if path.exists() and path.read_text() == unit.text:
            click.echo(f"{path} is up to date")
            continue
        path.write_text(unit.text)
        click.echo(f"wrote {path}")
    click.echo(f"next: edit {config}, then: systemctl daemon-reload")
    click.echo(f"      systemctl enable --now sagong-{name}")
