"""Checks a request once more right before it is sent, and completes it: anybody may have inserted it, with anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from heartbrain_ingest.postprocessing.catalogue import as_text, choose, fill_parameters, misfits
from heartbrain_ingest.postprocessing.errors import NotSendableError, ParametersError, UnknownFunctionError
from heartbrain_ingest.postprocessing.exchange import Prepared
from heartbrain_ingest.postprocessing.inputs import InputReader, job_names
from heartbrain_ingest.postprocessing.requests import Request
from hpc_bridge.protocol import Description


class LinkAheadDesk:
    """Prepares requests of LinkAhead.

    Parameters
    ----------
    catalogue
        Gives what can be run; asked once.
    reader
        Finds the files of the inputs.
    default_project
        Project of the result when the inputs have none, or several.
    """

    def __init__(
        self, *, catalogue: Callable[[], list[Description]], reader: InputReader, default_project: str
    ) -> None:
        self._ask = catalogue
        self._catalogue: list[Description] | None = None
        self._reader = reader
        self._default_project = default_project

    def prepare(self, request: Request) -> Prepared:
        """Give what is to be sent.

        Raises
        ------
        NotSendableError
            In plain words.
        UnavailableFunctionError
            When the computing centre can't run the function at the moment.
        """
        if self._catalogue is None:
            self._catalogue = self._ask()
        if not request.function:
            raise NotSendableError("The request names no function.")
        if not request.inputs:
            raise NotSendableError("The request names no inputs.")
        try:
            function = choose(self._catalogue, request.function, request.version)
            parameters = fill_parameters(function, _parse(request.parameters))
        except (UnknownFunctionError, ParametersError) as problem:
            raise NotSendableError(str(problem)) from None
        found = self._reader.read(request.inputs)
        if missing := [number for number in request.inputs if number not in found]:
            raise NotSendableError(f"Inputs are not in LinkAhead any more: {', '.join(map(str, missing[:5]))}.")
        records = [found[number] for number in request.inputs]
        if problems := misfits(function, records, self._reader):
            raise NotSendableError(f"{'; '.join(map(str, problems[:5]))}. Correct it and set the status to `retry`.")
        projects = {record.project for record in records if record.project}
        return Prepared(
            version=function.version,
            parameters_text=as_text(parameters),
            parameters=parameters,
            inputs={name: file.path for name, file in job_names(records).items()},
            project=projects.pop() if len(projects) == 1 else self._default_project,
        )


def _parse(text: str) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        parameters = json.loads(text)
    except ValueError:
        raise ParametersError("they are not JSON") from None
    if not isinstance(parameters, dict):
        raise ParametersError("they are no JSON object")
    return parameters
