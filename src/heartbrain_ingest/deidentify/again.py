"""Apply stricter rules to what is de-identified already: what was keyed stays, what shall go goes."""

from __future__ import annotations

from heartbrain_ingest.deidentify.deidentifier import Deidentifier, place_of
from heartbrain_ingest.deidentify.identifiers import Identifiers
from heartbrain_ingest.deidentify.pseudonyms import Pseudonyms, Subject
from heartbrain_ingest.deidentify.rules import Rules
from heartbrain_ingest.deidentify.table import Action
from heartbrain_ingest.dicom import DicomFile, DicomFileError
from heartbrain_ingest.dicom.encoding import EncodingError

#: Doing these twice would give another pseudonym, another day, another UID.
_DONE = (Action.SHIFT, Action.REMAP, Action.SUBJECT, Action.DEVICE)


class Tightener(Deidentifier):
    """De-identifies by the rules of now what was de-identified by those of then.

    What rules of now would keep and those of then took away can't come back.
    """

    def __init__(self, rules: Rules, pseudonyms: Pseudonyms) -> None:
        super().__init__(rules, pseudonyms)
        self._handlers |= dict.fromkeys(_DONE, lambda _session, _place, _vr, value: value)

    def tighten(self, file: DicomFile, subject: Subject, identifiers: Identifiers) -> bytes | None:
        """Give the bytes of a stricter file; None where the rules of now change nothing.

        Parameters
        ----------
        file
            De-identified, as `dicom.read` gives it.
        subject
            Whose it is.
        identifiers
            All that identifies people in the headers that it was made of, as far as it is known.

        Raises
        ------
        DicomFileError
            A sequence in it can't be taken apart.
        """
        session = self._session(subject, identifiers)
        place = place_of(file.encoding, file.charsets)
        tokens = [file.elements[tag] for tag in sorted(file.elements)]
        try:
            elements = dict(self._elements(session, place, file.data, tokens))
        except EncodingError as error:
            raise DicomFileError(f"a sequence is damaged: {error}") from error
        before = memoryview(file.data)
        if len(elements) == len(tokens) and all(
            elements.get(token.tag) == before[token.start : token.end] for token in tokens
        ):
            return None
        self._stamp(elements, session, place)
        return b"".join((self._opening(file, elements, place), *(elements[tag] for tag in sorted(elements))))
