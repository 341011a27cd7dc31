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
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from aparte.topics import references

_LONGEST: Final = 4000  # characters looked at; a message has no more
_HEAD: Final = 3  # letters: no word that a longer one may begin with has fewer


@dataclass(frozen=True, slots=True)
class Noticed:
    """`topic`: "general", "booking" or "payment", the most sensitive noticed. `references`: upper case, once each."""

    topic: str
    references: tuple[str, ...]


_NOTHING: Final = Noticed("general", ())

# --- words. All patterns read lower-case ASCII: accents are gone, currency signs are words.

_THINGS: Final = (
    "bookings?|reservations?|flights?|vols?|tickets?|billets?|seats?|sieges?|places?|trips?|voyages?|itinerary|itineraries|itineraires?"
    "|stays?|sejours?|rooms?|chambres?|tables?|appointments?|rendez-vous|connections?|correspondances?|luggage|baggage|bagages?"
    "|orders?|commandes?|travel|departures?|departs?|return|retour|aller|cars?|rides?|visits?|cabs?|vehicles?|rentals?|passengers?"
)
_THING: Final = f"(?:{_THINGS})"
_MY: Final = r"(?:my|our|mon|ma|mes|notre|nos)"
_YOUR: Final = r"(?:your|ur|votre|vos|ton|ta|tes)"
_FEW: Final = r"(?:[a-z'-]{1,15} ){0,3}"  # up to three words between
_AMOUNT: Final = r"(?:(?:eur|euros?|pounds?|dollars?|usd|gbp|chf|cad) ?[0-9][0-9.,]{0,11}|[0-9][0-9., ]{0,11}(?:eur|euros?|pounds?|dollars?|usd|gbp|chf|cad|bucks?)(?![a-z]))"
# An amount that no currency follows; but "for 10 minutes" counts something else.
_NUMBER: Final = r"[0-9][0-9.,]{0,11}(?: (?:more|extra|in all|in total|de plus|en plus|supplementaires?|to|for|pour|au total)\b| ?[,;.!?]| ?$)"
_WHEN: Final = (
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)day|lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche|today|tonight|tomorrow|aujourd'hui|demain"
    r"|january|february|march|april|june|july|august|september|october|november|december"
    r"|janvier|fevrier|mars|avril|juin|juillet|aout|septembre|octobre|novembre|decembre|[0-9]{1,2}[:h][0-9]{2}|[0-9]{1,2} ?[ap]m"
)


@dataclass(frozen=True, slots=True)
class _Rule:
    """`pattern` is tried when one of `words` stands in the text; if there are any, one of `others`, and a word that
    begins as one of `heads`; and a digit if it speaks of an amount or a time."""

    words: frozenset[str]
    others: frozenset[str]
    heads: frozenset[str]
    pattern: re.Pattern[str]
    needs_digit: bool


def _rule(words: str, pattern: str, *, others: str = "", begins: str = "", needs_digit: bool = False) -> _Rule:
    """Args: others: what must stand in a text beside words as common as "you"; `e?` is a letter that may be missing;
    begins: the same, where the pattern takes longer words too, as in "bookingnumber"."""
    heads = frozenset(form[:_HEAD] for form in _forms(begins))
    return _Rule(_forms(words), _forms(others), heads, re.compile(rf"\b(?:{pattern})", re.ASCII), needs_digit)


def _forms(words: str) -> frozenset[str]:
    """The words, which may stand as alternatives of a pattern, with and without each letter that may be missing."""
    found: set[str] = set()
    for word in re.findall(r"[a-z?']+", words):
        first, *more = word.split("?")
        forms = [first]
        for part in more:
            forms = [form + part for whole in forms for form in (whole, whole[:-1])]
        found.update(forms)
    return frozenset(found)


