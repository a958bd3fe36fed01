"""Quantities: parsing, canonical form, arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagong.api.quantities import Format, Quantity, canonical, parse


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("1000m", "1"),
        ("0.5", "500m"),
        (0.1, "100m"),
        (128974848, "128974848"),
        ("1Gi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("1024Mi", "1Gi"),
        ("1000", "1k"),
        ("100k", "100k"),
        ("1e3", "1e3"),
        ("0.5Ki", "512"),
        ("1.1Ki", "1126400m"),
        ("100000000000n", "100"),
        ("-1.5", "-1500m"),
        ("0", "0"),
        ("0Mi", "0"),
        ("0.0000000001", "1n"),
        ("1E", "1E"),
    ],
)
def test_canonical(text: str | int | float, written: str) -> None:
    assert canonical(text) == written


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("12Zb", "quantities must match"),
        ("", "quantities must match"),
        ("1..2", "quantities must match"),
        ("true", "quantities must match"),
        ("1iK", "unable to parse quantity's suffix"),
        ("1e99999999999", "unable to parse quantity's suffix"),
        (".", "unable to parse numeric part of quantity"),
    ],
)
def test_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse(text)


def test_rounds_away_from_zero() -> None:
    assert parse("1500m").value == 2
    assert parse("-1500m").value == -2
    assert parse("1u").milli_value == 1


def test_sum_takes_the_form_of_the_first_that_is_not_zero() -> None:
    assert str(parse("1Gi") + parse("1Gi")) == "2Gi"
    assert str(parse("0") + parse("1Gi")) == "1Gi"
    assert str(parse("1Gi") - parse("512Mi")) == "512Mi"
    assert parse("1Gi") == parse("1024Mi") < parse("2G")


@given(st.integers(-(10**24), 10**24), st.sampled_from(Format))
def test_written_form_means_the_same(nano: int, form: Format) -> None:
    quantity = Quantity(nano, form)
    if form is Format.DECIMAL_SI or abs(nano) < 2**60 * 10**9:
        assert parse(str(quantity)).nano == nano
        assert canonical(str(quantity)) == str(parse(str(quantity)))


@given(st.text("0123456789.+-eEinumkKMGTP ", max_size=12))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        quantity = parse(text)
    except ValueError:
        return
    assert parse(canonical(text)).nano == quantity.nano
