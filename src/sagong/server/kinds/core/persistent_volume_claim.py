"""Persistent volume claims."""

from sagong.api.types import Obj
from sagong.api.volume_defaults import default_claim_spec
from sagong.server.kinds.core.persistent_volume_validation import (
    validate_claim,
    validate_claim_update,
)
from sagong.server.kinds.core.volume_warnings import claim_warnings
from sagong.server.kinds.strategy import Strategy


def default(claim: Obj) -> None:
    if not (claim.get("status") or {}).get("phase"):
        claim.setdefault("status", {})["phase"] = "Pending"
    default_claim_spec(claim.setdefault("spec", {}))


def prepare_for_create(claim: Obj) -> None:
    claim["status"] = {"phase": "Pending"}
    normalise_data_sources(claim["spec"])


def prepare_for_update(new: Obj, old: Obj) -> None:
    normalise_data_sources(new["spec"])


def normalise_data_sources(spec: Obj) -> None:
    """``dataSource`` and ``dataSourceRef`` mirror each other, within one namespace."""
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if reference is not None and reference.get("namespace"):
        return
    if source is not None and reference is None:
        spec["dataSourceRef"] = dict(source)
    elif reference is not None and source is None:
        spec["dataSource"] = {k: v for k, v in reference.items() if k != "namespace"}


STRATEGY = Strategy(
    warnings=claim_warnings,
    validate=validate_claim,
    validate_update=validate_claim_update,
    default=default,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
)