_YOURS: Final = "your ur votre vos ton ta tes"
_MINE: Final = "my our mon ma mes notre nos"
_DONE: Final = (
    "booked|rebooked|reserved|rented|purchased|scheduled|confirmed|changed|moved|cancell?ed|modified|upgraded|postponed"
)
_FAIT: Final = r"reservee?s?|confirmee?s?|modifiee?s?|changee?s?|annulee?s?|deplacee?s?|decalee?s?|reportee?s?|enregistree?s?|emise?s?|creee?s?|faite?s?|attribuee?s?"
_DUE: Final = (
    r"payment|paiement|supplements?|surcharge|difference|penalty|penalites?|frais|fees?|extra|due|owing|balance|solde|amount|montant|reste a payer|refund(?:ed)?"
    r"|rembours[a-z]{1,6}|vouchers?|avoir|charged?|paid|payee?s?|payer|pay|owe|preleve[a-z]{0,2}|prelevement|debite[a-z]{0,2}|debited|credited|credite[a-z]{0,2}|invoiced?|facture[a-z]{0,2}|deposit|acompte"
)

_STAFF_PAYMENT: Final = (
    _rule(  # there is a 58 euro supplement; 58 euros have been charged
        "payment paiement supplement supplements surcharge difference penalty penalite penalites frais fee fees extra due owing balance solde amount montant "
        "reste refund refunded remboursement rembourser rembourse rembourses rembourserons rembourserez rembourse remboursera voucher vouchers avoir charge charged paid paye payee payer pay owe preleve "
        "prelevee preleves prelevees prelevez prelever prelevera prelevent debitez debiter debitera debitent debitees credites creditee creditees crediter creditera "
        "factures facturees facturez facturera rembourses remboursez remboursons remboursee rembourserait penalties prelevement debite debitee debites debited credited credite invoice invoiced facture facturee facturer deposit acompte",
        rf"(?:{_DUE})\b[^.!?]{{0,60}}?{_AMOUNT}|{_AMOUNT}[^.!?]{{0,40}}?\b(?:{_DUE})\b",
        needs_digit=True,
    ),
    _rule(  # it costs 58 euros more
        "more extra plus supplementaire supplementaires additional additionnel additionnels",
        rf"{_AMOUNT} (?:more|extra|en plus|de plus|supplementaires?|additional|additionnels?)\b|(?:additional|extra) {_AMOUNT}",
        needs_digit=True,
    ),
    _rule(  # you have 240 euros in your account; transfer 240 euros
        "have avez has account accounts card compte carte savings checking transfer transferring send sending virement virer verser",
        rf"(?:you have|vous avez|{_YOUR} (?:[a-z]{{1,12}} ){{0,2}}has) {_AMOUNT}"
        rf"|(?:transfer|transferring|send|sending|virement|virer|verser)(?: (?:of|de|you|vous|him|her|them))? {_AMOUNT}"
        rf"|{_AMOUNT}[^.!?]{{0,40}}\b(?:accounts?|card|compte|carte|savings|checking)\b|(?:account|compte|savings|checking)\b[^.!?]{{0,40}}{_AMOUNT}",
        needs_digit=True,
    ),
    _rule(  # that will be 58 euros; the change costs 58 euros
        "will makes make comes fera fait faudra change changement modification modifier changing moving move deplacer costs cost coute couter",
        rf"(?:that|it|this)(?: will be|'ll be| would be| makes| comes to| will make| will come to) (?:[a-z]{{1,10}} ){{0,2}}?{_AMOUNT}(?![0-9]|[.,][0-9]| per | par )|(?:cela|ca)(?: vous)? (?:fera|fait|ferait|coutera) {_AMOUNT}"
        rf"|(?:the|this|your|le|ce|votre) (?:change|changement|modification)\b[^.!?]{{0,20}}(?:costs?|coute(?:ra)?|is|est de) {_AMOUNT}"
        rf"|{_AMOUNT} (?:to|for|pour) (?:change|move|moving|changing|modifier|changer|deplacer|the change|your change|le changement)\b",
        needs_digit=True,
    ),
    _rule(  # that will cost 58; you must add 58 more to change
        "cost costs coute coutera couter pay add payer paierez ajouter rajouter debourser regler",
        rf"(?:(?:that|this|it|cela|ca)(?:(?: will|'ll| would) cost|(?: va)?(?: vous)? coute(?:ra|r))|the change (?:will )?costs?|le changement coute(?:ra)?) (?:you |vous )?(?:[a-z]{{1,10}} ){{0,2}}?{_NUMBER}"
        rf"|(?:you(?: will|'ll| must)?(?: have to| need to)?|vous (?:devez|devrez|allez|aurez a)) (?:pay|add|payer|ajouter|rajouter|debourser|regler) (?:[a-z]{{1,10}} ){{0,2}}?{_NUMBER}"
        rf"|vous paierez (?:[a-z]{{1,10}} ){{0,2}}?{_NUMBER}",
        needs_digit=True,
    ),
    _rule(  # the card on file
        "file record ending enregistree enregistre terminant finissant",
        r"(?:card|account|carte|compte)s? (?:that |which )?(?:we have |you used |you have |is |est |bancaire |de credit ){0,2}(?:on file|on record|ending|enregistree?|terminant|finissant|se terminant|se finissant)\b",
    ),
    _rule(
        "charge charged debit debited debiter debitee debite prelever preleve crediter credited refund refunded bill billed",
        r"(?:charged?|debited?|debiter|debitee?|prelever|preleve|crediter?|credited?|refund(?:ed)?|billed?) (?:to |on |sur |from )?(?:your|the|votre|la|le) (?:[a-z]{1,12} )?(?:card|account|carte|compte|payment|paiement)"
        r"|(?:shall|should|may|can|could) (?:we|i) (?:now )?(?:charge|debit|bill)\b",
    ),
    _rule(
        "debitions debiter preleve prelevions prelever encaisser encaissions debite",
        r"(?:pouvons|puis|souhaitez|voulez|dois|devons)[- ](?:nous|je|vous)(?: que nous| que je)?(?: le| la| les)? ?(?:debit|prelev|encaiss)[a-z]{1,5}",
    ),
    _rule(  # your payment has arrived
        _YOURS,
        rf"{_YOUR} {_FEW}(?:payment|paiement|reglement|refund|remboursement|invoice|facture|balance|transfer|virement|deposit|acompte)s?\b (?:[a-z0-9-]{{1,20}} ){{0,4}}(?:is|are|was|were|has|have|will|went|of|for|est|a ete|sera|a bien|de|d'un|arrived|failed|did)\b",
        others="payments? paiements? reglements? refunds? remboursements? invoices? factures? balances? transfers? virements? deposits? acomptes?",
    ),
    _rule(  # we have received the payment; the refund was sent
        "supplement fee difference invoice facture payment paiement reglement refund remboursement transfer virement payments refunds",
        r"(?:received?|recu|got|processed|refunded|rembourse|issued|emis|took|taken|encaisse|initiated|effectue) (?:your|the|a|votre|vos|le|un) (?:[a-z'-]{1,15} ){0,2}?(?:payment|paiement|reglement|refund|remboursement|transfer|virement)"
        r"|(?:payment|transfer|refund|supplement|fee|difference|invoice|facture|paiement|virement|remboursement) (?:has been|was|is|a ete|est|a bien ete) (?:being |now |successfully |bien )?(?:paid|charged|payee?|reglee?|debitee?|received|made|done|sent|processed|processing|complete|completed|initiated|issued|successful|declined|refused|accepted|effectuee?|recue?|acceptee?|refusee?|emise?|en cours)\b",
    ),
)

