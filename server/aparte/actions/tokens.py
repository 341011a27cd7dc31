"""The visitor's session secret: its hash, and its renewal after a step up.

The next secret follows from the one before by a key that only this server has, so that a browser whose answer was
lost, or another tab of it, is given the same one again. Must not know frames.
"""

from __future__ import annotations

import base64
from functools import partial
from typing import Final

from aparte.actions.parts import Parts
from aparte.bell import Renewed
from aparte.model import VisitorCaller
from aparte.peers import Peer
from aparte.store import Tx, people
from aparte.vault import Vault

_AT_ONCE: Final = 500
REPLACED: Final = 4401  # close code of a socket that came in with a secret that counts no more


def token_hash(vault: Vault, token: str) -> bytes:
    """The only form in which a session secret is kept."""
    return vault.mac("visitor", token)


def following(vault: Vault, session: str, current: bytes) -> str:
    """The secret that follows the one whose hash is `current`: 256 bits, 43 characters."""
    return base64.urlsafe_b64encode(vault.mac("visitor", "next", session, current)).rstrip(b"=").decode()


def offer(tx: Tx, session: str) -> str:
    """Gives the session its next secret; the one before counts until the browser says that it has kept this one."""
    token = following(tx.vault, session, people.current_token(tx.connection, session))
    people.offer_token(tx, session, token_hash(tx.vault, token))
    return token


async def keep(parts: Parts, caller: VisitorCaller, confirmed_by: Peer) -> None:
    """From now on only the newer secret counts; other sockets that came in with the older one are cut, at every node."""
    parts.node.renewing.add(caller.session)
    try:
        current = await parts.store.write(lambda tx: people.keep_token(tx, caller.session))
        _cut_older(parts, {caller.session: {current}}, confirmed_by)
        confirmed_by.caller = VisitorCaller(caller.session, caller.visitor, caller.site, current)
    finally:
        parts.node.renewing.discard(caller.session)
    if parts.node.bell is not None:
        parts.node.bell.ring(Renewed(caller.session))


def _cut_older(parts: Parts, good: dict[str, set[bytes]], confirmed_by: Peer | None = None) -> None:
    """Args: good: by session, the secrets that count."""
    for peer in list(parts.hub.peers):  # also one that is still on its way into its conversation
        one = peer.caller
        is_older = isinstance(one, VisitorCaller) and one.key not in good.get(one.session, {one.key})
        if is_older and peer is not confirmed_by:
            peer.cut(REPLACED)


async def cut_replaced(parts: Parts) -> None:
    """Cuts sockets whose secret was replaced at another node. Raises StoreDown."""
    renewed, parts.node.renewed = parts.node.renewed, set()
    here = {peer.caller.session for peer in parts.hub.peers if isinstance(peer.caller, VisitorCaller)}
    asked = sorted(here & renewed)
    try:
        for start in range(0, len(asked), _AT_ONCE):
            good = await parts.store.read(partial(people.secrets_of, sessions=asked[start : start + _AT_ONCE]))
            # One that is renewed here at this moment may stand in the store already, and at its socket not yet.
            _cut_older(parts, {session: good[session] for session in good.keys() - parts.node.renewing})
    except BaseException:
        parts.node.renewed |= renewed
        raise
