# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ``appstate-backup`` understands on its command line, and its help."""

from __future__ import annotations

import argparse

from . import configuration
from .operations.drill import LATEST
from .operations.verify import LEVELS

VERSION = "0.1.0"
DESCRIPTION = """\
Backs up, verifies and restores the state of the applications that are described in
/etc/appstate-backup/apps.d, one JSON file each. Backups are consistent while the
application runs, and are read back before they count."""
EPILOG = """\
examples:
  appstate-backup run                         back up every app, prune, report
  appstate-backup list scriptor               what there is, newest first
  appstate-backup verify scriptor             prove that the newest can be restored
  appstate-backup drill scriptor              rehearse the restore, and measure it
  appstate-backup restore scriptor --before 2026-11-19T03:00:00Z
  appstate-backup restore scriptor --remote offsite --identity -
  appstate-backup rollback scriptor           put back what was there before
  appstate-backup commit scriptor             or delete it

exit status:
  0  done        1  failed      3  done, but something could not be read
  75 locked, or a process holds the database    78 configuration, or a newer format

files:
  /etc/appstate-backup/apps.d/APP.json        what to do
  /var/lib/appstate-backup/status/APP.json    how the last run ended
  /var/lib/appstate-backup/drills/APP.json    what drills found
  /var/lib/appstate-backup/audit.jsonl        who did what, and when"""


def parser():
    """What the command understands; ``action`` is the name of what it is to do."""
    whole = argparse.ArgumentParser(prog="appstate-backup", description=DESCRIPTION, epilog=EPILOG,
                                    formatter_class=argparse.RawDescriptionHelpFormatter)
    whole.add_argument("--version", action="version", version=VERSION)
    whole.add_argument("--config", metavar="DIR", default=configuration.DIRECTORY, help="where apps are described")
    whole.add_argument("--state-directory", metavar="DIR", help="where status, audit log and journals are")
    whole.add_argument("--lock-directory", metavar="DIR", help="where locks are")
    commands = whole.add_subparsers(dest="action", metavar="COMMAND")
    commands.required = True
    _many(commands, "run", "back up, verify, prune, report").add_argument(
        "--accept-shrink", action="store_true", help="take what databases hold now as right")
    _at_remote(_many(commands, "list", "list backups, newest first"))
    pruner = _many(commands, "prune", "remove backups that the rules do not keep")
    pruner.add_argument("-n", "--dry-run", action="store_true",
                        help="only say what would be removed, and why the others stay")
    pruner.add_argument("--remote", metavar="NAME", help="at one of the app's remotes")
    _many(commands, "check", "look at configuration, paths and the age of backups")
    validator = _command(commands, "validate", "look whether a file can be an app's configuration")
    validator.add_argument("file", metavar="FILE")
    validator.add_argument("--as", dest="account", metavar="USER", help="look also whether this user, and not root, can back the app up")
    verifier = _one(commands, "verify", "prove that a backup is good")
    verifier.add_argument("--level", choices=LEVELS, default="content")
    _choosing(verifier)
    driller = _many(commands, "drill", "rehearse a restore in scratch space, and measure it")
    driller.add_argument("--id", metavar="ID", default=LATEST, help="a backup's id, or 'random'; the newest good one by default")
    driller.add_argument("--within", metavar="TIME", help="with --id random, the time that it is chosen from, as 30d")
    _archived(driller)
    restorer = _one(commands, "restore", "restore in one safe step")
    _choosing(restorer)
    restorer.add_argument("--validate-only", action="store_true", help="extract and validate, then remove it again")
    restorer.add_argument("--target-root", metavar="DIR", help="restore to another directory than the app's root")
    restorer.add_argument("--only", metavar="PATH", action="append", default=[], help="some paths alone (may be repeated)")
    restorer.add_argument("--force", action="store_true", help="although an earlier restore waits for its commit")
    for name, text in (("commit", "delete what the last restore set aside"), ("rollback", "put back what the last restore set aside")):
        _one(commands, name, text).add_argument("--target-root", metavar="DIR", help="where it restored to")
    holder = _one(commands, "hold", "keep a backup whatever the rules say")
    holder.add_argument("id", metavar="ID")
    holder.add_argument("--reason", default="", help="why, for whoever finds it")
    _one(commands, "release", "take a hold away").add_argument("id", metavar="ID")
    return whole


def _many(commands, name, text):
    parser = _command(commands, name, text)
    parser.add_argument("apps", metavar="APP", nargs="*", help="all apps where none is named")
    return parser


def _one(commands, name, text):
    parser = _command(commands, name, text)
    parser.add_argument("app", metavar="APP")
    return parser


def _command(commands, name, text):
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.add_argument("--json", action="store_true", help="the result as JSON on standard output")
    return parser


def _choosing(parser):
    parser.add_argument("--id", metavar="ID", default="latest", help="a backup's id; the newest good one by default")
    parser.add_argument("--before", metavar="TIME", help="the newest at or before a time, as 2026-11-19T03:00:00Z")
    _archived(parser)


def _archived(parser):
    parser.add_argument("--archive", metavar="FILE", help="an archive, also one that an old shell script made")
    _at_remote(parser)
    parser.add_argument("--identity", metavar="FILE", help="the secret key that opens an encrypted archive; - reads it from "
                                                           "standard input")


def _at_remote(parser):
    parser.add_argument("--remote", metavar="NAME", help="one of the app's remotes, instead of the destination")
    parser.add_argument("--remote-host", metavar="HOST", help="whose backups are meant there; this host's by default")