# In a text about a booking this makes it one about money.
_MONEY: Final = re.compile(
    rf"\b(?:{_AMOUNT}|payments?|paiements?|supplements?|surcharges?|refund(?:ed|s)?|rembours[a-z]{{1,6}}|invoices?|factures?"
    r"|paid|payee?s?|charged|debited|debitee?s?|prelevee?s?|fees?|frais)\b",
    re.ASCII,
)

_STAFF_BOOKING: Final = (
    _rule(  # your flight is now on Tuesday; votre vol part a 14h05; your flight to Toronto
        _YOURS,
        rf"{_YOUR} {_FEW}{_THING} (?:[a-z0-9-]{{1,20}} ){{0,5}}(?:is|are|was|were|has|had|leaves?|departs?|lands?|arrives?|includes?|shows?|allows?|permits?|covers?|est|sont|etait|a ete|ont ete|sera|part|partira|arrive|comprend|comporte|permet|inclut)\b(?! (?:a |your |the )?(?:question|needed|required|necessary|safe|there|it|that|this))"
        rf"|{_YOUR} {_FEW}{_THING} (?:[a-z0-9-]{{1,20}} ){{0,4}}(?:{_WHEN})\b"
        rf"|{_YOUR} {_FEW}(?:flight|vol|trip|voyage|billet|ticket) (?:to|from|pour|vers|a destination de) [a-z]",
        others=_THINGS,
    ),
    _rule(  # you are in economy class; vous etes sur le vol
        "you vous",
        rf"(?:you|vous)(?: are|'re| were| have been|'ve been| will be|'ll be| etes| avez ete| serez| voyagez| travel| fly) {_FEW}(?:(?:re)?booked|confirmed|moved|seated|reserved|scheduled|checked in|on standby|{_FAIT}|inscrite?s?|assise?s?|placee?s?|economy|business|economique|eco|premiere|affaires|row|rang|seat|siege|(?:on|in|sur|dans) (?:the |le |la )?(?:flight|vol|cabin|classe|cabine))\b"
        rf"|(?:you|vous) (?:have|avez|had|aviez) (?:a |an |one |two |[0-9] |une? |deux )?{_FEW}(?:booking|reservation|flight|vol|seat|siege|ticket|billet|place)s? (?:cote|couloir|hublot|fenetre|pres|on|for|to|at|from|in|le|pour|vers|au|a|dans|under|with)\b"
        r"|(?:booked|moved|confirmed|put|moving|booking|putting) you (?:on|onto|to|in|into|for|from)\b|vous ai (?:mise?|place|reserve|change|inscrite?|deplacee?)\b",
        others=f"{_DONE} {_FAIT} seated checked standby inscrite?s? assise?s? placee?s? economy business economique eco premiere affaires row "
        "rang seats? sieges? flights? vols? cabin classe cabine bookings? reservations? tickets? billets? places? put moving booking putting ai",
    ),
    _rule(  # you now fly on Tuesday; vous partez mardi; you're all set for Tuesday
        "you vous",
        rf"(?<!do )(?<!did )(?<!will )(?<!would )(?<!can )(?<!if )(?<!when )(?<!where )(?<!could )(?<!should )(?:you(?: now| will| will now|'ll| then)? (?:fly|travel|leave|depart|arrive|return)|you(?: are|'re)(?: now)? (?:flying|travelling|traveling|leaving|departing|returning|arriving|all set)|vous(?: [a-z]{{1,12}})? ?(?:partez|voyagez|volez|arrivez|rentrez|decollez|partirez))\b[^.!?]{{0,40}}?\b(?:{_WHEN}|to [a-z]|pour [a-z]|a [a-z])",
    ),
    _rule(  # your address is x@example.org; we have your e-mail as x at example dot org
        _YOURS,
        rf"{_YOUR} (?:[a-z0-9-]{{1,12}} ){{0,2}}?(?:e-?mail|mail|courriel|adresse|address)\b(?: (?:e-?mail|mail|address|on file|here|de contact|enregistree)){{0,2}} ?(?:(?:is|as|est|:|=)(?: (?:bien|still|toujours|now))? )?"
        r"[a-z0-9._+-]{1,64}(?: ?@ ?| at | arobase | \(at\) )[a-z0-9-]{1,60}(?:\.| dot | point | \(dot\) )[a-z]{2}",
        others="mail email courriel adresse address",
    ),
    _rule(  # there are two passengers on your booking; it is in the name of
        "booking reservation dossier billet ticket included inclus incluse incluses",
        rf"(?:there (?:is|are)|il y a)[^.!?]{{0,40}} (?:on|in|sur|dans) {_YOUR} {_FEW}{_THING}|(?:you have|vous avez)[^.!?]{{0,40}} (?:included|incluse?s?)\b|(?:according to|d'apres|selon) {_YOUR} {_THING}"
        r"|(?:booking|reservation|dossier|billet|ticket) (?:is|est) (?:in the name|under the name|au nom)",
    ),
    _rule(  # I have moved you, I can see your booking
        "i we ve je j nous on",
        rf"(?<!may )(?<!can )(?<!could )(?:i|we|je|nous) (?:can )?(?:see|vois|voyons|found|located|have|ai trouve|avons trouve) (?:here )?(?:that |que )?{_YOUR} {_THING}"
        rf"|(?:i|we|i've|we've|i have|we have)(?: have)?(?: just| now| already| successfully)? (?:{_DONE}|shifted) (?:you|your|the|it|that|a|an|them)\b"
        rf"|(?:j'ai|nous avons|on a)(?: bien| deja)? (?:modifie|annule|deplace|decale|reporte|confirme|change|reserve|attribue) (?:vous|votre|vos|le|la|une?)\b"
        rf"|(?:i'll|i will|i am|i'm|je vais|nous allons) (?:book|rebook|reserve|rent|move|chang|reserver|deplacer|modifier)(?:ing)? [^?]{{0,60}}?\b(?:{_WHEN})\b",
        begins=f"{_THINGS} {_DONE} shifted modifie annule deplace decale reporte confirme change reserve attribue book booking rebook rebooking "
        "reserve reserveing rent renting move moveing chang changing reserver reservering deplacer deplacering modifier modifiering",
    ),
    _rule(  # the tickets are reserved, it has been booked
        "is are been was were est a ete ont s",
        rf"(?:reservation|booking|flight|tickets?|seats?|appointment|visit|table|car|ride|rooms?|hotel|cab|taxi|movie|it|that|they)(?: is| are|'s| has been|'s been| have been| was| were) (?:now |all |successfully |already )?(?:{_DONE}|created|completed|made|on (?:its|the) way)\b"
        rf"|(?:booking|reservation|confirmation|ticket) (?:number|reference|code) is\b|numero de (?:reservation|billet|dossier) est\b"
        rf"|(?:reservation|vol|billet|place|siege|depart|chambre)s? (?:est|sont|a|ont)(?: bien| desormais| maintenant)?(?: ete)? (?:{_FAIT})\b",
        others=f"{_DONE} {_FAIT} created completed made way number reference code numero",
    ),
    _rule(  # please confirm: two tickets to Lyon on Tuesday
        "confirm confirming confirmer confirmez verify verifier verifiez recapitulatif recapitulons",
        rf"(?:confirm|verify|verifi|recapitul)[^?]{{0,40}}\b(?:book|reserve|rent|purchase|buy|booking|reservation|rental|stay|pickup|tickets?|rooms?|tables?|rides?|cab|visit|flight|appointment|vol|billet|chambre|reserver)\b[^?]{{0,80}}?(?:{_WHEN}|for [0-9])\b",
        needs_digit=True,
    ),
)

