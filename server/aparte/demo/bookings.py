"""The demo airline's bookings: a small booking system in memory, with dates that follow today.

Knows flights, passengers and prices, in English and French. Must not know HTTP, nor Aparté beyond its words for money.
All of it is invented: the addresses lie under a domain that is reserved for examples.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from typing import Final, Literal

Language = Literal["en", "fr"]
TUESDAY: Final = 1
CHANGES_ALLOWED: Final = 1  # an economy ticket may be moved once
CURRENCY: Final = "EUR"


class Gone(Exception):
    """The option is not offered (any more), or the key belongs to another act."""


@dataclass(frozen=True, slots=True)
class Place:
    """An airport."""

    code: str
    names: dict[Language, str]


@dataclass(frozen=True, slots=True)
class Flight:
    """A line of the timetable; both times are local to their airports."""

    number: str
    to: str
    leaves: time
    arrives: time
    weekdays: tuple[int, ...]  # Monday is 0
    gate: str


@dataclass(frozen=True, slots=True)
class Booking:
    """One passenger on one flight."""

    reference: str
    passenger: str
    email: str | None  # the address on file
    language: Language
    flight: str
    departs: datetime  # local time in Amsterdam
    changes: int = 0
    due: int = 0  # cents, owed and not charged


PLACES: Final[dict[str, Place]] = {
    code: Place(code, {"en": english, "fr": french})
    for code, english, french in (
        ("AMS", "Amsterdam", "Amsterdam"),
        ("YYZ", "Toronto", "Toronto"),
        ("LIS", "Lisbon", "Lisbonne"),
        ("CPH", "Copenhagen", "Copenhague"),
        ("GVA", "Geneva", "Genève"),
        ("VIE", "Vienna", "Vienne"),
        ("EDI", "Edinburgh", "Édimbourg"),
        ("MRS", "Marseille", "Marseille"),
    )
}

_DAILY: Final = (0, 1, 2, 3, 4, 5, 6)
TIMETABLE: Final = (
    Flight("AP 214", "GVA", time(6, 50), time(8, 20), _DAILY, "B4"),
    Flight("AP 318", "CPH", time(7, 35), time(9, 0), _DAILY, "B7"),
    Flight("AP 482", "LIS", time(9, 10), time(11, 10), _DAILY, "C2"),
    Flight("AP 236", "MRS", time(10, 25), time(12, 20), (0, 2, 4, 6), "B5"),
    Flight("AP 357", "VIE", time(12, 40), time(14, 25), _DAILY, "B9"),
    Flight("AP 641", "YYZ", time(14, 5), time(16, 15), (1, 3, 5), "D6"),
    Flight("AP 129", "EDI", time(16, 20), time(16, 50), _DAILY, "C8"),
    Flight("AP 486", "LIS", time(18, 45), time(20, 45), (3, 4, 6), "C2"),
)
FLIGHTS: Final = {flight.number: flight for flight in TIMETABLE}

# How many days after the booked departure a change is offered, and what it costs more, in cents.
OFFERS: Final = ((7, 5800), (9, 8400))


@dataclass(slots=True)
class Airline:
    """The bookings. `today` is a calendar day; `renew` starts them anew from another."""

    today: date
    bookings: dict[str, Booking] = field(default_factory=dict)
    answers: dict[str, tuple[tuple[str, str], dict[str, object]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Fills the bookings."""
        self.renew(self.today)

    def renew(self, today: date) -> None:
        """Puts every booking back as it was first, relative to `today`; forgets the changes made."""
        self.today = today
        self.answers.clear()
        tuesday = next_weekday(today, TUESDAY)
        self.bookings = {
            booking.reference: booking
            for booking in (
                # The one that the story tells.
                Booking("QX7T4P", "M. Dupont", "m.dupont@example.org", "fr", "AP 641", _at(tuesday, "AP 641")),
                # Another person's, to try whether one person's proof opens it.
                Booking(
                    "LM2K9R", "A. Jansen", "a.jansen@example.org", "en", "AP 482", _at(today + timedelta(4), "AP 482")
                ),
                # One without an address on file: a check by e-mail cannot be done for it.
                Booking("ZW8N3C", "C. Berg", None, "en", "AP 318", _at(today + timedelta(6), "AP 318")),
            )
        }

    def find(self, reference: str) -> Booking | None:
        """By reference as people type it: any case, with spaces or dashes."""
        return self.bookings.get("".join(c for c in reference.upper() if c not in " -\u00a0"))

    def details(self, booking: Booking, language: Language) -> dict[str, object]:
        """The answer to `details`, as the connector's contract has it."""
        words = _WORDS[language]
        flight = FLIGHTS[booking.flight]
        lines = [
            (words["passenger"], booking.passenger),
            (words["flight"], flight.number),
            (words["from"], f"{PLACES['AMS'].names[language]} (AMS)"),
            (words["to"], f"{PLACES[flight.to].names[language]} ({flight.to})"),
            (words["departure"], moment(booking.departs, language, with_year=True)),
            (words["class"], words["economy"]),
            (words["change"], words["change_used"] if booking.changes else words["change_once"]),
        ]
        if booking.due:
            lines.append((words["due"], words["not_charged"].format(money=money(booking.due, language))))
        return {
            "reference": booking.reference,
            "title": f"{PLACES['AMS'].names[language]} – {PLACES[flight.to].names[language]}",
            "state": words["changed"] if booking.changes else words["confirmed"],
            "lines": [{"label": label, "value": value} for label, value in lines],
            "options": [
                {
                    "id": option,
                    "label": moment(departs, language),
                    "departs": departs.strftime("%Y-%m-%dT%H:%M"),
                    "supplement": {"amount": supplement, "currency": CURRENCY},
                }
                for option, (departs, supplement) in self.options(booking).items()
            ],
        }

    def options(self, booking: Booking) -> dict[str, tuple[datetime, int]]:
        """What the booking can be changed to now: id -> departure, supplement in cents.

        An id names its price too: if the price changes, the old id is no longer offered.
        """
        if booking.changes >= CHANGES_ALLOWED:
            return {}
        number = booking.flight.replace(" ", "")
        days = [(booking.departs + timedelta(days=days), supplement) for days, supplement in OFFERS]
        return {f"{number}-{day:%Y%m%dT%H%M}-{supplement}": (day, supplement) for day, supplement in days}

    def change(self, booking: Booking, option: str, key: str, language: Language) -> dict[str, object]:
        """Moves the booking to one of its options and writes the supplement down as due. Once per key.

        Raises Gone when the option is not offered, or the key was used for another act.
        """
        asked = (booking.reference, option)
        if key in self.answers:
            before, answer = self.answers[key]
            if before != asked:
                raise Gone
            return answer
        offered = self.options(booking)
        if option not in offered:
            raise Gone
        departs, supplement = offered[option]
        changed = replace(booking, departs=departs, changes=booking.changes + 1, due=booking.due + supplement)
        self.bookings[booking.reference] = changed
        due = {"amount": supplement, "currency": CURRENCY}
        answer = {"details": self.details(changed, language), "due": due}
        self.answers[key] = (asked, answer)
        return answer

    def departures(self) -> list[Flight]:
        """Today's flights, in order."""
        return [flight for flight in TIMETABLE if self.today.weekday() in flight.weekdays]


