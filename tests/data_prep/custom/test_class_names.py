"""Class names: what is certainly the same is one class, what may be is said."""

from __future__ import annotations

import pytest

from decathlon.data_prep.custom.class_names import class_name, doubts

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("cat", "cat"),
        (" cat\t", "cat"),
        (DECOMPOSED, COMPOSED),
        ("\ufeffcat", "cat"),
        ("ca\ufefft", "cat"),
        ("cat\u200b", "cat"),
        ("\u00a0cat\u3000", "cat"),
        ("great\u00a0dane", "great dane"),
        ("great  dane", "great  dane"),  # only a doubt
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),  # a joiner inside a Persian word
        ("cat\u200d", "cat"),
        ("\U0001f468\u200d\U0001f33e", "\U0001f468\u200d\U0001f33e"),  # or an emoji
        ("\u200b", ""),
    ],
)
def test_one_form_for_what_is_certainly_the_same(written: str, name: str) -> None:
    assert class_name(written) == name
    assert class_name(name) == name


@pytest.mark.parametrize(
    "alike",
    [
        ("Cat", "cat"), ("great dane", "great  dane"), ("great_dane", "great-dane"), ("greatdane", "Great Dane"),
        ("3", "3.0"), ("03", "3"), ("+3", "3."), ("stra\u00dfe", "STRASSE"), ("\uff11", "1"), ("a\u00adb", "ab"),
    ],
)  # fmt: skip
def test_classes_that_may_be_one_are_listed(alike: tuple[str, str]) -> None:
    one, two = sorted(alike)
    assert list(doubts({one: 3, two: 1, "other": 2})) == [
        "Warning: classes that differ only in case, spacing or the form of a number, 1 time: "
        f"{one} = {two}; give one name to what is one class."
    ]


@pytest.mark.parametrize(
    "apart",
    [("1-2", "12"), ("-3", "3"), ("c", "c++"), ("737-200", "737200"), ("3.1", "31"), ("+", "-"), ("a", "\u00e4")],
)
def test_other_classes_are_not(apart: tuple[str, str]) -> None:
    assert list(doubts({name: 1 for name in apart})) == []


def test_at_most_three_sets_are_named_in_one_line() -> None:
    (line,) = doubts({name: 1 for letter in "abcd" for name in (letter, letter.upper())})
    assert "4 times: A = a, B = b, C = c, …; give" in line


@pytest.mark.parametrize("name", ["nan", "NaN", "NULL", "None", "N/A", "<NA>"])
def test_what_stands_for_a_missing_label_is_said(name: str) -> None:
    assert list(doubts({"cat": 3, name: 2})) == [f"Warning: class {name} (2 images) may stand for a missing label."]