_CUSTOMER_PAYMENT: Final = (
    _rule(
        _MINE,
        rf"{_MY} {_FEW}(?:payment|refund|invoice|receipt|bill|deposit|balance|voucher|paiement|remboursement|facture|recu|acompte|solde|virement|avoir)s?\b"
        r"|my money\b|mon argent\b|(?:with |on |use |charge |debit |to |from )my (?:credit |debit |bank )?card\b|(?:avec |sur |utilise[rz]? |debite[rz]? )ma carte\b|my (?:credit |debit |bank )?card (?:was|is|has|got)\b|ma carte (?:bancaire )?(?:a|est|n'a)\b",
        others="payments? refunds? invoices? receipts? bills? deposits? balances? vouchers? paiements? remboursements? factures? recus? acomptes? "
        "soldes? virements? avoirs? money argent card carte",
    ),
    _rule(
        "card account carte compte",
        r"(?:use|charge|debit|take|utilise[rz]?|debite[rz]?|preleve[rz]?|prenez) (?:my|the|that|same|ma|la|cette) (?:[a-z]{1,12} )?(?:card|account|carte|compte)\b",
    ),
    _rule(
        "paid paye regle vire verse",
        r"(?:i|we|i've|we've)(?: have| had| just| already| only)? paid\b(?! attention)|(?:j'ai|nous avons|on a)(?: deja| bien| juste)? (?:paye|regle|vire|verse)\b",
    ),
    _rule(
        "charge charged billed debited refunded refund reimburse reimbursed overcharged",
        r"(?:charged|billed|debited|refunded|refund|reimbursed?|overcharged) (?:me|us|my|our|twice|back)\b|(?:was|were|been|being|got|get) (?:double |over)?(?:charged|billed|debited|refunded|reimbursed|overcharged)\b|(?:charge|debit) the card\b|(?:was|were|have) (?:i|we)(?: been)? (?:double |over)?(?:charged|billed|debited|refunded|overcharged)\b",
    ),
    _rule(
        "refund money compensation owe owes invoice receipt facture",
        r"(?:need|want|like|have|get|send|voudrais|veux|souhaite|avoir|envoyer|besoin d')(?: me)? ?(?:an? |the |une |la )?(?:copy of the )?(?:invoice|receipt|facture)\b|(?:want|need|like|demand|request|expect|waiting for|waiting on|(?<!do i )get|give me|owe me) (?:[a-z]{1,12} ){0,2}?(?:refund|money back|compensation)\b|owes? me\b",
    ),
    _rule(
        "debite debitee preleve pris facture rembourse rembourser remboursez rembourses remboursee",
        r"(?:m'avez|m'a|m'ont|ete)(?: bien)?(?: deja)? (?:debite|preleve|facture|rembourse)[a-z]{0,2}\b|(?:me|nous) rembourse[a-z]{0,2}\b|(?:etre|serai|suis|sera|serons)(?:[- ](?:je|nous))? rembourse",
    ),
    _rule(
        "payment money transfer paiement virement reglement",
        rf"(?:did|have) you (?:get|got|receive|received) {_FEW}(?:payment|money|transfer)|avez[- ]vous (?:bien )?recu {_FEW}(?:paiement|virement|reglement)"
        r"|(?:the|le) (?:payment|paiement) (?:failed|did|didn't|was|has|a|n'a|est)\b|(?:make|faire) (?:a|un|another) (?:payment|transfer|paiement|virement)\b",
    ),
    _rule(
        "took charged debited withdrew preleve debite pris transfer send pay virer verser charge payment debit refund prelevement paiement",
        rf"(?:you (?:have )?(?:took|taken|charged|debited|withdrew)|vous avez (?:bien )?(?:preleve|debite|pris))[^.!?]{{0,20}}{_AMOUNT}|(?:transfer|send|pay|virer|verser) (?:[a-z]{{1,12}} ){{0,2}}{_AMOUNT}|{_AMOUNT} (?:[a-z]{{1,12}} ){{0,4}}(?:charge|payment|debit|refund|prelevement|paiement)",
        needs_digit=True,
    ),
)

