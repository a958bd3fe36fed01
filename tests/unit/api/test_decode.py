"""Bodies: formats, limits, duplicate keys, messages."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagong.api.decode import DEPTH_MAX, decode_body, decode_value, strict_error
from sagong.api.errors import BadRequest, UnsupportedMediaType

YAML = "application/yaml"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "unexpected end of JSON input (<empty>)"),
        (b"hello", "invalid character 'h' looking for beginning of value (68656c6c6f)"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b'{"a":1} x', "invalid character 'x' after top-level value"),
        (b"[" * 3000 + b"]" * 3000, "exceeded max depth"),
        (b"[]", "json: cannot unmarshal array into Go value of type struct"),
        (b'{"kind": 1}', "cannot unmarshal number into Go struct field .kind of type string"),
    ],
)
def test_refused_json(body: bytes, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode_body(body, kind="ConfigMap")
    assert message in caught.value.message
    start = "the object provided is unrecognized (must be of type ConfigMap): couldn't get"
    assert caught.value.message.startswith(start)


def test_unknown_format() -> None:
    with pytest.raises(UnsupportedMediaType):
        decode_body(b"", media_type="text/plain")


def test_duplicates_are_named_by_path() -> None:
    body = b'{"kind":"X","spec":{"a" : 1,"a":2,"l":[{"b":"\\":","b" :"x:y"}]},"kind":"X"}'
    assert decode_body(body).duplicates == [
        'duplicate field "kind"',
        'duplicate field "spec.a"',
        'duplicate field "spec.l[0].b"',
    ]
    assert decode_body(b'{"a":"\\":\\":", "b":{"a": "t:1"}}').duplicates == []


def test_yaml_is_read_as_go_reads_it() -> None:
    body = b"""
a: yes
b: 0644
c: 1e3
d: 12:30
e: 2024-01-01
f: "1"
g: !!str 5
h: &x {p: 1}
i:
  <<: *x
  q: 2
j: *x
8080: 1.5
k: ~
"""
    assert decode_body(body, media_type=YAML).obj == {
        "a": True,
        "b": 0o644,
        "c": 1000,
        "d": "12:30",
        "e": "2024-01-01",
        "f": "1",
        "g": "5",
        "h": {"p": 1},
        "i": {"p": 1, "q": 2},
        "j": {"p": 1},
        "8080": 1.5,
        "k": None,
    }


def test_yaml_duplicates_are_named_by_line() -> None:
    found = decode_body(b"a: 1\nb:\n  c: 1\n  c: 2\na: 2\n", media_type=YAML).duplicates
    assert found == [
        'yaml: unmarshal errors:\n  line 4: key "c" already set in map\n'
        '  line 5: key "a" already set in map'
    ]


def test_yaml_bombs_are_refused() -> None:
    laughs = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
        b"%c: &%c [%s]\n" % (i + 1, i + 1, b",".join([b"*%c" % i] * 9)) for i in range(97, 105)
    )
    with pytest.raises(BadRequest, match="excessive aliasing"):
        decode_body(laughs, media_type=YAML)
    with pytest.raises(BadRequest, match="exceeded max depth"):
        decode_body(b"[" * (DEPTH_MAX + 1), media_type=YAML)


def test_strict_error() -> None:
    error = strict_error("Pod", "v1", ['unknown field "a"', 'duplicate field "b"'])
    assert error.message == (
        'Pod in version "v1" cannot be handled as a Pod: strict decoding error: '
        'unknown field "a", duplicate field "b"'
    )


@given(st.binary(max_size=60))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    for media_type in ("application/json", YAML):
        try:
            decode_value(data, media_type=media_type)
        except ValueError:
            pass


documents = st.recursive(
    st.integers(0, 9) | st.sampled_from(["", ":", '":', 'x" : ', "\\"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(st.tuples(st.sampled_from(["a", "b", "c\\", 'd"']), inner), max_size=4).map(
            tuple
        )
    ),
    max_leaves=12,
)
gaps = st.sampled_from([":", ": ", " :", "\n:\t"])


def written(value: Any, gap: str) -> str:
    """JSON of a document in which a tuple of pairs is an object, duplicate keys and all."""
    if isinstance(value, tuple):
        return "{" + ",".join(json.dumps(k) + gap + written(v, gap) for k, v in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(item, gap) for item in value) + "]"
    return json.dumps(value)


def has_duplicates(value: Any) -> bool:
    """Does any object that survives decoding (of equal keys the last) hold a key twice?"""
    if isinstance(value, tuple):
        last = dict(value)
        return len(last) < len(value) or any(map(has_duplicates, last.values()))
    return isinstance(value, list) and any(map(has_duplicates, value))


@given(documents, gaps)
def test_duplicates_are_found_however_they_are_written(document: Any, gap: str) -> None:
    _, found = decode_value(written(document, gap).encode())
    assert bool(found) is has_duplicates(document)
