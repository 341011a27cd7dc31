"""Conversations made straight in a store, for tests below the server: a thread, messages, and what a reader gets."""

from __future__ import annotations

from collections.abc import Callable

from aparte.actions import threads
from aparte.frames import MessageBody, NoteBody
from aparte.model import VisitorCaller
from aparte.store import Store, Stored, Tx, cid_key, conversations, events
from aparte.store.conversations import Conversation
from clients import SITE, new_cid, new_visitor_token


async def make_thread(store: Store, *, name: str = "") -> tuple[VisitorCaller, str]:
    """A person and an empty conversation."""
    hashed = store.vault.mac("session", "visitor", new_visitor_token())
    opening = threads.Opening(new_cid(), "", name, "", "", "", "en")
    caller, row = await store.write(lambda tx: threads._create(tx, SITE, hashed, opening))
    return caller, row.id


def appending(thread: str, text: str, cid: str, *, sender: str = "visitor") -> Callable[[Tx], int]:
    """An operation as `post` makes it, without gate and guard: returns the number that the message has."""
    key = cid_key(thread, sender, cid)

    def apply(tx: Tx) -> int:
        row = tx.conversation(thread)
        mac = tx.vault.conversation_mac(row.key_id, text)
        known = tx.repeat(key, mac)
        if known is not None:
            return known.staff_seq
        body = MessageBody(text)
        return tx.append(row, "message", body, sender=(sender, "x"), visible=True, cid=cid, key=key, mac=mac).staff_seq

    return apply


async def append(store: Store, thread: str, text: str, *, cid: str = "", sender: str = "visitor") -> int:
    """One message, as a plain append."""
    cid = cid or new_cid()
    key = cid_key(thread, sender, cid)
    return await store.write(appending(thread, text, cid, sender=sender), conversation=thread, key=key)


async def note(store: Store, thread: str, text: str) -> int:
    """One event of the staff stream alone."""

    def apply(tx: Tx) -> int:
        row = tx.conversation(thread)
        return tx.append(row, "note", NoteBody(text), sender=("agent", "x"), visible=False).staff_seq

    return await store.write(apply, conversation=thread)


async def row_of(store: Store, thread: str) -> Conversation:
    row = await store.read(lambda c: conversations.find(c, thread))
    assert row is not None
    return row


async def stream(store: Store, thread: str, *, for_visitor: bool = False) -> list[Stored]:
    """The whole stream as a reader gets it."""
    row = await row_of(store, thread)
    return await store.read(lambda c: events.page(c, store.vault, row, for_visitor=for_visitor, limit=10_000))


def texts(found: list[Stored]) -> list[str]:
    """The text of each event; its kind where it has none."""
    return [getattr(one.body, "text", one.kind) for one in found]