_CUSTOMER_BOOKING: Final = (
    _rule(  # move my flight; my flight has to be changed; my booking number
        _MINE,
        rf"(?:mov|chang|cancel|modif|reschedul|rebook|postpon|bring|switch|shift|swap|upgrad|downgrad|confirm|check|find|see|look|fix|correct|add|updat|extend|retriev|access|locat|split|annul|deplac|decal|report|avanc|repouss|verifi|retrouv|voir|consult|ajout|corrig|echang)[a-z]{{0,5}} (?:[a-z'-]{{1,15}} ){{0,3}}?{_MY} {_FEW}{_THING}\b"
        rf"|(?:what time|when|which|a quelle heure|quand|quel|quelle) (?:[a-z'-]{{1,15}} ){{0,3}}?{_MY} {_FEW}{_THING}\b"
        rf"|{_MY} {_FEW}(?:booking|reservation|itinerary|confirmation|ticket|dossier|billet)s? ?(?:number|reference|ref|code|no|num|numero|#|n)?\b"
        rf"|{_MY} {_FEW}{_THING}\b[^.!?]{{0,60}}?\b(?:changed|moved|modified|rebooked|postponed|upgraded|confirmed|confirmee?s?|changee?s?|deplacee?s?|modifiee?s?|reportee?s?|decalee?s?|(?:to be|get|have|have it|it) cancell?ed|etre annulee?s?)\b",
        begins=f"{_THINGS} confirmations? dossiers?",
    ),
    _rule(
        "booking reservation confirmation ticket locator dossier billet",
        r"(?:booking|reservation|confirmation|ticket|locator|dossier|billet) (?:number|reference|ref|code|numero|no|n)\b[ :#]{0,3}(?:is|est|c'est)?[ :#]{0,2}[a-z0-9]{0,20}[0-9]",
        needs_digit=True,
    ),
    _rule(
        "booked rebooked reserved bought purchased reserve achete confirmed inscrit inscrits enregistre",
        r"(?:i|we|i've|we've|j'ai|nous avons|on a)(?: have| had| just| already| deja)? (?:booked|rebooked|reserved|bought|purchased|reserve|achete)\b"
        r"|(?:i'm|i am|we are|we're|je suis|nous sommes) (?:booked|confirmed|reserved|rebooked|inscrite?s?|enregistree?s?) (?:on|in|for|to|sur|pour|dans)\b",
    ),
    _rule(
        "book reserve rent rebook reserver louer have ai put move mettre placer",
        r"rebook\b|(?:i have|i've got|we have|j'ai|nous avons) (?:a|an|une?|deux|two) (?:booking|reservation|flight|vol|billet|ticket)s?\b"
        r"|(?:put|move|place|mettre|placer|mettez) (?:me |us |moi |nous )?(?:on|onto|to|sur|dans) (?:an? |the |une? |le )?(?:[a-z]{1,12} ){0,2}(?:flight|vol)\b|(?:put|move|place) (?:me|us) (?:on|onto)\b|"
        r"(?:book|reserve|rent) (?:me |us )?(?:a|an|the|this|that|it|one|two|[0-9])\b|(?:rebook|book) (?:me|us)\b|(?:reserver|louer) (?:une?|le|la|ce|cette|deux|[0-9])\b",
    ),
)


