"""Version ranges as npm reads them."""

import pytest

from builder.semver import parse_node_range, parse_version


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("^18.0.0 || >=20", "20.1.0"),
        ("^18", "18.9.9"),
        (">=18 <21", "20.9.0"),
        ("18.x", "18.4.0"),
        ("18", "18.4.0"),
        ("v20.10.0", "20.10.0"),
        ("=20.10.0", "20.10.0"),
        ("*", "1.0.0"),
        ("", "24.0.0"),
        ("x", "24.0.0"),
        ("20 - 22", "22.99.0"),
        (">20", "21.0.0"),
        ("<=20", "20.9.9"),
        ("~20.9", "20.9.4"),
        ("~> 20.9.1", "20.9.4"),
        ("^0.2.3", "0.2.9"),
        ("^0.0", "0.0.4"),
        ("^0", "0.9.0"),
        ("^0.0.3", "0.0.3"),
        (">= 18.0.0", "24.0.0"),
        (">=14.x", "20.0.0"),
        (">=18.0.0-alpha.1", "18.0.0"),
        ("lts/jod", "22.1.0"),
        ("lts/*", "24.19.0"),
        ("node", "24.19.0"),
        ("^20.19.0 || >=22.12.0", "24.19.0"),
    ],
)
def test_a_version_fits(text, version):
    assert parse_node_range(text).allows(parse_version(version))


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("^18", "19.0.0"),
        (">=18 <21", "21.0.0"),
        ("20 - 22", "23.0.0"),
        ("20.1.0 - 22.3.1", "22.3.2"),
        (">20", "20.20.2"),
        ("~20.9.1", "20.10.0"),
        ("^0.2.3", "0.3.0"),
        ("^0.0", "0.1.0"),
        ("^0.0.3", "0.0.4"),
        ("<18", "18.0.0"),
        ("lts/*", "23.0.0"),
        ("lts/hydrogen", "20.0.0"),
        ("^20.19.0 || >=22.12.0", "22.2.0"),
        (">=20 <20", "20.0.0"),
    ],
)
def test_a_version_does_not_fit(text, version):
    assert not parse_node_range(text).allows(parse_version(version))


@pytest.mark.parametrize("text", ["foo", "1.2.3.4", "lts/nope", "~~", "==", ">= ", "1 -", "1" * 2000])
def test_what_is_no_range_is_refused_with_a_sentence(text):
    with pytest.raises(ValueError, match=r"\.$"):
        parse_node_range(text)
