"""Notices what a text is about: general, booking or payment, and which booking references stand in it.

Knows English and French words and the masks of a site's references. Must not know levels or records: the gate
decides. What protects is the gate on records, acts and details; this only notices when to ask it.

A customer's text is about a booking or a payment when it is about their own ("move my flight", "you charged me
twice"). An agent's text is when it *tells* something: what was booked, when it leaves, what is due or paid. To ask
for a number, to explain a rule or to start a check is ordinary talk for both.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_LONGEST: Final = 4000  # characters looked at; a message has no more


@dataclass(frozen=True, slots=True)
class Noticed:
    """`topic`: "general", "booking" or "payment", the most sensitive noticed. `references`: upper case, once each."""

    topic: str
    references: tuple[str, ...]


_NOTHING: Final = Noticed("general", ())

# --- words. All patterns read lower-case ASCII: accents are gone, currency signs are words.

_THING: Final = (
    r"(?:bookings?|reservations?|flights?|vols?|tickets?|billets?|seats?|sieges?|places?|trips?|voyages?|itinerar(?:y|ies)|itineraires?"
    r"|stays?|sejours?|rooms?|chambres?|tables?|appointments?|rendez-vous|connections?|correspondances?|luggage|baggage|bagages?"
    r"|orders?|commandes?|travel|departures?|departs?|return|retour|aller|cars?|rides?|visits?|cabs?|vehicles?|rentals?|passengers?)"
)
_MY: Final = r"(?:my|our|mon|ma|mes|notre|nos)"
_YOUR: Final = r"(?:your|ur|votre|vos|ton|ta|tes)"
_FEW: Final = r"(?:[a-z'-]{1,15} ){0,3}"  # up to three words between
_AMOUNT: Final = (
    r"(?:(?:eur|euros?|pounds?|dollars?|usd|gbp|chf|cad) ?[0-9][0-9.,]{0,11}|[0-9][0-9., ]{0,11}(?:eur|euros?|pounds?|dollars?|usd|gbp|chf|cad|bucks?)(?![a-z]))"
)
_WHEN: Final = (
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)day|lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche|today|tonight|tomorrow|aujourd'hui|demain"
    r"|january|february|march|april|june|july|august|september|october|november|december"
    r"|janvier|fevrier|mars|avril|juin|juillet|aout|septembre|octobre|novembre|decembre|[0-9]{1,2}[:h][0-9]{2}|[0-9]{1,2} ?[ap]m"
)

_STAFF_BOOKING: Final = re.compile(
    rf"\b(?:"
    # your booking is, was, has been, leaves ...
    rf"{_YOUR} {_FEW}{_THING} (?:[a-z0-9-]{{1,20}} ){{0,5}}(?:is|are|was|were|has|have|had|leaves?|departs?|lands?|arrives?|includes?|shows?|est|sont|etait|a ete|ont ete|sera|part|partira|arrive|comprend|comporte)\b(?! (?:there|it|that|this) )(?! (?:a |your |the )?(?:question|needed|required|necessary|safe))"
    # your flight on Tuesday, at 14:05, to Toronto
    rf"|{_YOUR} {_FEW}{_THING} (?:[a-z0-9-]{{1,20}} ){{0,4}}(?:{_WHEN})\b"
    rf"|{_YOUR} {_FEW}(?:flight|vol|trip|voyage|billet|ticket) (?:to|from|for|pour|vers|a destination de|de) [a-z]"
    # you are booked, in economy, on the flight; you have two seats
    rf"|(?:you|vous)(?: are|'re| were| have been|'ve been| will be|'ll be| etes| avez ete| serez| voyagez| travel| fly) {_FEW}(?:booked|rebooked|confirmed|moved|seated|reserved|checked in|on standby|reservee?s?|confirmee?s?|enregistree?s?|assise?s?|placee?s?|economy|business|economique|eco|premiere|affaires|row|rang|seat|siege|(?:on|in|sur|dans) (?:the |le |la )?(?:flight|vol|cabin|classe|cabine))\b"
    rf"|(?:i|we|je|nous) (?:can )?(?:see|vois|voyons|found|find|located|have|ai trouve|avons trouve) (?:here )?(?:that |que )?{_YOUR} {_THING}"
    rf"|(?:you|vous) (?:have|avez|had|aviez) (?:a |an |one |two |[0-9] |une? |deux )?{_FEW}(?:booking|reservation|flight|vol|seat|ticket|billet|place)s? (?:on|for|to|at|from|in|le|pour|vers|au|a|de|dans|under|with)\b"
    # what was just done
    rf"|(?:i|we|i've|we've|i have|we have|j'ai|nous avons|on a)(?: have)?(?: just| now| already| bien| deja)? (?:move|change|cancel|book|rebook|reserve|shift|postpone|confirm|upgrade|modifi|annul|deplac|decal|report|confirm|rebook|attribu|chang)[a-z]{{1,4}} (?:you\b|vous\b|{_YOUR} )"
    rf"|(?:booked|rebooked|moved|confirmed|put|moving|booking|rebooking|putting) you (?:on|onto|to|in|into|for|from)\b|vous ai (?:mis|place|reserve|change|inscrit)[a-z]{{0,2}}\b"
    rf"|(?:booking|reservation|confirmation|ticket) (?:number|reference|code) is\b|numero de (?:reservation|billet|dossier) est\b"
    rf"|(?:reservation|booking|flight|ticket|seat) (?:has been|have been|was|were) (?:successfully )?(?:[a-z]{{2,12}}ed|made|done)\b|(?:reservation|vol|billet|place) (?:a|ont) (?:bien )?ete [a-z]{{2,12}}ee?s?\b"
    rf")"
)
_STAFF_PAYMENT: Final = re.compile(
    rf"\b(?:"
    rf"(?:supplement|surcharge|fare difference|difference (?:of|de|is|est)|penalty|penalite|frais de|change fee|extra charge|reste a payer|remaining balance|balance (?:of|is|due)|solde|amount due|montant|total due|refund(?:ed)?|rembours[a-z]{{1,6}}|voucher|avoir)\b[^.!?]{{0,60}}?{_AMOUNT}"
    rf"|{_AMOUNT}[^.!?]{{0,40}}?\b(?:supplement|surcharge|fare difference|difference|penalty|penalite|de frais|change fee|extra|due|refund(?:ed)?|rembours[a-z]{{1,6}}|preleve[a-z]{{0,2}}|debite[a-z]{{0,2}}|charged|paid|payee?s?|on your card|sur votre carte|from your account|credited)\b"
    rf"|(?:you|vous)(?:'ll| will| would| must| need to| have to| still| devrez| devez| avez)? (?:owe|pay|paid|payez|payerez|paierez|paye|payer|regler|regle|devez|be charged|be refunded|been charged|been refunded) {_FEW}{_AMOUNT}"
    rf"|(?:card|account|carte|compte) (?:that |which )?(?:we have |you used |is |est )?(?:on file|on record|ending|enregistree?|terminant|finissant|se terminant)(?! for)\b"
    rf"|(?:charged?|debited?|debiter|debitee?|prelever|preleve|crediter?|credited?|refund(?:ed)?) (?:to |on |sur |from )?(?:your|the|votre|la) (?:[a-z]{{1,12}} )?(?:card|account|carte|compte|payment|paiement)"
    rf"|{_YOUR} {_FEW}(?:payment|paiement|reglement|refund|remboursement|invoice|facture|balance|transfer|deposit|acompte)s?\b (?:[a-z0-9-]{{1,20}} ){{0,4}}(?:is|are|was|were|has|have|will|went|of|for|est|a ete|sera|a bien|de|d'un|arrived|failed|did)\b"
    rf"|(?:i|we|nous|we've|i've|j'ai) (?:have |just |avons |bien |now )*(?:received?|recu|got|processed|refunded|rembourse|issued|emis|took|taken|encaisse|charged|debite|preleve|transferred|initiated) (?:your|the|votre|vos|le|la|you|vous|a|un) {_FEW}?(?:payment|paiement|reglement|refund|remboursement|transfer|virement|{_AMOUNT}|card|carte)"
    rf"|(?:payment|transfer|refund|paiement|virement|remboursement) (?:has been|was|is|a ete|est|a bien ete) (?:being )?(?:[a-z]{{2,12}}ed|made|done|sent|processing|complete|successful|effectuee?|recue?|acceptee?|refusee?|emise?|en cours)\b"
    rf"|(?:i|we) (?:will|'ll|can|would|am going to)?(?: now)? ?(?:transfer|be transferring|refund|charge|debit) (?:you )?{_AMOUNT}|transfer(?:ring)? {_AMOUNT}"
    rf"|(?:shall|should|may|can|could) (?:we|i) (?:now )?(?:charge|debit|take|bill)\b|(?:pouvons|puis|souhaitez|voulez)[- ](?:nous|je|vous)(?: que nous| que je)?(?: le| la| les)? ?(?:debit|prelev|encaiss)[a-z]{{1,5}}"
    rf")"
)
_CUSTOMER_BOOKING: Final = re.compile(
    rf"\b(?:"
    rf"(?:move|moving|change|changing|cancel|cancell?ing|modify|reschedul[a-z]{{1,3}}|rebook[a-z]{{0,3}}|postpone|bring forward|switch|shift|swap|upgrade|downgrade|confirm|check|find|see|look up|look at|fix|correct|add|update|extend|retrieve|access|locate|split|transfer|chang(?:er|ez)|modifi(?:er|ez)|annul(?:er|ez)|deplacer|decaler|reporter|avancer|repousser|confirmer|verifier|retrouver|voir|consulter|ajouter|corriger|echanger)"
    rf" (?:[a-z'-]{{1,15}} ){{0,3}}?{_MY} {_FEW}{_THING}"
    rf"|{_MY} {_FEW}(?:booking|reservation|itinerary|confirmation|ticket|dossier|billet)s? ?(?:number|reference|ref|code|no|num|numero|#|n)?\b"
    rf"|(?:booking|reservation|confirmation|ticket|locator|dossier|billet) (?:number|reference|ref|code|numero|no|n)\b[ :#]{{0,3}}(?:is|est|c'est)?[ :#]{{0,2}}[a-z0-9]{{0,20}}[0-9]"
    rf"|(?:i|we|i've|we've|j'ai|nous avons|on a)(?: have| had| just| already| deja)? (?:booked|rebooked|reserved|bought|purchased|reserve|achete|booke)\b"
    rf"|(?:i'm|i am|we are|we're|je suis|nous sommes) (?:booked|confirmed|reserved|rebooked|inscrite?s?|enregistree?s?) (?:on|in|for|to|sur|pour|dans)\b"
    rf"|(?:book|reserve|rent) (?:me |us )?(?:a|an|the|this|that|it|one|two|[0-9])\b|(?:rebook|book) (?:me|us)\b"
    rf"|(?:reserver|louer) (?:une?|le|la|ce|cette|deux|[0-9])\b"
    rf"|{_MY} {_FEW}(?:flight|seat|vol|siege|departure|trip|voyage|return|retour) (?:[a-z0-9-]{{1,15}} ){{0,4}}(?:to|from|on|for|vers|pour|du|de|le) "
    rf")"
)
_CUSTOMER_PAYMENT: Final = re.compile(
    rf"\b(?:"
    rf"{_MY} {_FEW}(?:payment|refund|invoice|receipt|bill|deposit|balance|voucher|paiement|remboursement|facture|recu|acompte|solde|virement|avoir)s?\b"
    rf"|(?:i|we|i've|we've)(?: have| had| just| already| only)? paid\b(?! attention)|(?:j'ai|nous avons|on a)(?: deja| bien| juste)? (?:paye|regle|vire|verse)\b"
    rf"|(?:charged|billed|debited|refunded|refund|reimburse|reimbursed|overcharged) (?:me|us|my|our|twice|back)\b|(?:was|were|been|being|got|get) (?:double |over)?(?:charged|billed|debited|refunded|reimbursed|overcharged)\b"
    rf"|(?:want|need|like|demand|request|expect|waiting for|waiting on|get|give me|owe me) (?:[a-z]{{1,12}} ){{0,2}}?(?:refund|money back|compensation)\b|my money\b|owes? me\b"
    rf"|(?:m'avez|m'a|m'ont|ete)(?: bien)?(?: deja)? (?:debite|preleve|facture|rembourse)[a-z]{{0,2}}\b|(?:me|nous) rembours[a-z]{{1,3}}\b|etre rembourse|mon argent\b|ma carte\b|my (?:credit |debit |bank )?card\b"
    rf"|(?:use|charge|debit|utilise[rz]?|debite[rz]?|preleve[rz]?) (?:my|the|ma|la) {_FEW}(?:card|account|carte|compte)\b"
    rf"|(?:did|have) you (?:get|got|receive|received) {_FEW}(?:payment|money|transfer)|avez[- ]vous (?:bien )?recu {_FEW}(?:paiement|virement|reglement)"
    rf"|(?:transfer|send|pay|virer|verser|envoyer) (?:[a-z]{{1,12}} ){{0,2}}{_AMOUNT}|(?:make|faire) (?:a|un|another) (?:payment|transfer|paiement|virement)"
    rf"|{_AMOUNT} (?:[a-z]{{1,12}} ){{0,4}}(?:charge|payment|debit|refund|prelevement|paiement)"
    rf")"
)

# Words without which none of the patterns above can match: one cheap question spares most texts the rest.
_STEMS: Final = re.compile(
    r"book|reserv|flight|vols?\b|ticket|billet|seat|siege|place|trip|voyage|itin|stay|sejour|room|chambre|table|appoint|rendez|connect|corresp|gage|order|command|travel|depart|return|retour|\baller\b|\bcars?\b|\bride|visit|\bcab|vehicle|rental|passenger"
    r"|pay|paid|paie|regl|refund|rembours|invoice|facture|receipt|recu\b|bill|deposit|acompte|balance|solde|voucher|avoir|vire|vers|charg|debit|prelev|money|argent|card|carte|compte|account|owe|suppl|fee\b|frais|penalt|differen|amount|montant|due\b|transfer|econom|business|moved you|put|vous ai|eur|pound|dollar|dossier|confirm|locator|compensation"
)


def notice(text: str, formats: tuple[str, ...] = (), *, by_staff: bool = False) -> Noticed:
    """The most sensitive topic noticed in `text` and the booking references in it. Raises nothing.

    Args:
        text: of which 4,000 characters are looked at.
        formats: masks of the site's references: X a letter or digit, A a letter, 9 a digit, others as they are.
        by_staff: whether an agent wrote it; then only details count (see above).
    """
    plain = _plain(text[:_LONGEST])
    references = _references(plain, formats) if formats else ()
    if not _STEMS.search(plain):
        return Noticed("booking", references) if references else _NOTHING
    is_payment, is_booking = (
        (_STAFF_PAYMENT, _STAFF_BOOKING) if by_staff else (_CUSTOMER_PAYMENT, _CUSTOMER_BOOKING)
    )
    if is_payment.search(plain):
        return Noticed("payment", references)
    if references or is_booking.search(plain):
        return Noticed("booking", references)
    return _NOTHING


def reference_matches(reference: str, formats: tuple[str, ...]) -> bool:
    """Whether `reference`, in any case and with blanks around it, is one of the site's."""
    plain = _plain(reference[:_LONGEST]).strip()
    return _references(plain, formats) == (plain.upper(),)