def notice(text: str, formats: tuple[str, ...] = (), *, by_staff: bool = False) -> Noticed:
    """The most sensitive topic noticed in `text` and the booking references in it. Raises nothing.

    Args:
        text: of which 4,000 characters are looked at.
        formats: masks of the site's references: X a letter or digit, A a letter, 9 a digit, others as they are. What
            fits X with letters alone or digits alone counts only where it is called a booking or a reference.
        by_staff: whether an agent wrote it; then only details count (see above).
    """
    cased = _plain(text[:_LONGEST])
    plain = cased.lower()
    words = frozenset(plain.translate(_WORDS_ONLY).split())
    has_digit = _DIGIT.search(plain) is not None
    found = references.find(cased, plain, words, formats, has_digit=has_digit, by_staff=by_staff) if formats else ()
    if by_staff and not words.isdisjoint(_NUMBERS):
        # Which number it is makes no difference; "ten" may as well stand for all of them.
        plain, has_digit = _IN_WORDS.sub("10", plain), True
    payment, booking = (_STAFF_PAYMENT, _STAFF_BOOKING) if by_staff else (_CUSTOMER_PAYMENT, _CUSTOMER_BOOKING)
    if _speaks_of(payment, plain, words, has_digit):
        return Noticed("payment", found)
    if found or _speaks_of(booking, plain, words, has_digit):
        return Noticed("payment" if by_staff and _MONEY.search(plain) else "booking", found)
    return _NOTHING


