"""The one door to a conversation: who may see it and who may act in it.

"Not yours" and "does not exist" are the same answer. Must not know what is done behind the door.
"""

from __future__ import annotations

from aparte.errors import BadState, Frozen, NotFound
from aparte.model import AgentCaller, Caller, State, VisitorCaller
from aparte.store import Connection, Tx, conversations
from aparte.store.conversations import Conversation


def may_see(caller: Caller, row: Conversation) -> bool:
    """A visitor: the own one. An agent: the queue, and what is or was assigned to them. Leads: all."""
    if isinstance(caller, VisitorCaller):
        return row.visitor_id == caller.visitor and row.site_id == caller.site
    return caller.agent.role.leads or row.agent_id == caller.agent.id or row.state == State.WAITING


def may_act(caller: AgentCaller, row: Conversation) -> bool:
    """An agent acts in what is assigned to them; leads everywhere."""
    return row.agent_id == caller.agent.id or caller.agent.role.leads


def see(connection: Connection, caller: Caller, conversation: str) -> Conversation:
    """For reading. Raises NotFound."""
    row = conversations.find(connection, conversation)
    if row is None or not may_see(caller, row):
        raise NotFound()
    return row


def known(tx: Tx, caller: Caller, conversation: str) -> Conversation:
    """A conversation that the caller may see, inside the transaction that writes. Raises NotFound."""
    row = tx.conversation(conversation)
    if not may_see(caller, row):
        raise NotFound()
    return row


def enter(tx: Tx, caller: Caller, conversation: str) -> Conversation:
    """For acting, inside the transaction that writes. Raises NotFound; BadState when it has to be claimed first."""
    row = known(tx, caller, conversation)
    _require_act(caller, row)
    return row


def enter_open(tx: Tx, caller: Caller, conversation: str) -> Conversation:
    """As `enter`, and refuses a frozen or closed conversation. Raises Frozen, BadState."""
    row = known(tx, caller, conversation)
    require_open(caller, row)
    return row


def require_open(caller: Caller, row: Conversation) -> None:
    """The rest of `enter_open`, for a row that `known` has let the caller to. Raises Frozen, BadState."""
    _require_act(caller, row)
    if row.is_frozen:
        raise Frozen()
    if row.state == State.CLOSED and isinstance(caller, AgentCaller):
        raise BadState("The conversation is closed. It opens again when the customer writes.")


def _require_act(caller: Caller, row: Conversation) -> None:
    if isinstance(caller, AgentCaller) and not may_act(caller, row):
        raise BadState("Claim the conversation first.")


def actor(caller: Caller) -> tuple[str, str]:
    """Who acts, as events and the audit log name them."""
    return ("visitor", caller.visitor) if isinstance(caller, VisitorCaller) else ("agent", caller.agent.id)
