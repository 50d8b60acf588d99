"""The text of a .env file, as the usual tools write it, and what is wrong with a line."""

import pytest

from gateway.routes.dotenv import parse_dotenv

VALUES = [
    ("A=1", "1"),
    ("A = 1 ", "1"),
    ("export A=1", "1"),
    ("  export\tA=1", "1"),
    ("A=", ""),
    ("A=one two", "one two"),
    ("A=one # two", "one"),
    ("A=one#two", "one#two"),
    ("A=#two", ""),
    ("A='one # two'", "one # two"),
    ('A="one # two" # three', "one # two"),
    ('A=`it\'s "both"`', 'it\'s "both"'),
    (r'A="a\nb\tc\"d\\e\$f"', 'a\nb\tc"d\\e$f'),
    (r'A="\d+"', r"\d+"),
    (r"A='a\nb'", r"a\nb"),
    ("A=a\\nb", "a\\nb"),
    ('A="one\ntwo"', "one\ntwo"),
    ("A='one\n\n# two\n'", "one\n\n# two\n"),
    ('A="one\\\ntwo"', "one\\\ntwo"),
    ("A=$B", "$B"),
    ("A=a=b==", "a=b=="),
    ("A=it's", "it's"),
    ("A=ключ", "ключ"),
]


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_a_value_is_read_as_the_usual_tools_do(text: str, value: str) -> None:
    entries, bad = parse_dotenv(text)
    assert [(entry.name, entry.value) for entry in entries] == [("A", value)]
    assert bad == []


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_and_a_byte_order_mark_are_accepted(end: str) -> None:
    text = "\ufeff" + end.join(["# head", "", "A=1", '\tB="x', 'y"', "export C=3", ""])
    entries, bad = parse_dotenv(text)
    assert [(entry.line, entry.name, entry.value) for entry in entries] == [
        (3, "A", "1"),
        (4, "B", "x\ny"),
        (6, "C", "3"),
    ]
    assert bad == []


def test_each_bad_line_is_named_without_its_text() -> None:
    entries, bad = parse_dotenv("hunter2\nA=1\n=2\nB='x' y\nexport C\nD: 4\nE=\"open\nF=6")
    assert [(each.line, each.problem) for each in bad] == [
        (1, "is not NAME=value"),
        (3, "is not NAME=value"),
        (4, "goes on after its closing quote '; only a comment may follow"),
        (5, "is not NAME=value"),
        (6, "is not NAME=value"),
        (7, 'opens a quote " that is never closed'),
    ]
    assert [entry.name for entry in entries] == ["A", "F"]


def test_a_value_does_not_show_itself() -> None:
    assert "hunter2" not in repr(parse_dotenv("A=hunter2"))
