"""What a failed call to an extension is said to be, in Go's words."""

import errno

import pytest

from sagong.server.remote.words import answer_text, failure_text

ANSWERS = [
    (404, b"404 page not found\n", "the server could not find the requested resource"),
    (
        500,
        b'oh "no"',
        'an error on the server ("oh \\"no\\"") has prevented the request from succeeding',
    ),
    (503, b"", "the server is currently unable to handle the request"),
    (400, b'{"kind":"Status","status":"Failure","message":"bad"}', "bad"),
    (418, b"", "the server responded with the status code 418 but did not return more information"),
]


@pytest.mark.parametrize(("code", "body", "text"), ANSWERS)
def test_answers(code: int, body: bytes, text: str) -> None:
    assert answer_text(code, body) == text


FAILURES: list[tuple[BaseException, str]] = [
    (TimeoutError(), "context deadline exceeded"),
    (
        ConnectionRefusedError(errno.ECONNREFUSED, "x"),
        "dial tcp 10.0.0.1:443: connect: connection refused",
    ),
    (OSError(errno.EHOSTUNREACH, "x"), "dial tcp 10.0.0.1:443: connect: no route to host"),
    (ConnectionResetError(), "read tcp 10.0.0.1:443: read: connection reset by peer"),
    (RuntimeError(), "EOF"),
]


@pytest.mark.parametrize(("error", "text"), FAILURES, ids=[text for _, text in FAILURES])
def test_failures(error: BaseException, text: str) -> None:
    assert failure_text(error, "10.0.0.1:443") == text
