"""Validation of a pod's DNS settings and host aliases."""

from collections.abc import Sequence

from sagong.api import names
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.addresses import ip_address

DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_NAMESERVERS_MAX = 3
_SEARCHES_MAX = 32
_SEARCH_CHARACTERS_MAX = 2048


def validate_dns(spec: Obj, path: Path, errors: ErrorList, *, only_policy: bool) -> None:
    """The policy, or (later in the order of causes) the configuration."""
    policy = spec.get("dnsPolicy") or ""
    if only_policy:
        if checks.required(policy, path.child("dnsPolicy"), errors):
            checks.one_of(policy, DNS_POLICIES, path.child("dnsPolicy"), errors)
        return
    config, at = spec.get("dnsConfig"), path.child("dnsConfig")
    if policy == "None":
        if config is None:
            errors.required(at, "must provide `dnsConfig` when `dnsPolicy` is None")
            return
        if not config.get("nameservers"):
            message = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            errors.required(at.child("nameservers"), message)
            return
    if config is not None:
        _validate_config(config, at, errors)


def _validate_config(config: Obj, path: Path, errors: ErrorList) -> None:
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > _NAMESERVERS_MAX:
        message = f"must not have more than {_NAMESERVERS_MAX} nameservers"
        errors.invalid(path.child("nameservers"), servers, message)
    for i, server in enumerate(servers):
        checks.name(server, ip_address, path.child("nameservers").index(i), errors)
    if len(searches) > _SEARCHES_MAX:
        message = f"must not have more than {_SEARCHES_MAX} search paths"
        errors.invalid(path.child("searches"), searches, message)
    if len(" ".join(searches)) > _SEARCH_CHARACTERS_MAX:
        message = (
            f"must not have more than {_SEARCH_CHARACTERS_MAX} characters (including spaces) in "
            "the search list"
        )
        errors.invalid(path.child("searches"), searches, message)
    for i, search in enumerate(searches):
        _validate_search(search, path.child("searches").index(i), errors)
    for i, option in enumerate(config.get("options") or ()):
        where = path.child("options").index(i)
        checks.required(option.get("name"), where, errors, "must not be empty")


def _validate_search(search: str, path: Path, errors: ErrorList) -> None:
    """Subdomains with underscores; a trailing dot is right, and so is a dot alone."""
    if search == ".":
        return
    checks.name(search.removesuffix("."), names.dns1123_subdomain_underscored, path, errors)


def validate_host_aliases(aliases: Sequence[Obj], path: Path, errors: ErrorList) -> None:
    for i, alias in enumerate(aliases):
        at = path.index(i)
        checks.name(alias.get("ip") or "", ip_address, at.child("ip"), errors)
        for j, hostname in enumerate(alias.get("hostnames") or ()):
            checks.dns_subdomain(hostname, at.child("hostnames").index(j), errors)
