"""What can stop a request or an exchange. A class docstring is the message that a person reads."""

from __future__ import annotations

from heartbrain_ingest.errors import HeartbrainError


class BridgeSettingsError(HeartbrainError):
    """The bridge is not set up: correct the part `bridge` of the settings file."""


class UnknownFunctionError(HeartbrainError):
    """The computing centre does not offer this: `heartbrain run --list` shows what can be run."""


class UnavailableFunctionError(HeartbrainError):
    """The computing centre can't run this at the moment: tell who runs its agent what is missing."""


class ParametersError(HeartbrainError):
    """The parameters do not fit the function: `heartbrain run FUNCTION --show` describes them."""


class NotSendableError(HeartbrainError):
    """The request can't be sent; the text says what is missing. Correct it and set its status to `retry`."""
