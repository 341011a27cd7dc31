"""The story, played unattended over the real sockets and HTTP: each step is looked at, and told.

Knows what a customer and an agent do and see. Must not touch the servers' insides.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import secrets
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import httpx2
from rich.console import Console
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin

from aparte.demo import SITE, Demo
from aparte.frames import Lang

REFERENCE: Final = "QX7T4P"
OTHER: Final = "LM2K9R"
CONTACT: Final = "m.dupont@example.org"
SECONDS: Final = 10.0
Frame = dict[str, Any]

_LINES: Final = {
    "en": {
        "ask": "Good morning. I'd like to move my flight to Toronto from next Tuesday to the Tuesday after. "
        "My booking is QX7T4P.",
        "hello": "Good morning Mr Dupont, I can help with that.",
        "supplement": "Of course. You are in economy class, so there is a 58 euro supplement; "
        "shall we charge the card on file?",
        "yes": "Yes please, that is fine.",
        "other": "And what about booking LM2K9R, is it paid?",
    },
    "fr": {
        "ask": "Bonjour. Je voudrais déplacer mon vol pour Toronto de mardi prochain au mardi suivant. "
        "Mon numéro de réservation est QX7T4P.",
        "hello": "Bonjour Monsieur Dupont, je m'en occupe.",
        "supplement": "Bien sûr. Vous voyagez en classe économique : il y a un supplément de 58 euros ; "
        "pouvons-nous débiter la carte enregistrée ?",
        "yes": "Oui, c'est parfait.",
        "other": "Et la réservation LM2K9R, est-elle payée ?",
    },
}

# The steps as the French story tells them, by the English ones, which the code below names.
_IN_FRENCH: Final = {
    "the airline's page carries the widget in one line": "la page de la compagnie porte le widget en une ligne",
    "the chat host serves the widget": "l'hôte du chat sert le widget",
    "the customer is at one node, the agent at another, and each node is ready": "le client est sur un nœud, l'agent sur un autre, et chaque nœud est prêt",
    "an agent signs in": "un agent se connecte",
    "the customer asks to move the flight": "le client demande à déplacer son vol",
    "the question stands in the agents' queue": "la question est dans la file des agents",
    "an agent claims it and reads it; the customer sees who answers": "un agent la prend et la lit ; le client voit qui lui répond",
    "ordinary talk flows": "la conversation ordinaire passe",
    "the booking is not shown before a check": "la réservation n'est pas montrée avant une vérification",
    "the flight cannot be changed before a check": "le vol ne peut pas être modifié avant une vérification",
    "the answer about the supplement is held at the gate": "la réponse sur le supplément est retenue",
    "the customer has not seen it": "le client ne l'a pas vue",
    "the code goes to the address on file": "le code part à l'adresse enregistrée",
    "the letter says nothing of the conversation": "le courriel ne dit rien de la conversation",
    "nobody has seen the address, not even a part of it": "personne n'a vu l'adresse, pas même en partie",
    "a wrong code is refused": "un code erroné est refusé",
    "the right code is accepted": "le bon code est accepté",
    "the panel shows who speaks: verified for this booking": "l'espace agents montre qui parle : identité vérifiée pour cette réservation",
    "the held answer goes out by itself": "la réponse retenue part d'elle-même",
    "the code is worth nothing a second time": "le code ne vaut plus rien une seconde fois",
    "talk of somebody else's booking is still held": "parler de la réservation d'un autre reste retenu",
    "the booking is shown now": "la réservation est maintenant montrée",
    "the flight is moved to {}": "le vol est déplacé : {}",
    "58 euros are written down as due, and nothing is charged": "58 euros sont notés comme restant à régler, rien n'est débité",
    "the supplement is the one of the story": "le supplément est celui de l'histoire",
    "the airline's own record has changed": "le dossier de la compagnie a changé",
    "nothing of it can be read on the disk": "rien de tout cela n'est lisible sur le disque",
}


class Broken(Exception):
    """A step did not hold; the sentence says what was seen instead."""


class Screen:
    """One browser window: a socket and everything that it was shown."""

    def __init__(self, url: str, origin: str, cookie: str = "") -> None:
        self._url = url
        self._origin = origin
        self._headers = {"cookie": cookie} if cookie else {}
        self.seen: list[Frame] = []
        self._news = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._socket: ClientConnection = await connect(
            self._url,
            origin=Origin(self._origin),
            additional_headers=self._headers,
        )
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._socket.close()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def _read(self) -> None:
        async for data in self._socket:
            frame = json.loads(data)
            async with self._news:
                self.seen.extend(frame["items"] if frame["t"] == "events" else [frame])
                self._news.notify_all()

    async def say(self, kind: str, **fields: Any) -> str:
        """Sends a frame; returns its cid."""
        cid = str(uuid.uuid4())
        named = {} if kind in ("hello", "watch", "token_kept") else {"cid": cid}
        await self._socket.send(json.dumps({"t": kind, **named, **fields}))
        return cid

    async def until(self, what: str, holds: Callable[[Frame], bool]) -> Frame:
        """The first frame seen, before or from now on, for which `holds`. Raises Broken."""
        try:
            async with asyncio.timeout(SECONDS), self._news:
                while True:
                    for frame in self.seen:
                        if holds(frame):
                            return frame
                    await self._news.wait()
        except TimeoutError:
            raise Broken(f"{what}: not seen within {SECONDS:.0f} s") from None

    async def answer(self, cid: str) -> Frame:
        """The one answer to a frame."""
        kinds = ("ack", "opened", "error", "record")
        return await self.until("an answer", lambda frame: frame["t"] in kinds and frame.get("cid") == cid)

    async def event(self, kind: str, holds: Callable[[Frame], bool] = lambda _body: True) -> Frame:
        def is_it(frame: Frame) -> bool:
            return frame["t"] == "event" and frame["kind"] == kind and holds(frame["body"])

        return await self.until(f"an event of kind {kind}", is_it)

    def text(self) -> str:
        """Everything that was shown, as one text to look through."""
        return json.dumps(self.seen, ensure_ascii=False)


async def play(demo: Demo, console: Console, lang: Lang) -> bool:
    """Plays the story in one language, one step a line. Says whether every step held."""
    console.print(f"\n[bold]{'Mr Dupont moves his flight' if lang == 'en' else 'M. Dupont déplace son vol'}[/bold]")
    try:
        async with httpx2.AsyncClient(trust_env=False, timeout=SECONDS) as client:
            await _Story(demo, console, client, lang).play()
    except (Broken, OSError, httpx2.HTTPError) as error:
        console.print(f"  [red]✗ {str(error) or type(error).__name__}[/red]")
        return False
    return True


class _Story:
    def __init__(self, demo: Demo, console: Console, client: httpx2.AsyncClient, lang: Lang) -> None:
        self._demo = demo
        self._console = console
        self._client = client
        self._lang = lang
        self._lines = _LINES[lang]

    def _held(self, step: str, holds: bool = True, instead: object = "", *, named: str = "") -> None:
        step = (_IN_FRENCH[step] if self._lang == "fr" else step).format(named)
        if not holds:
            raise Broken(f"{step} — {instead}" if instead else step)
        self._console.print(f"  [green]✓[/green] {step}")

    async def play(self) -> None:
        await self._page()
        await self._nodes()
        cookie, ticket = await self._sign_in()
        # The customer's socket and the agent's, at two nodes where there are several.
        visitors, agents = (f"{self._demo.nodes[at].replace('http', 'ws', 1)}/ws" for at in (0, -1))
        token = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
        async with (
            Screen(f"{visitors}/visitor", self._demo.chat) as customer,
            Screen(f"{agents}/agent", self._demo.chat, cookie) as agent,
        ):
            await customer.say("hello", v=1, site=SITE, token=token, lang=self._lang)
            await agent.say("hello", v=1, ticket=ticket)
            thread = await self._meet(customer, agent)
            await self._before(customer, agent, thread)
            await self._check(customer, agent, thread)
            await self._after(customer, agent, thread)
            self._unread_on_disk(thread)
            await agent.say("close", conversation=thread)
            await customer.event("closed")

    async def _page(self) -> None:
        path = "/fr" if self._lang == "fr" else "/"
        page = (await self._client.get(self._demo.customer + path)).text
        tag = f'src="{self._demo.chat}/widget.js" data-site="{SITE}"'
        self._held("the airline's page carries the widget in one line", tag in page)
        loader = await self._client.get(f"{self._demo.chat}/widget.js")
        self._held("the chat host serves the widget", loader.status_code == 200)

    async def _nodes(self) -> None:
        if len(self._demo.nodes) > 1:
            ready = [(await self._client.get(f"{node}/readyz")).status_code for node in self._demo.nodes]
            step = "the customer is at one node, the agent at another, and each node is ready"
            self._held(step, set(ready) == {200}, ready)

    async def _sign_in(self) -> tuple[str, str]:
        email, password, _ = self._demo.agents[0]
        origin = {"origin": self._demo.chat}
        answer = await self._client.post(
            f"{self._demo.nodes[0]}/api/login", json={"email": email, "password": password}, headers=origin
        )
        self._held("an agent signs in", answer.status_code == 200, answer.text)
        cookie = answer.headers["set-cookie"].split(";")[0]
        ticket = await self._client.post(f"{self._demo.nodes[-1]}/api/ticket", headers={**origin, "cookie": cookie})
        return cookie, ticket.json()["ticket"]

    async def _meet(self, customer: Screen, agent: Screen) -> str:
        cid = await customer.say("open", text=self._lines["ask"], page=f"{self._demo.customer}/?utm_source=x#top")
        opened = await customer.answer(cid)
        self._held("the customer asks to move the flight", opened["t"] == "opened", opened)
        thread: str = opened["conversation"]["id"]
        await agent.until("the line in the queue", lambda f: f["t"] == "inbox" and f["entry"]["id"] == thread)
        self._held("the question stands in the agents' queue")
        await agent.answer(await agent.say("claim", conversation=thread))
        await agent.say("watch", conversation=thread)
        await agent.event("message", lambda body: body["text"] == self._lines["ask"])
        await customer.event("assigned")
        self._held("an agent claims it and reads it; the customer sees who answers")
        await agent.answer(await agent.say("post", conversation=thread, text=self._lines["hello"]))
        await customer.event("message", lambda body: body["text"] == self._lines["hello"])
        self._held("ordinary talk flows")
        return thread

    async def _before(self, customer: Screen, agent: Screen, thread: str) -> None:
        shown = await agent.answer(await agent.say("show_record", conversation=thread))
        self._held("the booking is not shown before a check", shown.get("code") == "needs_check", shown)
        changed = await agent.answer(await agent.say("change", conversation=thread, option="any"))
        self._held("the flight cannot be changed before a check", changed.get("code") == "needs_check", changed)
        said = await agent.answer(await agent.say("post", conversation=thread, text=self._lines["supplement"]))
        self._held("the answer about the supplement is held at the gate", bool(said.get("held")), said)
        self._held("the customer has not seen it", self._lines["supplement"] not in customer.text())

    async def _check(self, customer: Screen, agent: Screen, thread: str) -> None:
        letters = self._demo.letters.letters
        before = letters[-1].number if letters else 0
        await agent.answer(await agent.say("ask_check", conversation=thread, reference=REFERENCE))
        started = await customer.event("check", lambda body: body["check"]["state"] == "started")
        check = started["body"]["check"]["id"]
        letter = await self._demo.letters.wait_for(CONTACT, after=before)
        self._held("the code goes to the address on file", letter.code is not None)
        told = [self._lines["ask"], "Dupont", "Toronto", REFERENCE]
        self._held("the letter says nothing of the conversation", not any(one in letter.text for one in told))
        self._held(
            "nobody has seen the address, not even a part of it", "dupont@" not in agent.text() + customer.text()
        )
        code = letter.code or ""
        wrong = f"{(int(code) + 1) % 10**8:08d}"
        refused = await customer.answer(await customer.say("code", conversation=thread, check=check, code=wrong))
        self._held("a wrong code is refused", refused.get("code") == "code_refused", refused)
        right = await customer.answer(await customer.say("code", conversation=thread, check=check, code=code))
        self._held("the right code is accepted", right["t"] == "ack", right)
        await customer.say("token_kept")
        await agent.event("standing", lambda body: body["standing"]["level"] == 2)
        self._held("the panel shows who speaks: verified for this booking")
        await customer.event("message", lambda body: body["text"] == self._lines["supplement"])
        self._held("the held answer goes out by itself")
        again = await customer.answer(await customer.say("code", conversation=thread, check=check, code=code))
        self._held("the code is worth nothing a second time", again.get("code") == "code_refused", again)

    async def _after(self, customer: Screen, agent: Screen, thread: str) -> None:
        await customer.answer(await customer.say("post", conversation=thread, text=self._lines["yes"]))
        other = await agent.answer(await agent.say("post", conversation=thread, text=self._lines["other"]))
        self._held("talk of somebody else's booking is still held", bool(other.get("held")), other)
        record = await agent.answer(await agent.say("show_record", conversation=thread))
        self._held("the booking is shown now", record["t"] == "record" and record["reference"] == REFERENCE, record)
        option = record["options"][0]
        await agent.answer(await agent.say("change", conversation=thread, option=option["id"]))
        done = (await customer.event("act", lambda body: body["state"] == "done"))["body"]
        self._held("the flight is moved to {}", done["label"] == option["label"], done, named=done["label"])
        due = option["supplement"]
        self._held("58 euros are written down as due, and nothing is charged", done["due"] == due, done)
        self._held("the supplement is the one of the story", due == {"amount": 5800, "currency": "EUR"}, due)
        again = await agent.answer(await agent.say("show_record", conversation=thread))
        is_changed = again["lines"] != record["lines"] and not again.get("options")
        self._held("the airline's own record has changed", is_changed, again)

    def _unread_on_disk(self, thread: str) -> None:
        """Looks for what was said in every file that is kept: where the conversation's id is found, its words are not."""
        told = [*self._lines.values(), CONTACT, REFERENCE]
        wanted = [form for text in (*told, thread) for form in (text.encode(), text.encode("utf-16-le"))]
        found = set[bytes]()
        for path in [path for path in self._demo.folder.rglob("*") if path.is_file()]:
            with contextlib.suppress(FileNotFoundError):  # the server's own, gone meanwhile
                kept = path.read_bytes()
                found |= {form for form in wanted if form in kept}
        self._held("nothing of it can be read on the disk", found == {thread.encode()}, found)
