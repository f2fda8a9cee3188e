# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How PostgreSQL's client programs are run: who they are, whom they reach, and how they learn the password.

Everything that libpq has to know comes by the environment, which is made anew (see "Environment Variables" in the
manual's chapter on libpq). The password does not: it stands in a file that has no name in any directory, which the
program inherits and reaches as its own descriptor.
"""

from __future__ import annotations

import glob
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time

from ..system.accounts import find_user
from ..system.errors import ConfigurationError, SourceError
from ..system.files import in_memory
from ..system.process import as_program, identity_of
from .complaints import Answerer, explain, gist, has_error, warnings_of

APPLICATION = "appstate-backup"
CONNECT_SECONDS = 20
# What a program says on its standard error is kept up to here.
MOST_SAID = 1 << 20
# Where Debian keeps each version's programs; on the PATH there is a script that chooses one by rules of its own.
VERSIONS = "/usr/lib/postgresql/*/bin"
SEARCHED = "/usr/local/bin:/usr/bin:/bin"


class Server:
    """One server as an operator describes it, and the database there that is the source.

    Args:
        source: has ``database``, ``host``, ``port``, ``user``, ``password``, ``password_file``, ``sslmode`` and
            ``run_as``.

    Raises:
        ConfigurationError: the account of ``run_as`` is unknown, or cannot be taken on.
        SourceError: the file with the password cannot be read.
    """

    def __init__(self, source):
        self._source = source
        self.identity = _identity(source.run_as)
        self._password = _password(source)

    def answerer(self, database=None):
        """Whom errors are about; see ``complaints``."""
        source = self._source
        name = database or source.database
        where = ", ".join(["the local socket" if not source.host or source.host.startswith("/") else source.host]
                          + (["port %d" % source.port] if source.port else []))
        return Answerer("the PostgreSQL database %s" % name, where, source.user or self._account().pw_name, name)

    def start(self, program, arguments, database, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, major=None,
              doing="be reached"):
        """Starts a client program.

        Args:
            program: ``psql``, ``pg_dump`` or ``pg_restore``.
            database: the name of the one that it connects to, unless its arguments say otherwise.
            stdin, stdout: as subprocess has them.
            major: of the server's version, where the program's should be the same.
            doing: what errors say cannot be done.

        Returns:
            A Program.
        """
        secret = None if self._password is None else _secret(self._password, self.identity)
        try:
            return Program([find_program(program, major)] + list(arguments), self._environment(database, secret),
                           self.identity, stdin, stdout, () if secret is None else (secret,),
                           self.answerer(database), doing)
        finally:
            if secret is not None:
                os.close(secret)

    def _environment(self, database, secret):
        source, account = self._source, self._account()
        told = {"PATH": os.environ.get("PATH", SEARCHED), "HOME": account.pw_dir, "USER": account.pw_name,
                "LC_ALL": "C", "PGCLIENTENCODING": "UTF8", "PGAPPNAME": APPLICATION, "PGDATABASE": database,
                "PGCONNECT_TIMEOUT": str(CONNECT_SECONDS), "PGHOST": source.host, "PGUSER": source.user,
                "PGPORT": None if source.port is None else str(source.port), "PGSSLMODE": source.sslmode,
                "PGPASSFILE": None if secret is None else "/proc/self/fd/%d" % secret}
        return {key: value for key, value in told.items() if value is not None}

    def _account(self):
        try:
            return pwd.getpwuid(os.geteuid() if self.identity is None else self.identity.uid)
        except KeyError:
            raise ConfigurationError("the account that asks PostgreSQL has no name on this host",
                                     remedy="Set 'run_as' to one that has")


class Program:
    """A client program that runs. Use it as a context manager, so that none is left over."""

    def __init__(self, argv, environment, identity, stdin, stdout, inherited, answerer, doing):
        self._answerer = answerer
        self._doing = doing
        self._name = os.path.basename(argv[0])
        self._kept = ""
        self._said = tempfile.TemporaryFile()
        try:
            # The engine is also used without Ansible, whose run_command cannot feed a program bit by bit.
            self.process = subprocess.Popen(argv, stdin=stdin, stdout=stdout,  # pylint: disable=ansible-bad-function
                                            stderr=self._said, env=environment, cwd="/", pass_fds=inherited,
                                            start_new_session=True, preexec_fn=as_program(identity))
        except OSError as error:
            self._said.close()
            raise SourceError("%s could not be started: %s" % (argv[0], error.strerror))
        except BaseException:
            self._said.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.kill()

    def wait(self, deadline):
        """Waits until it has ended well.

        Args:
            deadline: by ``time.monotonic()``; then it is killed.

        Returns:
            What it warned of, as texts.

        Raises:
            AppStateError: it ended with another status than 0, complained of an error, or took too long.
        """
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill()
            raise SourceError("%s cannot %s: %s did not end in time and was killed" % (
                self._answerer.title, self._doing, self._name), remedy="Give it more time by 'timeout'")
        said = self.said()
        if self.process.returncode or has_error(said):
            raise self.failure()
        return warnings_of(said)

    def failure(self):
        """The error that its end amounts to."""
        said = self.said()
        code = self.process.returncode
        if not gist(said):
            how = "was killed by signal %d" % -code if code is not None and code < 0 else "ended with status %s" % code
            return SourceError("%s cannot %s: %s %s" % (self._answerer.title, self._doing, self._name, how))
        return explain(said, self._answerer, self._doing)

    def said(self):
        """What it said on its standard error so far: the end of it, where that is very long."""
        if self._said.closed:
            return self._kept
        size = os.fstat(self._said.fileno()).st_size
        return os.pread(self._said.fileno(), MOST_SAID, max(0, size - MOST_SAID)).decode("utf-8", "backslashreplace")

    def kill(self):
        """Ends it at once, with all that it started, if it has not ended."""
        if self.process.poll() is None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    continue  # What was not written yet is of no use any more.
        self._kept = self.said()
        self._said.close()


def find_program(name, major=None):
    """The path of a client program: of a version as new as the server, or else the newest there is.

    A dump by a newer pg_dump may set what an older server does not know; an older one refuses a newer server.

    Raises:
        ConfigurationError: it is not installed.
    """
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":" + SEARCHED)
    if found is not None and not os.path.realpath(found).endswith("/pg_wrapper"):
        return found
    versions = {int(re.sub(r"\D.*", "", folder.split("/")[-2]) or 0): os.path.join(folder, name)
                for folder in glob.glob(VERSIONS) if os.access(os.path.join(folder, name), os.X_OK)}
    if not versions:
        raise ConfigurationError("%s is not installed on this host" % name,
                                 remedy="Install the package postgresql-client")
    newer = sorted(version for version in versions if major is not None and version >= major)
    return versions[newer[0] if newer else max(versions)]


def _identity(run_as):
    if run_as is None:
        return None
    uid = find_user(run_as)
    if os.geteuid() != 0:
        if uid == os.geteuid():
            return None
        raise ConfigurationError("'run_as' is %s, which only root can become" % run_as, remedy="Run this as root")
    try:
        return identity_of(uid, pwd.getpwuid(uid).pw_gid)
    except KeyError:
        raise ConfigurationError("'run_as' is %s, which is no account of this host" % run_as)


def _password(source):
    if source.password_file is None:
        return source.password
    try:
        with open(source.password_file, encoding="utf-8") as stream:
            password = stream.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError("the password cannot be read: %s" % (getattr(error, "strerror", None) or "it is no text"),
                          path=source.password_file, remedy="Correct 'password_file'")
    if not password:
        raise SourceError("has no password in its first line", path=source.password_file)
    return password


def _secret(password, identity):
    """A descriptor of a password file, as "The Password File" in the manual has it, that lies in memory alone."""
    if re.search("[\r\n\0]", password):
        raise ConfigurationError("'password' is more than one line, which PostgreSQL's password file cannot hold")
    # libpq ignores a file that others may read, and opens this one as the account that it runs as.
    descriptor = in_memory(APPLICATION, b"*:*:*:*:" + re.sub(r"([\\:])", r"\\\1", password).encode("utf-8") + b"\n")
    try:
        if identity is not None:
            os.fchown(descriptor, identity.uid, identity.gid)
        return descriptor
    except BaseException:
        os.close(descriptor)
        raise
