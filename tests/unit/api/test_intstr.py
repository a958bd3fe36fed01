"""Numbers or percentages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagong.api.intstr import is_percent, scaled


@pytest.mark.parametrize(
    ("value", "total", "up", "down"),
    [(3, 10, 3, 3), ("25%", 10, 3, 2), ("100%", 7, 7, 7), ("0%", 9, 0, 0), ("150%", 3, 5, 4)],
)
def test_scaled(value: int | str, total: int, up: int, down: int) -> None:
    assert scaled(value, total, round_up=True) == up
    assert scaled(value, total, round_up=False) == down


@pytest.mark.parametrize("bad", ["5", "x%", "%", ""])
def test_refused(bad: str) -> None:
    assert not is_percent(bad)
    with pytest.raises(ValueError, match="invalid value for IntOrString"):
        scaled(bad, 10, round_up=True)


@given(st.integers(0, 100), st.integers(0, 10**6))
def test_parts_make_the_whole(percent: int, total: int) -> None:
    up = scaled(f"{percent}%", total, round_up=True)
    assert up + scaled(f"{100 - percent}%", total, round_up=False) == total
