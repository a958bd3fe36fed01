"""What Go's client says when a call fails: people and tests look for these words. Pure."""

import asyncio
import errno
import os
import ssl

import orjson

from sagong.api.types import Obj

# client-go's texts for answers that are no Status (``errors.NewGenericServerResponse``).
_BY_CODE = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    403: "forbidden",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    406: "the server was unable to respond with a content type that the client supports",
    409: "the server reported a conflict",
    410: "the server could not find the requested resource",
    415: "the server was not able to process the request's content type",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be "
    "processing the request",
}
_BODY_SHOWN_MAX = 2048


def failure_text(error: BaseException, where: str) -> str:
    """Why a request to ``host:port`` failed."""
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return "context deadline exceeded"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: {_certificate_text(error)}"
    if isinstance(error, ssl.CertificateError):
        return f"tls: failed to verify certificate: x509: {error}"
    if isinstance(error, ssl.SSLError):
        return f"tls: {error.reason or error}"
    if isinstance(error, ConnectionResetError):
        return f"read tcp {where}: read: connection reset by peer"
    if isinstance(error, OSError) and error.errno in errno.errorcode:
        return f"dial tcp {where}: connect: {os.strerror(error.errno or 0).lower()}"
    return f"dial tcp {where}: {error}" if isinstance(error, OSError) else "EOF"


def _certificate_text(error: ssl.SSLCertVerificationError) -> str:
    message = error.verify_message or str(error)
    if "hostname mismatch" in message.lower() or "ip address mismatch" in message.lower():
        name = message.rpartition("for ")[2].strip("'\".")
        return f"x509: certificate is not valid for {name}"
    if "expired" in message:
        return "x509: certificate has expired or is not yet valid"
    return "x509: certificate signed by unknown authority"


def answer_text(code: int, body: bytes) -> str:
    """The message of an answer that is a failure: its Status', or client-go's own words."""
    if status := status_in(body):
        return str(status.get("message") or "")
    text = _BY_CODE.get(code)
    if text is not None:
        return text
    if code >= 500:
        said = orjson.dumps(body[:_BODY_SHOWN_MAX].decode(errors="replace")).decode()
        return f"an error on the server ({said}) has prevented the request from succeeding"
    return f"the server responded with the status code {code} but did not return more information"


def status_in(body: bytes) -> Obj | None:
    """The ``metav1.Status`` of failure that a body is."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    is_status = isinstance(found, dict) and found.get("kind") == "Status"
    return found if is_status and found.get("status") != "Success" else None
