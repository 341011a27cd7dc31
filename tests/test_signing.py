"""Twin of signing.py."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import pytest

from aparte import signing
from aparte.errors import BadSetting, BadSignature
from aparte.signing import SeenNonces

SECRET = bytes(range(32))
NOW = 1_800_000_000
NONCE = "nonce-of-the-test-00001"
ASKED = {"key_id": "k-1", "method": "POST", "path": "/records/find", "time": NOW, "nonce": NONCE, "body": b'{"a":1}'}


def signed(**other: object) -> dict[str, str]:
    return signing.sign_request(SECRET, **{**ASKED, **other})  # type: ignore[arg-type]  # a table of arguments


def verify(headers: dict[str, str], *, seen: SeenNonces | None = None, now: float = NOW, **other: object) -> None:
    asked = {"method": "POST", "path": "/records/find", "body": b'{"a":1}', **other}
    secrets = {"k-1": SECRET, "k-2": SECRET}
    signing.verify_request(
        secrets.get,
        seen or SeenNonces(),
        headers=headers,
        now=now,
        **asked,  # type: ignore[arg-type]  # as above
    )


def test_it_accepts_what_it_signed() -> None:
    verify(signed())


def test_it_signs_as_the_contract_writes_it() -> None:
    lines = ["aparte-records-v1", "request", "k-1", "POST", "/records/find", str(NOW), NONCE]
    lines.append(hashlib.sha256(b'{"a":1}').hexdigest())
    by_hand = hmac.new(SECRET, "\n".join(lines).encode(), "sha256").hexdigest()
    assert signed()["Aparte-Signature"] == f"v1={by_hand}"


@pytest.mark.parametrize(
    "change", [{"method": "GET"}, {"path": "/records/change"}, {"body": b'{"a":2}'}, {"path": "/records/find\n1"}]
)
def test_it_refuses_another_method_path_or_body(change: dict[str, object]) -> None:
    with pytest.raises(BadSignature):
        verify(signed(), **change)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Aparte-Key", "k-2"),  # known, with the same secret: the id itself is signed
        ("Aparte-Key", "nobody"),
        ("Aparte-Key", ""),
        ("Aparte-Time", str(NOW + 1)),
        ("Aparte-Time", "١٨٠٠٠٠٠٠٠٠"),
        ("Aparte-Time", "1e9"),
        ("Aparte-Nonce", "nonce-of-the-test-00002"),
        ("Aparte-Nonce", "short"),
        ("Aparte-Signature", "v1=" + "0" * 64),
        ("Aparte-Signature", ""),
        ("Aparte-Signature", "v0=" + "0" * 64),
    ],
)
def test_it_refuses_a_changed_header(name: str, value: str) -> None:
    with pytest.raises(BadSignature):
        verify({**signed(), name: value})


@pytest.mark.parametrize("name", ["Aparte-Key", "Aparte-Time", "Aparte-Nonce", "Aparte-Signature"])
def test_it_refuses_a_missing_header(name: str) -> None:
    headers = signed()
    del headers[name]
    with pytest.raises(BadSignature):
        verify(headers)


@pytest.mark.parametrize("seconds", [-301, 301, 86_400])
def test_it_refuses_a_clock_too_far_away(seconds: int) -> None:
    verify(signed(), now=NOW + (300 if seconds > 0 else -300))
    with pytest.raises(BadSignature):
        verify(signed(), now=NOW + seconds)


def test_it_refuses_a_copy_for_as_long_as_its_time_is_believed() -> None:
    seen = SeenNonces()
    verify(signed(time=NOW + 300), seen=seen, now=NOW)
    for later in (0, 300, 599, 600):
        with pytest.raises(BadSignature):
            verify(signed(time=NOW + 300), seen=seen, now=NOW + later)


def test_it_spends_no_nonce_on_a_forged_request() -> None:
    seen = SeenNonces()
    with pytest.raises(BadSignature):
        verify({**signed(), "Aparte-Signature": "v1=" + "0" * 64}, seen=seen)
    verify(signed(), seen=seen)


def test_it_forgets_nonces_when_they_are_old_and_refuses_when_it_holds_too_many() -> None:
    seen = SeenNonces(at_most=2)
    assert seen.take("k", "a", NOW)
    assert seen.take("k", "b", NOW)
    assert not seen.take("k", "c", NOW)
    assert not seen.take("k", "a", NOW + 600)
    assert seen.take("k", "c", NOW + 602)


def test_it_binds_an_answer_to_its_request() -> None:
    proven = signing.Proven("k-1", NONCE)
    headers = signing.sign_answer(SECRET, proven, status=200, body=b"{}")
    told = {"key_id": "k-1", "nonce": NONCE, "status": 200, "body": b"{}"}
    signing.verify_answer(SECRET, headers=headers, **told)  # type: ignore[arg-type]  # a table of arguments
    for change in ({"nonce": NONCE + "x"}, {"status": 404}, {"body": b"{ }"}, {"key_id": "k-2"}):
        with pytest.raises(BadSignature):
            signing.verify_answer(SECRET, headers=headers, **{**told, **change})  # type: ignore[arg-type]  # as above
    with pytest.raises(BadSignature):
        signing.verify_answer(bytes(32), headers=headers, **told)  # type: ignore[arg-type]  # as above
    with pytest.raises(BadSignature):
        signing.verify_answer(SECRET, headers={}, **told)  # type: ignore[arg-type]  # as above


def test_it_takes_no_request_signature_for_an_answer() -> None:
    with pytest.raises(BadSignature):
        signing.verify_answer(SECRET, key_id="k-1", nonce=NONCE, status=200, headers=signed(), body=b'{"a":1}')


def test_it_refuses_a_short_secret_and_an_odd_key_id() -> None:
    assert signing.check_secret(SECRET) == SECRET
    with pytest.raises(BadSetting):
        signing.check_secret(SECRET[:-1])
    for key_id in ("", "a b", "a\nb", "x" * 65, "é"):
        with pytest.raises(BadSetting):
            signing.check_key_id(key_id)


def test_it_signs_the_example_of_the_contract() -> None:
    contract = (Path(__file__).parents[1] / "docs" / "RECORDS.md").read_text("utf-8")
    secret, nonce, body = b"0123456789abcdef0123456789abcdef", "A" * 22, b'{"reference":"QX7T4P"}'
    asked = signing.sign_request(
        secret, key_id="2026-a", method="POST", path="/aparte/find", time=NOW, nonce=nonce, body=body
    )
    answered = signing.sign_answer(secret, signing.Proven("2026-a", nonce), status=200, body=body)
    for name, value in (*asked.items(), *answered.items()):
        assert f"{name}: {value}\n" in contract