def named(text: str, formats: tuple[str, ...], among: Collection[str] | None = None) -> tuple[str, ...]:
    """The references that `notice` finds in a customer's text, without asking what it is about. Raises nothing.

    Args: among: only these, in the form in which `possible_references` gives them; a text in which none of them
        stands is not searched.
    """
    cased = _plain(text[:_LONGEST])
    if among is not None:
        signs = cased.upper().translate(_SIGNS_ONLY)
        if not any("".join(filter(str.isalnum, one)) in signs for one in among):
            return ()
    plain = cased.lower()
    words = frozenset(plain.translate(_WORDS_ONLY).split())
    has_digit = _DIGIT.search(plain) is not None
    found = references.find(cased, plain, words, formats, has_digit=has_digit, by_staff=False)
    return found if among is None else tuple(one for one in found if one in among)


def possible_references(text: str, formats: tuple[str, ...]) -> frozenset[str]:
    """What could be a reference if one like it was named before, in upper case; `formats` as for `notice`. Raises nothing."""
    return references.find_apart(_plain(text[:_LONGEST]), formats)


def _speaks_of(rules: tuple[_Rule, ...], plain: str, words: frozenset[str], has_digit: bool) -> bool:
    for rule in rules:
        if (
            (has_digit or not rule.needs_digit)
            and not words.isdisjoint(rule.words)
            and not (rule.others and words.isdisjoint(rule.others))
            and not (rule.heads and rule.heads.isdisjoint([word[:_HEAD] for word in words]))
            and rule.pattern.search(plain)
        ):
            return True
    return False


