"""Service accounts."""

from sagong.api.types import Obj
from sagong.server.kinds.strategy import Strategy


def prepare_for_create(account: Obj) -> None:
    """Only names of secrets are kept."""
    secrets = account.get("secrets")
    if secrets:
        account["secrets"] = [{"name": s["name"]} for s in secrets if s.get("name")]


def prepare_for_update(new: Obj, old: Obj) -> None:
    prepare_for_create(new)


STRATEGY = Strategy(
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    has_status=False,
    unconditional_update=False,
)
