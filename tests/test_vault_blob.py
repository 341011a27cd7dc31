"""The form on the disk: pinned, since every value ever sealed depends on it."""

from __future__ import annotations

import enum
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from aparte import errors
from aparte.vault import blob

SECRET = bytes(range(32))
PARTS = st.lists(
    st.none() | st.text(max_size=6) | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=6), max_size=5
).map(tuple)


class Sender(enum.StrEnum):
    VISITOR = "visitor"


class OldSender(str, enum.Enum):  # noqa: UP042 - the older kind, whose format() differs, must bind alike
    VISITOR = "visitor"


class Level(enum.IntEnum):
    V2 = 2


def test_it_writes_bound_parts_in_the_pinned_form() -> None:
    assert blob.canonical(("message", 12, None, "é", b"\x00\xff", -3, "")) == (
        b"\x97\xa7message\x0c\xc0\xa2\xc3\xa9\xc4\x02\x00\xff\xfd\xa0"
    )
    assert blob.canonical(("a" * 40, 2**40)) == b"\x92\xd9\x28" + b"a" * 40 + b"\xcf" + (2**40).to_bytes(8, "big")
    assert blob.canonical(()) == b"\x90"


def test_it_opens_a_blob_of_the_first_version() -> None:
    old = bytes.fromhex(
        "01010000000000000007feae646692d5d04543cefb37381469aa82d6eb8cc582bc31db77510ec448a4ded1dfebeb4e2ee04111a69127feb0b9e0926a99ca8833503d625527e5d5aaa38f9cca8ba8542cb8a953b84f405867b7723e470fd9ab52415f8b8d30f8"
    )
    assert blob.unseal(SECRET, blob.RECORD, 7, ("message", 1), old) == b"Bonjour"


def test_it_lays_out_header_nonce_and_ciphertext() -> None:
    sealed = blob.seal(SECRET, blob.RECORD, 7, ("message", 1), b"Bonjour")
    header, nonce, rest = sealed[:10], sealed[10:22], sealed[22:]
    assert header == b"\x01\x01" + (7).to_bytes(8, "big")
    assert AESGCM(SECRET).decrypt(nonce, rest, header + b"\x92\xa7message\x01") == b"Bonjour\x80" + bytes(56)


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


def test_it_refuses_parts_of_other_types() -> None:
    part: Any = object()
    with pytest.raises(TypeError):
        blob.canonical((part,))


def test_it_seals_many_as_it_seals_one() -> None:
    values = [(SECRET, 7, ("message", at), b"text %d" % at) for at in range(20)]
    blobs = blob.seal_all(blob.RECORD, values)
    for (secret, key, bound, plain), sealed in zip(values, blobs, strict=True):
        assert blob.unseal(secret, blob.RECORD, key, bound, sealed) == plain
    assert len({sealed[10:22] for sealed in blobs}) == 20  # a nonce of its own each
    assert blob.seal_all(blob.RECORD, []) == []


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
