"""Which slugs are made, and which are refused with a sentence."""

import itertools

import pytest

from gateway.errors import Invalid
from gateway.models.slugs import ADJECTIVES, ANIMALS, MAX_SLUG, check_slug, random_long_slug


@pytest.mark.parametrize(
    ("slug", "sentence"),
    [
        ("", "has at most 54 lower-case letters"),
        ("x" * (MAX_SLUG + 1), "has at most 54 lower-case letters"),
        ("Blog", "lower-case"),
        ("-blog", "no hyphen at its ends"),
        ("blog-", "no hyphen at its ends"),
        ("blog\n", "no hyphen at its ends"),
        ("a.b", "lower-case letters, digits and hyphens"),
        ("blog-git-main", "contain '-git-'"),
        ("blog-pr-12", "end in '-pr-' and digits"),
        ("blog-0a1b2c3d", "8 hexadecimal digits"),
        ("xn--bcher-kva", "begin with 'xn--'"),
        ("www", "'www' is reserved"),
        ("localhost", "'localhost' is reserved"),
        ("deploy", "address is that of the API"),
    ],
)
def test_a_slug_that_takes_what_is_not_its_own_is_refused_with_a_sentence(slug, sentence):
    with pytest.raises(Invalid, match=sentence):
        check_slug(slug, ["deploy"])


@pytest.mark.parametrize(
    "slug",
    ["blog", "a", "7", "crimson-elephant", "x" * MAX_SLUG, "git-blog", "blog-pr-x", "my-pr", "blog-0a1b2c3", "www-2"],
)
def test_a_slug_that_harms_no_other_is_taken(slug):
    check_slug(slug, ["deploy"])


def test_no_made_slug_is_ever_refused():
    for adjective, animal in itertools.product(ADJECTIVES, ANIMALS):
        check_slug(f"{adjective}-{animal}", [])
    check_slug(random_long_slug(), [])
