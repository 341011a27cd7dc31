"""Every error that a person or a program can meet, as one tree.

```
AparteError
├── BadInput            the sender must change what was sent
│   ├── BadFrame        not a frame of the protocol
│   ├── TooLong         more than a message may hold
│   ├── CidConflict     the same client id with another body
│   ├── BadState        not in the conversation's present state
│   ├── BadReference    not the form of a booking number of the site
│   └── BadSetting      a setting is wrong; names it and the fix
├── Denied              the sender may not do this
│   ├── NotFound        absent and forbidden look the same
│   ├── ConnectionGone  a connection over HTTP that is over, at another node, or not the sender's
│   ├── NotSignedIn     no session, or it has ended
│   ├── BadSignature    a signed request or answer is not the company's, or is a copy
│   ├── BadOrigin       another page than those of the site
│   ├── Frozen          after an alarm
│   ├── NeedsCheck      below the level that the gate asks for
│   ├── OtherRecord     proven for another record
│   └── CodeRefused     one answer for every code that does not count
├── TooMany             a limit; `retry_after` says when to go on
│   └── ChecksPaused    wrong codes everywhere: the breaker is open
├── MailRefused         a letter that no further try will deliver
├── Unavailable         we cannot do it now; nothing was lost
│   ├── StoreDown       disk full, locked or unreadable database
│   ├── RecordsDown     the company's system did not answer
│   └── MailDown        the mail server did not take a letter this time
│       └── MailDeferred  this one letter has to wait
├── Unreadable          a stored value cannot be authenticated
└── WrongKey            the root key is not this installation's
```

`code` is stable and documented in docs/PROTOCOL.md; `status` is the HTTP status; `close` the WebSocket
close code for errors that end a connection.
"""

from __future__ import annotations

from typing import ClassVar


class AparteError(Exception):
    """The root. `str(error)` is a sentence that says what to do next and carries no personal data."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    close: ClassVar[int] = 1011
    sentence: ClassVar[str] = "Something went wrong here. Nothing was lost; try again."

    def __init__(self, sentence: str | None = None, *, retry_after: float | None = None) -> None:
        """Args: sentence replaces the class's own; retry_after in seconds."""
        super().__init__(sentence or self.sentence)
        self.retry_after = retry_after


class BadInput(AparteError):
    code = "bad_input"
    status = 400
    close = 4400
    sentence = "That cannot be accepted as it is. Correct it and send it again."


class BadReference(BadInput):
    code = "bad_reference"
    sentence = "That is not the form of a booking number here. Look at the letters and digits again."


class BadFrame(BadInput):
    code = "bad_frame"
    sentence = "That is not a frame of this protocol. See docs/PROTOCOL.md."


class TooLong(BadInput):
    code = "too_long"
    status = 413
    sentence = "A message holds at most 4,000 characters. Shorten it or send it in parts."


class CidConflict(BadInput):
    code = "cid_conflict"
    status = 409
    sentence = "This client id was used for another message. Send it under a new id."


class BadState(BadInput):
    code = "bad_state"
    status = 409
    sentence = "The conversation is not in a state that allows this. Refresh it."


class BadSetting(BadInput):
    code = "bad_setting"
    sentence = "A setting is wrong."


class Denied(AparteError):
    code = "denied"
    status = 403
    close = 4403
    sentence = "You may not do this."


class NotFound(Denied):
    code = "not_found"
    status = 404
    sentence = "There is no such thing here, or it is not yours."


class ConnectionGone(Denied):
    code = "connection_gone"
    status = 404
    sentence = "This connection is over, or it is not yours. Open another one; what was not answered is sent again."


class NotSignedIn(Denied):
    code = "not_signed_in"
    status = 401
    close = 4401
    sentence = "Sign in to go on."


class BadSignature(Denied):
    code = "bad_signature"
    status = 401
    sentence = (
        "This is not signed as docs/RECORDS.md says, or it is too old, or a copy. Compare secret, key id and clock."
    )


class BadOrigin(Denied):
    code = "bad_origin"
    sentence = "This page may not speak to this server. The operator can add its address to the site."


class Frozen(Denied):
    code = "frozen"
    status = 409
    sentence = "This conversation is frozen after an alarm. A supervisor can release it."


class NeedsCheck(Denied):
    code = "needs_check"
    sentence = "This needs an identity check first. Ask for a check."


class OtherRecord(Denied):
    code = "other_record"
    sentence = "The customer was checked for another record. Ask for a check for this one."


class CodeRefused(Denied):
    code = "code_refused"
    sentence = "That code does not count. Look at the latest letter, or ask for another code."


class TooMany(AparteError):
    code = "too_many"
    status = 429
    close = 4429
    sentence = "That was too many in a short time. Wait a moment, then go on."


class ChecksPaused(TooMany):
    code = "checks_paused"
    sentence = "Codes are paused for some minutes. You can telephone the desk meanwhile."


class Unavailable(AparteError):
    code = "unavailable"
    status = 503
    close = 1013
    sentence = "This is not available now. Nothing was lost; it goes on when it can."


class StoreDown(Unavailable):
    code = "store_down"
    sentence = "Messages cannot be stored now. Yours is kept on your screen and sent again by itself."


class RecordsDown(Unavailable):
    code = "records_down"
    sentence = "The booking system does not answer. Try again in a moment."


class MailDown(Unavailable):
    code = "mail_down"
    sentence = "The mail server does not take letters now. The letter is kept and tried again."


class MailDeferred(MailDown):
    code = "mail_deferred"
    sentence = "This one letter has to wait. It is tried again."


class MailRefused(AparteError):
    code = "mail_refused"
    status = 422
    sentence = "The letter cannot be delivered to this address. Use another way to reach the person."


class Unreadable(AparteError):
    code = "unreadable"
    sentence = "This cannot be authenticated and is not shown."


class WrongKey(AparteError):
    code = "wrong_key"
    sentence = "The root key is not the one this installation was made with. Put the right key back."