_DIGIT: Final = re.compile("[0-9]")
# Amounts written out. Not the small ones, which mostly count people and nights.
_NUMBERS: Final = _forms(
    "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fourty fifty sixty seventy eighty ninety hundred thousand "
    "dix onze douze treize quatorze quinze seize vingts? trente quarante cinquante soixante septante huitante nonante cents? mille"
)
_BIG: Final = "|".join(sorted(_NUMBERS, key=len, reverse=True))
_SMALL: Final = "one|two|three|four|five|six|seven|eight|nine|une?|deux|trois|quatre|cinq|sept|huit|neuf"
_IN_WORDS: Final = re.compile(
    rf"\b(?:(?:an?|{_SMALL})[ -])?(?:{_BIG})(?:[ -](?:and |et[ -])?(?:{_BIG}|{_SMALL})){{0,9}}\b", re.ASCII
)
_WORDS_ONLY: Final = {code: " " for code in range(128) if not chr(code).isalnum()}
_SIGNS_ONLY: Final = dict.fromkeys(_WORDS_ONLY)  # letters and digits, with nothing between


def _plain(text: str) -> str:
    """ASCII with single spaces: accents gone, currency signs as words."""
    if not text.isascii():
        text = text.replace("€", " euro ").replace("£", " pound ").replace("’", "'")
        text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    if "$" in text:
        text = text.replace("$", " dollar ")
    return " ".join(text.split())
