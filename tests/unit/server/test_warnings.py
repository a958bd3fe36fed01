"""What is sent of an answer's warnings."""

from sagong.server.http.headers import sendable_warnings


def test_each_is_sent_once_and_none_with_line_ends() -> None:
    assert sendable_warnings(["a", "b", "a", "", "c\nd"]) == ["a", "b"]


def test_many_are_cut_and_then_left_out() -> None:
    long = [f"{i:03}" + "x" * 997 for i in range(20)]

    sent = sendable_warnings(long)

    assert [len(text) for text in sent] == [256] * 16
    assert sendable_warnings(long[:4]) == long[:4]
