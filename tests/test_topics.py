"""Topics are noticed in English and French, in what customers ask and in what agents tell."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aparte.topics import Noticed, notice, reference_matches

FORMATS = ("XXXXXX",)

STAFF_GENERAL = """\
Of course, I can help with that. First, a quick check: I'll send a code to the address on file for your booking.
I can help with that. First, a quick check: I'll send a code to the address on file for your booking
Before we talk about your booking, I need to check that it is you.
May I have your booking number?
Could you give me your booking reference, please?
What is your booking number?
Puis-je avoir votre numéro de réservation ?
Pouvez-vous me donner votre numéro de réservation, s'il vous plaît ?
Je peux vous aider. D'abord, une petite vérification : je vous envoie un code à l'adresse enregistrée pour votre réservation.
Avant de parler de votre réservation, je dois vérifier votre identité.
Un code vient d'être envoyé à l'adresse enregistrée pour cette réservation.
Please type the code into the card above.
Thank you, you are checked. One moment please.
Hello, my name is Anna. How can I help you?
Bonjour, je suis Anna. Comment puis-je vous aider ?
You can take one bag of 23 kilos in economy class.
You can pay on our site by card or by bank transfer.
Vous pouvez payer sur notre site par carte ou par virement.
The check-in opens 24 hours before departure.
A flight to Toronto takes eight hours.
I am sorry to hear that. Let me look into it.
Je suis désolée, je regarde tout de suite.
How would you like to pay?
You can change your flight on our website at any time.
Vous pouvez modifier votre vol sur notre site.
For your safety I cannot speak about your booking before the check.
We never ask for your card number.
Our desk is open from 8:00 to 20:00.
Changes are possible until 24 hours before departure.
Is there anything else I can do for you?
I will send you the check now.
Do you have your booking number at hand?
The code was sent. It is valid for 10 minutes.
Good afternoon, you are speaking with Marc from the bookings desk.
Certainly! Which booking is it about?
Sure, can you tell me the booking reference please?
Please have your booking reference ready.
What date would you like to travel?
Which flight would you like?
Would you like a window or an aisle seat?
I need to verify your identity first.
Please confirm that it is really you: use the card above.
Thanks, the check was successful.
I have sent you a check. Please follow the steps.
Let me check that for you.
I will look into your request and come back to you.
Let me look at your booking.
Your request has been forwarded to my colleague.
Your message is important to us.
Economy class passengers may bring one bag.
Online check-in opens 24 hours before departure.
Our supplement for oversize bags depends on the route.
Refunds usually take five working days.
You can ask for a refund on our website.
Payment is possible by card, PayPal or bank transfer.
Bonjour, vous parlez à Marc, du service réservations.
Quelle est votre référence de réservation ?
Quel est le numéro de votre dossier ?
Pouvez-vous me dire la date de votre vol ?
Quel vol souhaitez-vous ?
Je vérifie cela pour vous.
Je regarde votre dossier.
Un instant, s'il vous plaît.
L'enregistrement ouvre 24 heures avant le départ.
Les remboursements prennent en général cinq jours ouvrés.
Le paiement est possible par carte ou par virement.
Je dois d'abord vérifier que c'est bien vous.
Nous envoyons un code à l'adresse que nous avons déjà pour cette réservation.
For which flight?
Are you calling about an existing booking?
I'm sorry for the long wait.
To protect your booking, we first make sure that it is you.
Your identity is confirmed, thank you.
We have flights to Toronto on Tuesdays, Thursdays and Sundays.
The flight on Tuesday leaves at 14:05.
A window seat costs 25 euros.
"""

STAFF_BOOKING = """\
Your flight is now on Tuesday 8 December, 14:05.
Your flight is now on Tuesday 8 December, 14:05
I have moved your flight to Tuesday.
I've moved you to the Tuesday after.
You are in economy class.
You are on flight KL691 to Toronto.
I see your booking to Toronto for next Tuesday.
I can see your booking, Mr Dupont.
Your seat is 14A.
Your booking has been cancelled.
Your flight to Toronto leaves at 14:05.
You have a seat on the flight of Tuesday.
We have rebooked you on the evening flight.
It is booked: QX7T4P.
Votre vol est maintenant le mardi 8 décembre à 14 h 05.
Votre vol pour Toronto part mardi à 14h05.
J'ai déplacé votre vol au mardi 8 décembre.
Vous êtes en classe économique.
Votre réservation a été annulée.
Votre réservation est confirmée.
Vous avez un vol pour Toronto mardi prochain.
Vous êtes sur le vol de mardi.
Je vois votre réservation pour Toronto.
Je vous ai placé sur le vol de mardi.
Votre siège est le 14A.
Nous avons modifié votre billet.
C'est bien le dossier QX7T4P ?
Done: you now fly on Tuesday 8 December at 14:05.
You're all set for Tuesday 8 December.
You now travel on 8 December.
Your new flight is KL691.
Your new departure is 14:05 on Tuesday.
I've changed your booking to the 8th.
I have cancelled your reservation.
We've upgraded you to business class.
Your return flight is on the 20th.
According to your booking you fly to Toronto.
I see that you are travelling to Toronto on Tuesday.
I see you're booked to Toronto next Tuesday.
There are two passengers on your booking.
The booking is in the name of Dupont.
You have two suitcases included.
Your ticket allows changes.
Your flight has been delayed to 16:00.
C'est fait : vous partez désormais le mardi 8 décembre à 14h05.
C'est fait, vous voyagez maintenant le 8 décembre.
Votre nouveau vol est le KL691.
Votre vol est déplacé au mardi suivant.
J'ai modifié votre réservation.
J'ai bien annulé votre réservation.
Je vois que vous partez à Toronto mardi.
Vous partez mardi prochain pour Toronto.
Votre départ est maintenant le mardi 8 décembre.
Votre retour est prévu le 20.
Vous avez un siège côté fenêtre.
Votre billet est en classe économique.
Vous êtes assis en 14A.
La réservation est au nom de Dupont.
"""

STAFF_PAYMENT = """\
Of course. You are in economy class, so there is a 58 euro supplement; shall we charge the card on file?
There is a supplement of 58 euros.
There's a €58 supplement.
Shall we charge the card on file?
We have received your payment of 240 pounds.
Your refund of £240 was sent yesterday.
Your payment has arrived.
You paid 612 euros.
Shall I use the card ending in 4242?
Bien sûr. Vous êtes en classe économique, il y a donc un supplément de 58 euros ; pouvons-nous débiter la carte enregistrée ?
Il y a un supplément de 58 €.
Souhaitez-vous que nous débitions la carte enregistrée ?
Nous avons bien reçu votre paiement de 240 euros.
Votre remboursement a été effectué.
Le paiement a été refusé.
Vous avez payé 612 euros.
Il reste 58 euros à payer.
58 euros seront prélevés sur votre carte.
That will be 58 euros.
That makes 58 euros extra.
It costs 58 euros to change your flight; shall I go ahead?
The difference is 58 EUR.
The change costs €58.
Can I charge your card?
Your card was charged 58 euros.
We'll refund 240 pounds to your account.
I have refunded the 58 euros.
You still owe 58 euros.
The payment link for 58 euros is on its way.
We charged 612 euros to the card on file.
Should I charge it to the Visa ending in 4242?
Your invoice is attached.
The supplement has been paid.
Cela fera 58 euros.
Le supplément est de 58 euros.
Il faut régler un supplément de 58 euros.
La différence est de 58 €.
Le changement coûte 58 euros.
Puis-je débiter votre carte ?
Dois-je débiter la carte enregistrée dans votre dossier ?
Votre carte a été débitée de 58 euros.
Nous vous rembourserons 240 euros.
Je vous rembourse 58 euros.
Voulez-vous payer avec la carte enregistrée ?
Votre facture est jointe.
Votre paiement est bien arrivé.
"""

CUSTOMER_GENERAL = """\
How do I pay on your site?
Comment payer sur votre site ?
Comment je paie sur votre site ?
Can I pay by bank transfer?
Do you accept American Express?
What is the baggage allowance?
Quels bagages puis-je emporter ?
Hello, is anybody there?
Where is the check-in desk?
Can I bring my dog on the plane?
Your service is terrible, I have waited two hours.
My flight was awful and the crew was rude.
Thank you so much, the crew was great!
Is flight KL0691 on time?
Le vol KL0691 est-il à l'heure ?
How much is a ticket to Toronto?
Combien coûte un billet pour Toronto ?
What time does the desk open?
Do you fly to Toronto on Tuesdays?
How do refunds work?
What are your change fees?
Good morning, do you have wheelchairs at Schiphol?
Can I check in online?
How do I change a booking on your site?
How can I cancel a flight?
What happens if my flight is delayed?
Do I get a refund if I cancel?
The website does not work.
I can't log in.
J'ai attendu deux heures, c'est inadmissible.
Votre site ne marche pas.
Peut-on modifier un billet en ligne ?
Quels moyens de paiement acceptez-vous ?
Les animaux sont-ils acceptés en cabine ?
Can I talk to a person?
How long does a transfer at Schiphol take?
Is there wifi on board?
Merci beaucoup, bonne journée !
I love flying with you.
"""

CUSTOMER_BOOKING = """\
I'd like to move my flight to Toronto from next Tuesday to the Tuesday after; my booking is QX7T4P
I'd like to move my flight to Toronto from next Tuesday to the Tuesday after
my booking is qx7t4p
QX7T4P
I want to cancel my reservation.
Can you change my seat?
Je voudrais déplacer mon vol pour Toronto de mardi prochain au mardi suivant ; mon numéro de réservation est QX7T4P
Je voudrais décaler mon vol pour Toronto de mardi prochain au mardi d'après
Je souhaite annuler ma réservation.
Pouvez-vous changer mon siège ?
J'ai réservé un vol pour Toronto et je me suis trompé de date.
I booked a flight for the wrong day.
My flight to Toronto needs to be moved to Tuesday.
Is my booking confirmed?
At what time does my flight leave? I am on KL691
Hi, I need to change the date of my flight.
I want to switch my flight from Tuesday to Wednesday.
Please cancel my booking.
My booking reference is QX7T4P.
I have a question about my booking.
Can I add a suitcase to my booking?
I have a booking for next Tuesday and want to change it.
Could you put me on a later flight?
I need to rebook.
Je voudrais changer la date de mon vol.
Je veux annuler mon vol.
J'ai une question sur ma réservation.
Ma réservation est QX7T4P.
Puis-je ajouter une valise à ma réservation ?
Pouvez-vous me mettre sur un vol plus tard ?
Est-ce que mon vol est confirmé ?
Je dois déplacer mon retour au 20.
Il y a une erreur dans mon billet.
My name is misspelt on my ticket.
"""

CUSTOMER_PAYMENT = """\
Did you get my payment of 240 pounds?
did you get my payment of 240 pounds?
Avez-vous reçu mon paiement de 240 euros ?
I was charged twice.
You charged me 58 euros too much.
I want a refund.
Where is my refund?
Je veux être remboursé.
Où est mon remboursement ?
J'ai été débité deux fois.
J'ai payé 612 euros.
Vous m'avez prélevé deux fois.
Please charge my card.
Yes, charge the card on file.
Oui, débitez ma carte.
I need my invoice for the flight to Toronto.
J'ai besoin de ma facture.
I paid twice for my ticket.
Why was I charged 58 euros?
You took 58 euros from my account.
When will I get my money back?
My card was declined but the money is gone.
I haven't received my refund yet.
Has my payment gone through?
The payment failed, can you check?
Pourquoi ai-je été débité de 58 euros ?
Quand serai-je remboursé ?
Mon paiement est-il passé ?
Ma carte a été débitée deux fois.
Je n'ai pas reçu mon remboursement.
Vous avez prélevé 58 euros sur mon compte.
Je voudrais une facture pour mon vol.
Yes, please use the card on file.
Oui, utilisez la carte enregistrée.
"""


@pytest.mark.parametrize("text", STAFF_GENERAL.splitlines())
def test_it_lets_an_agent_talk_ask_and_explain(text: str) -> None:
    assert notice(text, FORMATS, by_staff=True) == Noticed("general", ())


@pytest.mark.parametrize("text", STAFF_BOOKING.splitlines())
def test_it_notices_an_agent_who_tells_of_a_booking(text: str) -> None:
    assert notice(text, FORMATS, by_staff=True).topic == "booking"


@pytest.mark.parametrize("text", STAFF_PAYMENT.splitlines())
def test_it_notices_an_agent_who_tells_of_a_payment(text: str) -> None:
    assert notice(text, FORMATS, by_staff=True).topic == "payment"


@pytest.mark.parametrize("text", CUSTOMER_GENERAL.splitlines())
def test_it_takes_a_customers_general_question_for_one(text: str) -> None:
    assert notice(text, FORMATS) == Noticed("general", ())


@pytest.mark.parametrize("text", CUSTOMER_BOOKING.splitlines())
def test_it_notices_a_customer_who_speaks_of_their_booking(text: str) -> None:
    assert notice(text, FORMATS).topic == "booking"


@pytest.mark.parametrize("text", CUSTOMER_PAYMENT.splitlines())
def test_it_notices_a_customer_who_speaks_of_their_payment(text: str) -> None:
    assert notice(text, FORMATS).topic == "payment"


@pytest.mark.parametrize(
    ("text", "references"),
    [
        ("my booking is QX7T4P", ("QX7T4P",)),
        ("qx7t4p", ("QX7T4P",)),
        ("QX7T4P and qx7t4p, then AB12CD.", ("QX7T4P", "AB12CD")),
        ("ＱＸ７Ｔ４Ｐ", ("QX7T4P",)),
        ("QX7\u200bT4P", ("QX7T4P",)),
        ("QX7T4PP QX7T4 Monday 123456 abcdef", ()),
        ("it costs 58euro, 200EUR, 1500km, 14h05m", ()),
        ("flight KL0691 is late", ()),
        ("KL0691 is late", ()),
        ("my booking reference is KL0691", ("KL0691",)),
    ],
)
def test_it_finds_the_references_that_the_sites_masks_admit(text: str, references: tuple[str, ...]) -> None:
    assert notice(text, FORMATS).references == references


def test_it_judges_an_agents_reference_more_strictly_than_a_customers() -> None:
    assert notice("KL0691", FORMATS, by_staff=True) == Noticed("booking", ("KL0691",))
    assert notice("Flight KL0691", FORMATS, by_staff=True) == Noticed("general", ())


def test_it_reads_masks_of_digits_letters_and_signs() -> None:
    formats = ("999999", "AA-9999", "AAAAAA")
    assert notice("123456 and ab-1234 and 12345", formats).references == ("123456", "AB-1234")
    assert notice("please", formats).references == ()
    assert notice("my reference is MDBEEI", formats).references == ("MDBEEI",)
    assert notice("a+b c", ("A+A",)).references == ()
    assert notice("ref a+b c", ("A+A",)).references == ("A+B",)


def test_it_finds_no_reference_for_a_site_without_masks() -> None:
    assert notice("my booking is QX7T4P").references == ()
    assert notice("QX7T4P", ("", "---")) == Noticed("general", ())


@pytest.mark.parametrize(
    ("reference", "matches"),
    [("QX7T4P", True), (" qx7t4p ", True), ("QX7T4", False), ("QX7T4PX", False), ("123456", False), ("MONDAY", False), ("", False), ("QX7T4P QX7T4P", False)],
)  # fmt: skip
def test_it_tells_whether_a_reference_is_the_sites(reference: str, matches: bool) -> None:
    assert reference_matches(reference, FORMATS) is matches
    assert not reference_matches(reference, ())


def test_it_names_the_more_sensitive_of_two_topics() -> None:
    text = "Your flight is now on Tuesday; there is a 58 euro supplement."
    assert notice(text, by_staff=True).topic == "payment"


def test_it_reads_over_line_ends_and_typographic_signs() -> None:
    assert notice("Your flight\nis now on  Tuesday.", by_staff=True).topic == "booking"
    assert notice("you’re booked on the 14:05", by_staff=True).topic == "booking"
    assert notice("J’ai déplacé votre vol.", by_staff=True).topic == "booking"


@given(st.text(st.characters(exclude_categories=[])), st.booleans())
def test_it_raises_on_no_text(text: str, by_staff: bool) -> None:
    assert notice(text, FORMATS, by_staff=by_staff).topic in ("general", "booking", "payment")
    reference_matches(text, FORMATS)


def lines_run(text: str, by_staff: bool) -> int:
    count = 0

    def local(_frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal count
        count += event == "line"
        return local

    def trace(frame: FrameType, _event: str, _arg: object) -> Any:
        return local if "topics" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        notice(text, FORMATS, by_staff=by_staff)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("by_staff", [True, False])
@pytest.mark.parametrize("hostile", ["QX7T4P ", "your flight ", "refund 1 ", "my ", "confirm "])
def test_it_works_in_proportion_to_the_length_and_looks_at_four_thousand_characters(
    hostile: str, by_staff: bool
) -> None:
    short, long, longer = (lines_run((hostile * size)[:size], by_staff) for size in (1000, 4000, 16_000))
    assert long < 4.6 * short + 50
    assert longer == long
