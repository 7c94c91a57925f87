"""The exceptions of the bridge. A class docstring is the message an operator reads: it says what to do next."""

from __future__ import annotations


class BridgeError(Exception):
    """The bridge can't go on; the text in brackets says what is wrong."""

    def __init__(self, detail: str = "") -> None:
        """Join the class docstring and the detail of this case."""
        advice = " ".join((type(self).__doc__ or "").split())
        super().__init__(f"{advice} ({detail})" if detail else advice)
        self.detail = detail


class TransitionError(BridgeError):
    """The event can't happen to a job in that state: another party wrote first, so read the job's events again."""


class LostRaceError(BridgeError):
    """Another writer won this number: nothing was changed, read the job's events again."""


class RefusedError(BridgeError):
    """The job's specification is refused: correct the request and send it again."""


class SignatureError(RefusedError):
    """The signature does not hold: compare the public key on the other side's list with this site's key file."""


class ParameterError(RefusedError):
    """The parameters do not fit the function: compare them with the function's catalogue entry."""


class DocumentError(BridgeError):
    """A document in the bucket can't be read: it was altered, or written by another version of the bridge."""


class GoneError(DocumentError):
    """The job's events are gone: another exchange has closed it, so nothing is left to do."""


class VerificationError(BridgeError):
    """A file is not what its list says: nothing of it was used; the next tick or exchange fetches it again."""


class BucketError(BridgeError):
    """The bucket did not do what was asked: check address, bucket name and credentials with `hpc-bridge doctor`."""


class UnclearError(BucketError):
    """The bucket did not answer: whether the request took effect is unknown; the next tick finds out."""


class DeniedError(BucketError):
    """The bucket refuses the credentials: renew them, and look at the clock of this machine."""


class TooLargeError(BucketError):
    """An object is larger than its limit: it was not read."""


class UnsuitableBucketError(BucketError):
    """The bucket can't carry the protocol: take an unversioned bucket of a store that lists what it just stored."""


class SchedulerError(BridgeError):
    """The batch system refused the command; its own words follow."""


class SchedulerBusyError(SchedulerError):
    """The batch system takes no more jobs of this user now: the next tick tries again."""


class SchedulerUnavailableError(SchedulerError):
    """The batch system does not answer: nothing is concluded about any job; the next tick asks again."""


class CatalogueError(BridgeError):
    """A function's entry can't be used: correct the named place in its function.yml."""


class SettingsError(BridgeError):
    """The agent's settings can't be used: correct the named entry in config.yml, or run `hpc-bridge init`."""


class SpaceError(BridgeError):
    """There is not enough room in scratch: free space, or lower limits.free_bytes in config.yml; the job waits."""
