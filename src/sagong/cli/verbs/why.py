"""``sagong why``: why a pod went where it went, or why it waits, in words for people."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import click

from sagong.api.errors import ApiError, NotFound
from sagong.api.meta import condition
from sagong.api.resources import ResourceTable
from sagong.api.scheduling import SUBRESOURCE
from sagong.api.types import Obj
from sagong.cli import options
from sagong.client.access import Access
from sagong.client.client import Client
from sagong.client.https import Https
from sagong.client.kubeconfig import KubeconfigError, read_context

NODES_SHOWN_MAX = 8


@click.command()
@click.argument("pod")
@click.option("-n", "--namespace", default="default", show_default=True)
@options.kubeconfig
def command(pod: str, namespace: str, kubeconfig: Path) -> None:
    """Say why POD runs where it does, or why no node takes it: who refused which nodes."""
    try:
        access = read_context(kubeconfig.expanduser()).access
    except (KubeconfigError, OSError) as error:
        raise click.ClickException(str(error)) from error
    try:
        for line in asyncio.run(_explain(access, namespace, pod)):
            click.echo(line)
    except ApiError as error:
        raise click.ClickException(error.message) from error


async def _explain(access: Access, namespace: str, name: str) -> list[str]:
    client = Client(Https(access), ResourceTable(), user_agent="sagong-why")
    try:
        obj = await client.get("pods", name, namespace=namespace)
        try:
            record = await client.get("pods", name, namespace=namespace, subresource=SUBRESOURCE)
        except NotFound:
            return list(without_record(obj))
        return list(lines_of(obj, record))
    finally:
        await client.close()


def without_record(pod: Obj) -> Iterator[str]:
    """What the pod itself tells, where no decision is kept (any more)."""
    name, spec = pod["metadata"]["name"], pod["spec"]
    if gates := spec.get("schedulingGates"):
        yield f"{name} is held back by its scheduling gates: {', '.join(g['name'] for g in gates)}"
    elif node := spec.get("nodeName"):
        yield f"{name} is on {node}; how that was decided is not kept any more"
    else:
        scheduled = condition(pod, "PodScheduled") or {}
        told = scheduled.get("message") or (
            f"no scheduler named {spec.get('schedulerName')!r} has decided about it yet"
        )
        yield f"{name} has no node: {told}"


def lines_of(pod: Obj, record: Obj) -> Iterator[str]:
    """A record as a person reads it: the outcome, the winner's scores, the refusals."""
    name, total = pod["metadata"]["name"], record["nodes"]
    node = record.get("nodeName")
    refused = sum(entry["count"] for entry in record["refusals"])
    by = f"{record['schedulerName']}, attempt {record['attempt']}, {record['decidedAt']}"
    if node:
        yield f"{name} went to {node} ({by})"
        yield from _scores(record, total - refused)
    else:
        yield f"{name} has no node ({by})"
    if record["refusals"]:
        yield ""
        yield f"refused were {refused} of {total} nodes:"
        for entry in record["refusals"]:
            yield from _refusal(entry)
    if record.get("message"):
        yield ""
        yield record["message"]


def _scores(record: Obj, fitting: int) -> Iterator[str]:
    if not record.get("scores"):
        yield f"  {fitting} node{'s' if fitting != 1 else ''} fitted; nothing was to be compared"
        return
    ties = record["ties"] - 1
    alike = f", {ties} others as high (one of them by chance)" if ties else ""
    yield f"  {fitting} nodes fitted; it scored {record['score']}, the most{alike}:"
    for entry in record["scores"]:
        yield f"    {entry['score']:5}  {entry['plugin']}"


def _refusal(entry: Obj) -> Iterator[str]:
    hint = "; evicting others could help" if entry["preemptible"] else ""
    yield f"  {entry['count']:5}  {entry['plugin']}: {', '.join(entry['reasons'])}{hint}"
    named = entry["nodes"][:NODES_SHOWN_MAX]
    if named:
        more = entry["count"] - len(named)
        yield f"         {', '.join(named)}{f' and {more} more' if more > 0 else ''}"
