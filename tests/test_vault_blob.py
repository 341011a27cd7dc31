"""The form on the disk: pinned, since every value ever sealed depends on it."""

from __future__ import annotations

import enum

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from aparte import errors
from aparte.vault import blob

SECRET = bytes(range(32))
PARTS = st.lists(st.none() | st.text(max_size=6) | st.integers() | st.binary(max_size=6), max_size=5).map(tuple)


class Sender(enum.StrEnum):
    VISITOR = "visitor"


class OldSender(str, enum.Enum):  # noqa: UP042 - the older kind, whose format() differs, must bind alike
    VISITOR = "visitor"


class Level(enum.IntEnum):
    V2 = 2


def test_it_writes_bound_parts_in_the_pinned_form() -> None:
    assert (
        blob.canonical(("message", 12, None, "é", b"\x00\xff", -3, "")) == "s7:messagei12;ns1:éb2:00ffi-3;s0:".encode()
    )
    assert blob.canonical(()) == b""


def test_it_opens_a_blob_of_the_first_version() -> None:
    old = bytes.fromhex(
        "01010000000000000007d50a9d03d6ff147d3d5b15da28743f24964877e3e40d09f4205b79839bf689924398747d9ad4fb4a16ce3e2f86eddb4dc976a6ce31ae506643d8d87934b5b71c4c5b154d6c0fee47dfcbce7acbd3d059d64314dae076e456b5cab91a"
    )
    assert blob.unseal(SECRET, blob.RECORD, 7, ("message", 1), old) == b"Bonjour"


def test_it_lays_out_header_nonce_and_ciphertext() -> None:
    sealed = blob.seal(SECRET, blob.RECORD, 7, ("message", 1), b"Bonjour")
    header, nonce, rest = sealed[:10], sealed[10:22], sealed[22:]
    assert header == b"\x01\x01" + (7).to_bytes(8, "big")
    assert AESGCM(SECRET).decrypt(nonce, rest, header + b"s7:messagei1;") == b"Bonjour\x80" + bytes(56)


@pytest.mark.parametrize(
    "padded", [b"", bytes(64), b"\x80", b"a" * 64, b"\x80" + bytes(62) + b"a", b"a\x80" + bytes(61)]
)
def test_it_refuses_padding_that_is_not_its_own(padded: bytes) -> None:
    header = b"\x01\x01" + (7).to_bytes(8, "big")
    forged = header + bytes(12) + AESGCM(SECRET).encrypt(bytes(12), padded, header)
    with pytest.raises(errors.Unreadable):
        blob.unseal(SECRET, blob.RECORD, 7, (), forged)


@given(PARTS, PARTS)
def test_it_encodes_no_two_sequences_alike(one: tuple[blob.Part, ...], two: tuple[blob.Part, ...]) -> None:
    assert (blob.canonical(one) == blob.canonical(two)) == (one == two)


@given(st.text("s1:ib;n0", max_size=8), st.text("s1:ib;n0", max_size=8), st.text("s1:ib;n0", max_size=8))
def test_it_is_not_misled_by_texts_that_look_encoded(a: str, b: str, c: str) -> None:
    forms = {blob.canonical(parts) for parts in ((a + b, c), (a, b + c), (a, b, c), (a + b + c,))}
    assert len(forms) == len({(a + b, c), (a, b + c), (a, b, c), (a + b + c,)})


def test_it_takes_an_enumeration_for_its_value() -> None:
    plain = blob.canonical(("visitor", "visitor", 2))
    assert blob.canonical((Sender.VISITOR, OldSender.VISITOR, Level.V2)) == plain


@pytest.mark.parametrize("part", [True, False, 1.0, ["a"], ("a",), object()])
def test_it_refuses_parts_of_other_types(part: object) -> None:
    with pytest.raises(TypeError, match=type(part).__name__):
        blob.canonical((part,))


def test_it_has_a_form_for_a_lone_surrogate() -> None:
    assert blob.canonical(("\ud800",)) != blob.canonical(("\ud801",))


def test_it_never_takes_a_value_for_a_key() -> None:
    sealed = blob.seal(SECRET, blob.RECORD, 7, ("key",), bytes(32))
    with pytest.raises(errors.Unreadable):
        blob.unseal(SECRET, blob.WRAP, 7, ("key",), sealed)
    with pytest.raises(errors.Unreadable):
        blob.unseal(SECRET, blob.WRAP, 7, ("key",), b"\x01\x02" + sealed[2:])


def test_it_expands_as_hkdf_does() -> None:
    known = HKDFExpand(hashes.SHA256(), 32, b"a label").derive(SECRET)
    assert blob.expand(SECRET, b"a label") == known