def next_weekday(today: date, weekday: int) -> date:
    """The first such day after `today`, 1 to 7 days on. Monday is 0."""
    return today + timedelta(days=(weekday - today.weekday() - 1) % 7 + 1)


def moment(at: datetime, language: Language, *, with_year: bool = False) -> str:
    """ "Tuesday 8 December, 14:05" or "mardi 8 décembre, 14 h 05"."""
    clock = f"{at:%H:%M}" if language == "en" else f"{at.hour}\u00a0h\u00a0{at:%M}"
    return f"{day_name(at.date(), language, with_year=with_year)}, {clock}"


def day_name(day: date, language: Language, *, with_year: bool = False) -> str:
    """ "Tuesday 8 December 2026" or "mardi 8 décembre 2026"; the first of a month is "1er" in French."""
    number = "1er" if language == "fr" and day.day == 1 else str(day.day)
    year = f" {day.year}" if with_year else ""
    return f"{_DAYS[language][day.weekday()]} {number} {_MONTHS[language][day.month - 1]}{year}"


def money(cents: int, language: Language) -> str:
    """ "€58.00" or "58,00 €" (with a space that does not break)."""
    whole, rest = divmod(cents, 100)
    return f"€{whole}.{rest:02}" if language == "en" else f"{whole},{rest:02}\u00a0€"


def _at(day: date, number: str) -> datetime:
    return datetime.combine(day, FLIGHTS[number].leaves)


_DAYS: Final[dict[Language, tuple[str, ...]]] = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "fr": ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"),
}
_MONTHS: Final[dict[Language, tuple[str, ...]]] = {
    "en": (
        "January", "February", "March", "April", "May", "June",
        "July", "August", "September", "October", "November", "December",
    ),
    "fr": (
        "janvier", "février", "mars", "avril", "mai", "juin",
        "juillet", "août", "septembre", "octobre", "novembre", "décembre",
    ),
}  # fmt: skip
_WORDS: Final[dict[Language, dict[str, str]]] = {
    "en": {
        "passenger": "Passenger",
        "flight": "Flight",
        "from": "From",
        "to": "To",
        "departure": "Departure",
        "class": "Class",
        "economy": "Economy",
        "change": "Change",
        "change_once": "Once, with a supplement",
        "change_used": "Already used",
        "due": "To pay",
        "not_charged": "{money}, not charged yet",
        "confirmed": "Confirmed",
        "changed": "Changed",
    },
    "fr": {
        "passenger": "Passager",
        "flight": "Vol",
        "from": "De",
        "to": "À",
        "departure": "Départ",
        "class": "Classe",
        "economy": "Économique",
        "change": "Modification",
        "change_once": "Une fois, avec supplément",
        "change_used": "Déjà utilisée",
        "due": "À régler",
        "not_charged": "{money}, pas encore débités",
        "confirmed": "Confirmé",
        "changed": "Modifié",
    },
}
