"""Certificate signing requests. Who asks is written by admission, not by the client."""

import base64
from collections.abc import Mapping

from cryptography import x509

from sagong.api import names
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    obj.setdefault("spec", {})
    obj.setdefault("status", {})


def prepare_for_update(new: Obj, old: Obj) -> None:
    """The spec never changes."""
    new["spec"] = old["spec"]


def selectable_fields(obj: Obj) -> Mapping[str, str]:
    return {"spec.signerName": (obj.get("spec") or {}).get("signerName", "")}


_SPEC = Path("spec")
_USAGES = (
    *("any", "cert sign", "client auth", "code signing", "content commitment", "crl sign"),
    *("data encipherment", "decipher only", "digital signature", "email protection"),
    *("encipher only", "ipsec end system", "ipsec tunnel", "ipsec user", "key agreement"),
    *("key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime"),
    *("server auth", "signing", "timestamping"),
)
_SECONDS_MIN = 600
_LEGACY_SIGNER = "kubernetes.io/legacy-unknown"
# A domain, a slash, and a path of a label and a subdomain.
_SIGNER_MAX = 2 * names.SUBDOMAIN_MAX + names.LABEL_MAX + 2


def validate(obj: Obj, errors: ErrorList) -> None:
    spec = obj["spec"]
    _validate_request(spec.get("request") or "", errors)
    usages, where = spec.get("usages") or [], _SPEC.child("usages")
    checks.required(usages, where, errors)
    for i, usage in enumerate(usages):
        checks.one_of(usage, _USAGES, where.index(i), errors)
        if usage in usages[:i]:
            errors.duplicate(where.index(i), usage)
    _validate_signer(spec.get("signerName") or "", errors)
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < _SECONDS_MIN:
        message = "may not specify a duration less than 600 seconds (10 minutes)"
        errors.invalid(_SPEC.child("expirationSeconds"), seconds, message)
    _validate_conditions(obj, errors)


def _validate_request(request: str, errors: ErrorList) -> None:
    where = _SPEC.child("request")
    try:
        x509.load_pem_x509_csr(base64.b64decode(request))
    except ValueError:
        message = "PEM block type must be CERTIFICATE REQUEST"
        errors.invalid(where, request, message)


def _validate_signer(signer: str, errors: ErrorList) -> None:
    where = _SPEC.child("signerName")
    if not checks.required(signer, where, errors):
        return
    if signer == _LEGACY_SIGNER:
        message = "the legacy signerName is not allowed via this API version"
        errors.invalid(where, signer, message)
        return
    if signer.count("/") != 1:
        message = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        errors.invalid(where, signer, message)
        return
    domain, _, path = signer.partition("/")
    if len(domain) > names.SUBDOMAIN_MAX:
        errors.too_long(where, names.SUBDOMAIN_MAX)
    _validate_labels(domain, names.dns1123_label, errors)
    if "." not in domain:
        message = "should be a domain with at least two segments separated by dots"
        errors.invalid(where, domain, message)
    _validate_labels(path, names.dns1123_subdomain, errors)
    if len(signer) > _SIGNER_MAX:
        errors.too_long(where, _SIGNER_MAX)


def _validate_labels(text: str, rule: checks.NameRule, errors: ErrorList) -> None:
    """The parts of a signer's name; of the first that is wrong is told."""
    for label in text.split("."):
        wrong = rule(label)
        for message in wrong:
            where = _SPEC.child("signerName")
            errors.invalid(where, text, f'validating label "{label}": {message}')
        if wrong:
            return


def _validate_conditions(obj: Obj, errors: ErrorList) -> None:
    """Approved, Denied and Failed are never False, and the first two exclude each other."""
    path = Path("status").child("conditions")
    types = set()
    for i, condition in enumerate((obj.get("status") or {}).get("conditions") or ()):
        type_, at = condition.get("type") or "", path.index(i)
        checks.required(type_, at.child("type"), errors)
        status = condition.get("status") or ""
        if type_ in ("Approved", "Denied", "Failed"):
            checks.one_of(status, ("True",), at.child("status"), errors)
        elif checks.required(status, at.child("status"), errors):
            checks.one_of(status, ("True", "False", "Unknown"), at.child("status"), errors)
        if type_ in types:
            errors.duplicate(at.child("type"), type_)
        types.add(type_)
        other = {"Approved": "Denied", "Denied": "Approved"}.get(type_)
        if other in types:
            message = "Approved and Denied conditions are mutually exclusive"
            errors.invalid(at.child("type"), type_, message)


def validate_status_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    """A certificate, once there, stays."""
    _validate_conditions(new, errors)
    before = (old.get("status") or {}).get("certificate")
    if before:
        where = Path("status").child("certificate")
        checks.unchanged((new.get("status") or {}).get("certificate"), before, where, errors)


STRATEGY = Strategy(
    validate=validate,
    validate_status_update=validate_status_update,
    default=default,
    prepare_for_update=prepare_for_update,
    selectable_fields=selectable_fields,
    selectable_field_names=("spec.signerName",),
    name_rule="path-segment",
)
