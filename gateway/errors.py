"""The words in which the gateway says that something cannot be done. No HTTP here."""


class GatewayError(Exception):
    """A full sentence that is safe to show to the caller."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class Invalid(GatewayError):
    """The input is wrong. `fields` names each wrong field with its own sentence."""

    def __init__(self, sentence: str, fields: dict[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.fields = fields or {}


class NotFound(GatewayError):
    """There is no such thing, or not for this caller."""


class Conflict(GatewayError):
    """The thing exists in a state that does not allow this."""


class Unauthorized(GatewayError):
    """The caller is not logged in, or the token is wrong."""


class Forbidden(GatewayError):
    """The caller is known but not allowed to do this."""


class TooLarge(GatewayError):
    """More bytes than the limit that the sentence names."""


class TooSlow(GatewayError):
    """The caller took longer than the time limit that the sentence names."""


class TooMany(GatewayError):
    """More than the limit on what one caller, or all of them, may do at once. May succeed after `retry_seconds`."""

    def __init__(self, sentence: str, retry_seconds: float) -> None:
        super().__init__(sentence)
        self.retry_seconds = retry_seconds


class Unsupported(GatewayError):
    """What was sent is of a kind that is not supported here."""


class Unavailable(GatewayError):
    """An engine is away. The same call may succeed later."""


class Unanswered(Unavailable):
    """An engine is away, and the call may have had its effect nevertheless."""


class ConfigError(GatewayError):
    """The configuration is wrong: the gateway does not start."""


class PortTaken(ConfigError):
    """Another program listens on one of our ports. It may end, so the same call may succeed later."""


class LaunchRefused(GatewayError):
    """The launcher did not start a builder. `final` means that another try cannot help."""

    def __init__(self, sentence: str, *, final: bool = False) -> None:
        super().__init__(sentence)
        self.final = final
