"""Reading: what each audience sees of a conversation, and the first answer to a hello.

Knows views. Must not know how frames travel, nor who follows what: `following` does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from aparte.actions import gate
from aparte.actions.inbox import about_of, entries
from aparte.actions.parts import Parts
from aparte.errors import Unreadable
from aparte.frames import (
    VERSION,
    AgentWelcome,
    CheckCard,
    Colleague,
    Entry,
    Privacy,
    SiteFace,
    StaffView,
    Standing,
    VisitorView,
    VisitorWelcome,
    encode,
)
from aparte.frames import Page as FramePage
from aparte.model import AgentCaller, Level, Site, State, VisitorCaller
from aparte.store import Connection, checks, conversations
from aparte.store.conversations import Conversation
from aparte.views import card_for_visitor, face, standing_for_visitor

SNIPPET_BYTES: Final = 256 << 10  # of an agent's welcome; lines beyond them come without what was said last


# ── views ───────────────────────────────────────────────────────────────────────────────────────────────────


def _card(parts: Parts, connection: Connection, row: Conversation, *, staff: bool) -> CheckCard | None:
    try:
        check = checks.find(connection, parts.store.vault, row, row.check_id)
    except Unreadable:
        return None  # the thread can still be read
    if check is None:
        return None
    card = parts.life.card(connection, row, check, parts.store.now())
    return card if staff else card_for_visitor(card)


def _standing(parts: Parts, row: Conversation, *, staff: bool) -> Standing | None:
    proof = gate.proof_of(parts.store.vault, row)
    now = parts.store.now()
    if proof is None or gate.level_of(parts.store.vault, row, parts.policy, now) < Level.V2:
        return None
    shown = parts.life.standing(proof, row)
    return shown if staff else standing_for_visitor(shown)


def visitor_view(parts: Parts, connection: Connection, row: Conversation, lang: str = "") -> VisitorView:
    """Args: lang what its reader speaks now, if not what the conversation began in."""
    directory = parts.store.directory
    agent = directory.agents.get(row.agent_id or "") if row.state == State.ASSIGNED else None
    return VisitorView(
        id=row.id,
        state=row.state,  # type: ignore[arg-type]  # the column holds nothing else
        top=row.visitor_seq,
        frozen=row.is_frozen,
        agent=face(agent, directory.sites.get(row.site_id), lang or row.lang) if agent else None,
        check=_card(parts, connection, row, staff=False),
        standing=_standing(parts, row, staff=False),
        delivered=row.staff_delivered,
        read=row.staff_read,
        mine=row.visitor_read,
    )


def staff_view(parts: Parts, connection: Connection, row: Conversation) -> StaffView:
    about = about_of(parts.store.vault, row)
    return StaffView(
        entry=entries(parts, connection, [row])[0],
        lang=row.lang,
        page=FramePage(about.page, about.title),
        browser=about.browser,
        created=row.created_at,
        check=_card(parts, connection, row, staff=True),
        standing=_standing(parts, row, staff=True),
        references=gate.named_references(parts, connection, row),
        delivered=row.visitor_delivered,
        read=row.visitor_read,
        mine=row.staff_read,
    )


def site_face(parts: Parts, site: Site, lang: str = "") -> SiteFace:
    return SiteFace(site.id, site.name, site.desk_in(lang), site.accent, site.phone, bool(parts.online()))


def colleagues(parts: Parts) -> list[Colleague]:
    online = parts.online()
    return [
        Colleague(one.id, one.name, one.role.value, one.id in online)
        for one in parts.store.directory.agents.values()
        if not one.is_disabled
    ]


async def visitor_welcome(parts: Parts, site: Site, caller: VisitorCaller | None, lang: str) -> VisitorWelcome:
    """The first answer to a visitor, with the view of the thread if there is one."""

    def query(connection: Connection) -> VisitorView | None:
        row = conversations.live_of(connection, caller.visitor) if caller else None
        return visitor_view(parts, connection, row, lang) if row else None

    view = await parts.store.read(query) if caller else None
    host = parts.settings.addressed()[0].partition("://")[2]
    privacy = Privacy(host, parts.settings.retention_days)
    return VisitorWelcome(VERSION, parts.store.epoch, parts.store.now(), site_face(parts, site, lang), privacy, view)


def _shortened(lines: Iterable[Entry]) -> list[Entry]:
    """The lines, without snippets from where they would make a frame that a slow connection is cut for."""
    shown, size = [], 0
    for line in lines:
        size += len(encode(line))
        shown.append(line if size <= SNIPPET_BYTES else msgspec.structs.replace(line, snippet="", snippet_from=""))
    return shown


async def agent_welcome(parts: Parts, caller: AgentCaller, inbox: list[Entry]) -> AgentWelcome:
    """The first answer to an agent: the inbox as it stands."""
    agent = caller.agent
    return AgentWelcome(
        VERSION,
        parts.store.epoch,
        parts.store.now(),
        Colleague(agent.id, agent.name, agent.role.value, True),
        [
            msgspec.structs.replace(site_face(parts, one), checks=parts.can_check(one), formats=list(one.formats))
            for one in parts.store.directory.sites.values()
        ],
        colleagues(parts),
        _shortened(inbox),
    )
