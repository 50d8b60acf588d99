"""Bytes open under their key, for their owner and name alone."""

import pytest

from gateway.secrets.sealing import WrongSeal, make_key, seal, unseal

KEY = bytes(32)


def test_what_was_sealed_opens_again() -> None:
    assert unseal(KEY, seal(KEY, b"value", "project", "name"), "project", "name") == b"value"


def test_the_same_text_is_never_sealed_alike() -> None:
    assert seal(KEY, b"value", "a") != seal(KEY, b"value", "a")


@pytest.mark.parametrize("belongs_to", [("other", "name"), ("project", "other"), ("projectname",), ("projec", "tname")])
def test_a_value_copied_to_another_place_does_not_open(belongs_to: tuple[str, ...]) -> None:
    sealed = seal(KEY, b"value", "project", "name")
    with pytest.raises(WrongSeal):
        unseal(KEY, sealed, *belongs_to)


@pytest.mark.parametrize("place", range(34))
def test_a_changed_byte_does_not_open(place: int) -> None:
    sealed = bytearray(seal(KEY, b"value", "a"))
    sealed[place] ^= 1
    with pytest.raises(WrongSeal):
        unseal(KEY, bytes(sealed), "a")


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x02" + bytes(40), b"\x01" + bytes(12)])
def test_other_bytes_do_not_open(sealed: bytes) -> None:
    with pytest.raises(WrongSeal):
        unseal(KEY, sealed, "a")


def test_another_key_does_not_open() -> None:
    with pytest.raises(WrongSeal):
        unseal(make_key(), seal(KEY, b"value", "a"), "a")
