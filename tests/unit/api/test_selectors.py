"""Label and field selectors."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sagong.api.errors import BadRequest
from sagong.api.selectors import (
    parse_field_selector,
    parse_label_selector,
    selector_from_labels,
    selector_from_object,
)

LABELS = {"app": "web", "tier": "front", "size": "12"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web,tier!=back", True),
        ("app!=web", False),
        ("app in (db, web)", True),
        ("app notin (db,web)", False),
        ("nope notin (x)", True),
        ("nope!=x", True),
        ("app", True),
        ("!app", False),
        ("!nope,app", True),
        ("size>11", True),
        ("size<12", False),
        ("app>1", False),
        ("x.example.com/a in (,b)", False),
        ("in in (in)", False),
    ],
)
def test_labels(text: str, matches: bool) -> None:
    assert parse_label_selector(text).matches(LABELS) is matches


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a,", "found '', expected: identifier after ','"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("=x", "found '=', expected: !, identifier, or 'end of string'"),
        ("-a=b", 'key: Invalid value: "-a": name part must consist of alphanumeric characters'),
        (
            "a=-b",
            'values\\[0\\]\\[a\\]: Invalid value: "-b": a valid label must be an empty string',
        ),
        ("x>y", "the value must be an integer"),
    ],
)
def test_refused_labels(text: str, message: str) -> None:
    with pytest.raises(BadRequest, match=message.replace("!", "\\!").replace("(", "\\(")):
        parse_label_selector(text)


def test_objects() -> None:
    selector = selector_from_object(
        {
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["front"]},
                {"key": "gone", "operator": "DoesNotExist"},
            ],
        }
    )
    assert selector.matches(LABELS)
    assert not selector.matches(LABELS | {"gone": ""})
    assert not selector_from_object(None).matches(LABELS)
    assert selector_from_object({}).matches({})
    assert not selector_from_labels({}).matches(LABELS)
    with pytest.raises(ValueError, match="is not a valid label selector operator"):
        selector_from_object({"matchExpressions": [{"key": "a", "operator": "Near"}]})


def test_fields() -> None:
    selector = parse_field_selector(r"metadata.name=a\,b,spec.nodeName!=n")
    assert selector.names == ("metadata.name", "spec.nodeName")
    assert selector.matches({"metadata.name": "a,b"})
    assert not selector.matches({"metadata.name": "a,b", "spec.nodeName": "n"})
    assert selector.required("metadata.name") == "a,b"
    assert str(selector) == r"metadata.name=a\,b,spec.nodeName!=n"
    with pytest.raises(BadRequest, match="invalid selector: 'a'; can't understand 'a'"):
        parse_field_selector("a")


keys = st.from_regex(r"\A[a-z]{1,4}\Z")
values = st.from_regex(r"\A[a-z0-9]{0,3}\Z")


@given(st.dictionaries(keys, values, min_size=1))
def test_a_map_selects_itself_and_more(labels: dict[str, str]) -> None:
    selector = parse_label_selector(",".join(f"{k}={v}" for k, v in labels.items()))
    assert selector.matches(labels)
    assert selector.matches(labels | {"zzzzz": "1"})
    assert selector == parse_label_selector(str(selector)) or len(labels) > 1
    assert selector_from_labels(labels).matches(labels)


@given(keys, st.lists(values, min_size=1, max_size=3), st.dictionaries(keys, values))
def test_in_and_notin_are_opposites(key: str, options: list[str], labels: dict[str, str]) -> None:
    listed = ",".join(options)
    assume(listed)  # an empty list of values is refused
    inside = parse_label_selector(f"{key} in ({listed})")
    outside = parse_label_selector(f"{key} notin ({listed})")
    assert inside.matches(labels) is not outside.matches(labels)


@given(st.text(max_size=20))
def test_any_text_parses_or_is_refused(text: str) -> None:
    for parse in (parse_label_selector, parse_field_selector):
        try:
            parse(text)
        except BadRequest:
            pass
