"""A code of eight digits to the address on file.

Eight digits: with 10,000 known booking numbers sprayed at 25 tries a day each, one hit a day has a probability of
0.25 %; with six digits it would be 22 %.
"""

from __future__ import annotations

import hmac
import secrets
import unicodedata

from aparte.identity.method import Method
from aparte.store.checks import Check
from aparte.vault import Vault

DIGITS = 8


def _mac(vault: Vault, check: Check, code: str) -> bytes:
    """Bound to conversation, visitor session, check and record: it is worth nothing anywhere else."""
    return vault.mac("code", check.conversation_id, check.session, check.id, check.record or b"", code)


def issue(vault: Vault, check: Check) -> tuple[str, bytes]:
    """A new code and its keyed hash; the code before it is void once the hash is stored."""
    code = f"{secrets.randbelow(10**DIGITS):0{DIGITS}d}"
    return code, _mac(vault, check, code)


def verify(vault: Vault, check: Check, answer: str) -> bool:
    """Whether the answer is the latest code. Takes as long for a check that never got one."""
    digits = "".join(str(unicodedata.decimal(char)) for char in answer if unicodedata.decimal(char, None) is not None)
    return hmac.compare_digest(_mac(vault, check, digits), check.code_mac or b"")


METHOD = Method("email_code", issue, verify)
