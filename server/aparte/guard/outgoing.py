"""What an agent must not send: an ask for a secret, and a link that leads elsewhere.

Knows English and French ways to ask, and what a reader's program would make a link of. Must not know whose site
it is: the list of hosts comes in as an argument.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from aparte.guard.codes import HINTS, NAMES
from aparte.guard.reading import read, visible

_LONGEST: Final = 8000  # characters looked at; a message has 4,000 at most

_SENTENCE: Final = re.compile(r"[^.!?;\n]{1,600}[.!?;\n]?")
_ENTRY: Final = r"pass ?(?:word|code|phrase)s?|mots? de passe|mdp|(?:full|whole|complete|entire) card (?:number|details)|numeros? complets? de (?:votre |la |ta )?carte"
_CHECK_CODE: Final = (
    r"(?:[468]|four|six|eight|quatre|huit)[- ](?:digit|figure)s? (?:code|number)|code a (?:[468]|quatre|six|huit) chiffres"
    r"|(?:one[- ]time|check|confirmation|login|log-in|sms|e-?mail(?:ed)?|texted) (?:code|passcode|password)|otp"
    r"|code (?:that |which )?(?:you|we|i|was|is|has)\b|code (?:just )?(?:sent|received|from|in (?:the|your) (?:e-?mail|sms|text|message))"
    r"|code (?:unique|par sms|par e-?mail|par mail|recu|envoye|que (?:vous|tu|nous|je|j')|qui (?:vous|vient))|code (?:du|dans le) (?:sms|mail|message|courriel)"
    r"|code (?:de controle|de confirmation|de connexion)"
    # The code by another name. "The booking number that you received" is something else.
    r"|(?:(?:the|those|these) (?:[468] |four |six |eight )?(?:digits|figures|numbers?)|(?:[468]|four|six|eight)[- ](?:digits?|figures?)(?: numbers?)?) (?:that |which )?(?:(?:you|we|i|was|were)(?:'ve| have| had)?(?: just| been)*(?: got| get| received?| see| sent| texted| e-?mailed)|(?:just )?(?:sent|received)\b)"
    r"|(?:8|eight|huit)[- ](?:digits|figures|chiffres)|(?:digits|numbers|figures|chiffres) (?:from|in|of|du|dans le) (?:(?:the|your|our) )?(?:e-?mail|sms|text|message|mail|courriel)"
    r"|(?:les|ces|des) (?:[468] |quatre |six |huit )?(?:chiffres|numeros) (?:(?:que|qui) (?:vous|tu|nous|je|j')[^.!?;]{0,20}?(?:recu|recevoir|envoye|envoyer|parvenu)|recus|envoyes)|(?:le numero) (?:(?:que|qui) (?:vous|tu|nous|je|j')[^.!?;]{0,20}?(?:recu|recevoir|envoye|envoyer|parvenu)|recu|envoye)"
)
# A code that the customer is asked to say. Typing it where the check asks for it is what it is for.
_SECRET: Final = re.compile(rf"(?<![a-z0-9])(?:{NAMES}|{_ENTRY})(?![a-z])")
_HINTED: Final = re.compile(
    "|".join(map(re.escape, (*HINTS, "pass", "mdp", "carte", "otp", "numero")))
)  # in every such ask
_CODE: Final = re.compile(
    rf"(?<![a-z0-9])(?:{_CHECK_CODE}|(?:the|that|your|this|le|ce|votre|ton) code(?! (?:postal|promo|vestimentaire|of conduct|de la route|de reservation|pays)))(?![a-z])"
)
# One of these is part of every name of such a code.
_CALLED_OTHERWISE: Final = re.compile("code|otp|digit|figure|number|chiffre|numero")

_TELL: Final = (
    r"tell|give|giving|send (?:me|us|it|your|over)|say|share|read|repeat|forward|dictate|reply with|respond with|answer with|text me|message me"
    r"|what(?:'s| is| was| are| were|s)|(?:may|can|could|might) (?:i|we) (?:please )?(?:have|get|see|ask for)|let (?:me|us) have|do you have (?:the|your|a)|(?:i|we|we'll|i'll|i'd|we'd)(?: will| would| do| also| just| still)? (?:need|require|want|like)|provide|supply|quote|let me know|confirm"
    r"|quels? (?:est|etait|sont)|quelle est|c'est quoi|donne[rz]?|donnez|envoye[rz]?[- ](?:moi|nous|le|votre)|m'envoyer|nous envoyer|dire|dites|dis|lire|lisez|lis|lu|repete[rz]?"
    r"|communiqu\w{1,4}|transmet\w{1,4}|transmission|indiqu\w{1,4}|fourni\w{1,4}|partage[rz]?|precise[rz]?|besoin|faut|faudra\w{0,3}|recopie[rz]?|confirme[rz]?|rappele[rz]?|me renvoyer"
)
_TYPE: Final = r"type|enter|write|put|insert|fill in|note|saisi\w{1,4}|saisissez|entre[rz]|tape[rz]?|ecri\w{1,4}|renseigne[rz]?|note[rz]?"
_ASKS_TO_TELL: Final = re.compile(rf"(?<![a-z0-9])(?:{_TELL})(?![a-z])")
_ASKS_TO_TYPE: Final = re.compile(rf"(?<![a-z0-9])(?:{_TYPE})(?![a-z])")
# The place made for it: the check card, the sign-in page, the payment provider's page.
_IN_ITS_PLACE: Final = re.compile(
    r"(?<![a-z])(?:(?:in|into|on|using|through|with) (?:the|this|that|our|your) (?:\w{1,20} )?(?:card|box|field|form|window|page|site|website|app|panel)"
    r"|(?:in|on) the (?:check|chat) card|(?:dans|sur|via) (?:le|la|l'|cette|ce|notre|votre) ?(?:\w{1,20} )?(?:carte|case|champ|cadre|encadre|formulaire|fenetre|page|site|encart))(?![a-z])"
)
_BESIDE_THE_POINT: Final = re.compile(
    r"(?<![a-z])(?:never|not|don't|dont|doesn't|won't|can't|cannot|no need|without|instead of|nobody|no one|jamais|sans|inutile|pas besoin|personne"
    r"|n'[a-z]{2,20}|ne (?:\w{1,20} ){1,3}(?:jamais|pas|plus|rien)|aucun\w{0,2}"
    r"|reset\w{0,4}|resetting|change|changed|changing|forgot|forgotten|lost|reinitialis\w{1,5}|changer|change[rz]|oubli\w{1,3}|perdu\w{0,2})(?![a-z])"
)
_SOLICITS_NEGATIVELY: Final = re.compile(
    r"(?<![a-z])(?:why (?:don't|not)|can't you|couldn't you|won't you|don't (?:forget|hesitate)|n'oubliez pas|n'hesitez pas|pourquoi (?:ne )?pas|il ne (?:me |nous )?manque)(?![a-z])"
)
_RECEIVED: Final = re.compile(
    r"(?<![a-z])(?:(?:have|did|has) (?:you|the)|avez[- ]vous|as[- ]tu)(?![a-z])"
)  # whether it came
_WORDS_OF_A_BARE_QUESTION: Final = 7


def asks_for_secret(text: str) -> bool:
    """Whether an agent's text asks for a security code, a PIN, a password, a whole card number, or for a check code
    to be said or written in the conversation. English and French. Linear in the length; raises nothing.

    To tell someone never to say it, how to reset it, or to type the check code into its own card, is no ask.
    """
    plain = read(text[:_LONGEST]).plain
    if _HINTED.search(plain) is None:
        return False
    plain = plain.replace("’", "'")
    if _CALLED_OTHERWISE.search(plain) is None and not _SECRET.search(plain):
        return False
    return any(_sentence_asks(sentence[0]) for sentence in _SENTENCE.finditer(plain))


def _sentence_asks(sentence: str) -> bool:
    secret = _SECRET.search(sentence)
    code = _CODE.search(sentence)
    if not secret and not code:
        return False
    is_denied = _BESIDE_THE_POINT.search(sentence) and not _SOLICITS_NEGATIVELY.search(sentence)
    if is_denied:
        return False
    if _IN_ITS_PLACE.search(sentence) and not secret:
        return False
    if _ASKS_TO_TELL.search(sentence):
        return True
    if secret and _ASKS_TO_TYPE.search(sentence):
        return True
    if _RECEIVED.search(sentence):
        return False
    # "And the CVV?", "Your password please": no verb at all.
    is_bare = len(sentence.split()) <= _WORDS_OF_A_BARE_QUESTION
    return is_bare and (
        sentence.rstrip().endswith("?")
        or re.search(r"please|pls|s'il (?:vous|te) plait|svp|stp|merci", sentence) is not None
    )


# --- links

_GENERIC: Final = (
    "aero agency app asia bank bar best bid bio biz blog cam cards cash cat cfd chat claims click cloud club codes com "
    "company coop country date deals dev digital direct download edu email exchange express fans finance fit flights fun "
    "fund gdn global gov group guru help holiday holidays host hosting icu info ink insurance int international jobs life "
    "link live loan loans lol ltd market media men mil mobi mom money monster museum name net network news ninja one "
    "online ooo org page party pay photos pics place plus post press pro promo pub quest racing refund rent rest review "
    "reviews rip rocks run sale sbs school science services shop site social software solutions space store stream studio "
    "support surf systems tax team tech tel tickets today tools top tours trade trading travel vip voyage wang watch web "
    "webcam website wiki win work works world wtf xin xyz zip zone "
    "example test local localhost internal onion"  # names that resolve only in some places
)
_COUNTRIES: Final = (
    "ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bm bn bo br bs bt bw by bz ca cc cd cf "
    "cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg er es et eu fi fj fk fm fo fr ga gb gd ge gf "
    "gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir is it je jm jo jp ke kg kh ki km "
    "kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz "
    "na nc ne nf ng ni nl no np nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg "
    "sh si sk sl sm sn so sr ss st su sv sx sy sz tc td tf tg th tj tk tl tm tn to tr tt tv tw tz ua ug uk us uy uz va vc "
    "ve vg vi vn vu wf ws ye yt za zm zw"
)
_ENDINGS: Final = frozenset((_GENERIC + " " + _COUNTRIES).split())

_DOTS: Final = str.maketrans({"。": ".", "．": ".", "｡": ".", "․": "."})
_WITH_SCHEME: Final = re.compile(
    r"(?<![a-z0-9])([a-z][a-z0-9+.-]{1,14}):([/\\]{0,4})(\[[0-9a-f:.]{2,45}\]|[^\s<>\"'()\[\]{}|]{1,2000})"
)
_WEB: Final = frozenset({"http", "https", "ws", "wss", "ftp", "ftps"})
_RUNS: Final = frozenset({"javascript", "data", "vbscript", "file", "blob", "intent", "about"})
_PROTOCOL_RELATIVE: Final = re.compile(r"(?<![\w:/\\.])[/\\]{2}([^\s/\\<>\"'()\[\]{}|]{3,260})")
_BARE: Final = re.compile(
    r"(?<![\w.@%/\\-])((?:[\w-]{1,63}\.){1,8}[\w-]{2,63})(?![\w-])(\.?[@:/\\?#][^\s<>\"']{0,500})?"
)
# One that stands by itself: nothing in front of it or behind it makes a link or another address of it.
_ADDRESS: Final = re.compile(
    r"(?<![^\s(<\[«\"',;:=])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[\w-]{2,63}(?![\w@-]|\.[\w-]|[:/\\?#]\S)"
)
_MAIL: Final = re.compile(r"@((?:[\w-]{1,63}\.){1,8}[\w-]{2,63})")
_NUMERIC: Final = re.compile(r"(?<![\w.])((?:[0-9]{1,3}\.){3}[0-9]{1,3})(?=[:/])")
# One of these stands in every link, and in few sentences: cheap to look for before the links themselves.
_LINKED: Final = re.compile(r"[.:/\\](?:(?<=\.)[\w-]|(?<=:)\S|(?<=[/\\])[/\\])")


def addresses(text: str) -> frozenset[str]:
    """The e-mail addresses that stand in a text by themselves, as `foreign_links` compares them. Raises nothing."""
    return frozenset(_ADDRESS.findall(_shown(text))) if "@" in text else frozenset()


def foreign_links(text: str, allowed_hosts: Collection[str], theirs: Collection[str] = ()) -> tuple[str, ...]:
    """The hosts, each once, that `text` leads to and that are not allowed; for a scheme that runs or
    carries its own content, the scheme. Raises nothing.

    A link is what a program may make one of: with a scheme, `//host`, a bare host with a known ending, an e-mail
    address. A host is compared as a whole, in lower case; look-alike letters make it another host; what stands
    before an `@` is not the host.

    Args:
        allowed_hosts: "example.org" allows that host alone, "*.example.org" what is below it too.
        theirs: of `addresses` of what the customer wrote: they may be repeated, each as a whole and by itself.
    """
    plain = _shown(text)
    if _LINKED.search(plain) is None:
        return ()
    found: dict[str, None] = {}
    rest = plain
    for link in _WITH_SCHEME.finditer(plain):
        scheme, slashes, target = link.groups()
        if scheme in _RUNS:
            found[f"{scheme}:"] = None
        elif scheme in _WEB and (slashes or "." in target):
            _note(_host(target), allowed_hosts, found)
            rest = rest[: link.start()] + " " * (link.end() - link.start()) + rest[link.end() :]
    for link in _PROTOCOL_RELATIVE.finditer(rest):
        if "." in link[1]:
            _note(_host(link[1]), allowed_hosts, found)
    if theirs:
        rest = _ADDRESS.sub(lambda one: " " if one[0] in theirs else one[0], rest)
    for link in _BARE.finditer(rest):
        host, behind = link[1], link[2] or ""
        if behind.startswith("@"):
            continue  # the host stands behind the @
        if host.rpartition(".")[2] in _ENDINGS or host.startswith(("www.", "xn--")) or not host.isascii():
            _note(host, allowed_hosts, found)
    for pattern in (_MAIL, _NUMERIC):
        for link in pattern.finditer(rest):
            _note(link[1], allowed_hosts, found)
    return tuple(found)


def _shown(text: str) -> str:
    """`visible`, with every sign that is shown as a full stop as one."""
    plain = visible(text[:_LONGEST])
    return plain if plain.isascii() else plain.translate(_DOTS)


def _host(target: str) -> str:
    """The host of what follows a scheme. A backslash in front of the path is taken both ways, so it is kept."""
    if target.startswith("["):
        return target[1:-1]
    authority = re.split(r"[/?#]", target, maxsplit=1)[0]
    host = authority.rpartition("@")[2]
    if "\\" in host:
        return host
    return re.sub(r":[0-9]{0,5}$", "", host).rstrip(".,;:!")


def _note(host: str, allowed_hosts: Collection[str], found: dict[str, None]) -> None:
    for allowed in allowed_hosts:
        name = allowed.lower().rstrip(".")
        if host in (name, _in_ascii(name)) or (name.startswith("*.") and host.endswith(name[1:])):
            return
    found[host] = None


def _in_ascii(host: str) -> str:
    """A host with letters beyond ASCII as the wire has it; unchanged when there is no such form."""
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        return host
