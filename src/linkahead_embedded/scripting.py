"""Scripts on the server: those in one folder that the operator named, and no others."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import access
from .auth import Gate
from .errors import Code, RequestError
from .exchange import Call, Response, answer
from .files import is_file
from .storage import Database
from .xml_codec import escape

TIMEOUT_S = 120.0
MAX_OUTPUT = 1 << 20
_PERMISSION = "SCRIPTING:EXECUTE:"
_OPTION = re.compile(r"-O([A-Za-z0-9][\w.-]{0,99})", re.ASCII)
_POSITION = re.compile(r"-p(\d{1,4})", re.ASCII)
_UPLOADS = ".upload_files"
_MAX_NAME = 255


class ScriptingApi:
    """Runs scripts. Without a folder there are none."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._gate = Gate(database)
        self.folder: Path | None = None

    def run(self, call: Call) -> Response:
        """POST scripting: `call` is the path of a script in the folder, `-p0`.. and `-O<key>` are its arguments."""
        form = call.form
        name = form.get("call", "")
        with self._database.read() as connection:
            if not access.may(connection, call.user, _PERMISSION + name):
                status = 401 if call.user.is_anonymous else 403
                raise RequestError(status, f"You are not permitted to run '{name[:200]}'.", Code.NOT_PERMITTED)
        script = self._script(name)
        with tempfile.TemporaryDirectory(prefix="linkahead-script-") as home:
            arguments = self._arguments(call, form, Path(home))
            token = self._gate.token(call.user.name)
            secret = [f"--auth-token={token}"] if token is not None else []
            code, out, err = _execute([str(script), *secret, *arguments], Path(home))
        shown = " ".join([name, *arguments])
        texts = f"<call>{escape(shown)}</call><stdout>{escape(out)}</stdout><stderr>{escape(err)}</stderr>"
        return answer(call.user, [f'<script code="{code}">{texts}</script>'])

    def _script(self, name: str) -> Path:
        if self.folder is None:
            raise RequestError(
                501, "The embedded LinkAhead runs scripts only if it is started with a folder of them.", 15
            )
        root = self.folder.resolve()
        script = (root / name.lstrip("/")).resolve() if name and name.isprintable() else root
        if not script.is_relative_to(root) or not is_file(script) or not os.access(script, os.X_OK):
            raise RequestError(404, f"There is no script '{name[:200]}'.", Code.NO_FILE)
        return script

    @staticmethod
    def _arguments(call: Call, form: dict[str, str], home: Path) -> list[str]:
        values = {key: value for key, value in form.items() if key != "call"}
        for upload in call.request.uploads.values():
            name = Path(upload.name).name
            if upload.path is None or not name.isprintable() or not 0 < len(name.encode()) <= _MAX_NAME:
                raise RequestError(400, "The name of an uploaded file is not acceptable.")
            (home / _UPLOADS).mkdir(exist_ok=True)
            shutil.copyfile(upload.path, home / _UPLOADS / name)
            values[upload.part] = f"{_UPLOADS}/{name}"
        options: list[str] = []
        positions: dict[int, str] = {}
        for key, value in values.items():
            if option := _OPTION.fullmatch(key):
                options.append(f"--{option[1]}={value}")
            elif position := _POSITION.fullmatch(key):
                positions[int(position[1])] = value
            else:
                raise RequestError(400, f"Unknown argument '{key[:80]}' for a script.")
        arguments = [*options, *(positions[one] for one in sorted(positions))]
        if any("\0" in one for one in arguments):
            raise RequestError(400, "An argument of a script has a null character.")
        return arguments


def _execute(command: list[str], home: Path) -> tuple[int, str, str]:
    """Run a script in a home of its own, with none of the server's environment but the path of programs."""
    variables = {"HOME": str(home), "PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
    with (home / ".stdout").open("w+b") as out, (home / ".stderr").open("w+b") as err:
        try:
            done = subprocess.run(
                command, cwd=home, env=variables, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                timeout=TIMEOUT_S, check=False,
            )  # fmt: skip
            code, remark = done.returncode, ""
        except subprocess.TimeoutExpired:
            code, remark = 124, f"The script was stopped after {TIMEOUT_S:g} s.\n"
        except OSError as problem:
            code, remark = 126, f"The script can't be run: {problem.strerror}.\n"
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read(MAX_OUTPUT).decode("utf-8", "replace"))
    return code, texts[0], texts[1] + remark