def _plain(text: str) -> str:
    if not text.isascii():
        text = text.replace("€", " euro ").replace("£", " pound ").replace("’", "'")
        text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    if "$" in text:
        text = text.replace("$", " dollar ")
    return text.lower()


# --- references

_MASK: Final = {"X": "[a-z0-9]", "A": "[a-z]", "9": "[0-9]"}
_UNIT: Final = re.compile(r"[0-9]+(?:eur|euro|euros|usd|gbp|kg|km|lb|lbs|min|mins|am|pm|th|nd|rd|st|h[0-9]{2}m?n?|hrs?|days?|jours?|mm|cm|mb|gb)|(?:eur|usd|gbp)[0-9]+")
_FLIGHT: Final = re.compile(r"(?:[a-z]{2}|[a-z][0-9]|[0-9][a-z])[0-9]{1,4}[a-z]?")
_NAMES_A_FLIGHT: Final = re.compile(r"\b(?:flights?|vols?|flt)(?: (?:number|no|n|numero|num))?[ .:#]{0,3}$")


@lru_cache(maxsize=256)
def _compiled(formats: tuple[str, ...]) -> re.Pattern[str]:
    masks = ["".join(_MASK.get(c, re.escape(c.lower())) for c in mask[:40]) for mask in formats if mask]
    # Nothing matches a site without masks.
    return re.compile(rf"(?<![a-z0-9])(?:{'|'.join(masks)})(?![a-z0-9])" if masks else r"(?!)")


def _references(plain: str, formats: tuple[str, ...]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for match in _compiled(formats).finditer(plain):
        token = match[0]
        has_digit = any(c.isdigit() for c in token)
        # A mask that admits words or plain numbers needs both kinds to count: "Monday" is no reference.
        if not has_digit or (token.isdigit() and not _is_numeric_mask(len(token), formats)):
            continue
        if _UNIT.fullmatch(token):
            continue
        if _FLIGHT.fullmatch(token) and _NAMES_A_FLIGHT.search(plain[max(0, match.start() - 24) : match.start()]):
            continue
        found[token.upper()] = None
    return tuple(found)


def _is_numeric_mask(length: int, formats: tuple[str, ...]) -> bool:
    return any(len(mask) == length and set(mask) == {"9"} for mask in formats)
