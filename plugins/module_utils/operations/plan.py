# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of an archive goes where: the targets of a restore.

For our own backups the manifest says it. For an archive of an old shell recipe the app does: each member has to lie
where a source is, and a database that lies elsewhere is matched when there is only one way to match it. That happens:
GNU tar takes the leading slash off a snapshot's name before its ``--transform`` is applied, so recipes that rename
``/tmp/…snapshot`` leave the database under ``tmp/`` and a restore by hand then restores none.
"""

from __future__ import annotations

from ..archive.members import shown
from ..archive.reader import entries
from ..sources.sqlite import sidecars_of
from ..system import files
from ..system.errors import RestoreError


class Target:
    """A path below the root that a restore replaces as a whole.

    Attributes:
        path: text, relative to the root.
        type: of its source.
        present: whether the backup has it; False where it did not exist when the backup was taken.
        recorded: the passport of a database, or None.
    """

    def __init__(self, path, type, present=True, recorded=None):
        self.path = path
        self.type = type
        self.present = present
        self.recorded = recorded

    @property
    def sidecars(self):
        """Relative paths that are moved aside with it."""
        return sidecars_of(self.path) if self.type == "sqlite" else []

    def holds(self, path):
        """Whether a member's path (bytes) is this target, or lies below it."""
        own = files.as_bytes(self.path)
        return path == own or path.startswith(own + b"/")

    def has_inside(self, path):
        """Whether the backup can have something at a path (text) below this one."""
        return self.type == "files" and self.present and path.startswith(self.path + "/")


class Plan:
    """Targets, and where each member of the archive belongs.

    Attributes:
        targets: those to restore.
        warnings: what the operator should know of the way it was made.
    """

    def __init__(self, targets, moved=None, warnings=()):
        self.targets = targets
        self._moved = moved or {}
        self.warnings = list(warnings)

    def place(self, member_path):
        """The path below the root of a member, or None where it is not restored."""
        path = self._moved.get(member_path, member_path)
        return path if path is not None and any(target.holds(path) for target in self.targets) else None

    def outermost(self):
        """The targets that lie in no other: a directory takes what is in it along."""
        return [target for target in self.targets
                if not any(other is not target and other.present and other.holds(files.as_bytes(target.path))
                           for other in self.targets)]

    def databases(self):
        """The targets that are databases and that the backup has."""
        return [target for target in self.targets if target.type == "sqlite" and target.present]

    def narrowed(self, only, app_name):
        """The plan for some members alone.

        Raises:
            RestoreError: the backup has nothing at one of these paths.
        """
        if not only:
            return self
        chosen = {}
        for wanted in ("/".join(part for part in item.split("/") if part not in ("", ".")) for item in only):
            found = [target for target in self.targets if (target.path + "/").startswith(wanted + "/")]
            if wanted not in [target.path for target in found] and any(each.has_inside(wanted) for each in self.targets):
                found.append(Target(wanted, "files"))
            if not found:
                raise RestoreError("the backup has nothing at %r" % wanted, app=app_name,
                                   remedy="It has: %s" % ", ".join(target.path for target in self.targets))
            chosen.update((target.path, target) for target in found)
        return Plan(list(chosen.values()), self._moved, self.warnings)


def plan_of_manifest(app, manifest):
    """The Plan for a backup of ours."""
    targets, warnings = [], []
    for source in manifest.sources:
        recorded = source.get("passport") if source["type"] == "sqlite" else None
        targets.append(Target(source["path"], source["type"], source["present"], recorded))
        if app.source_at(source["path"]) is None:
            warnings.append("%s is in the backup, but is no source of the app any more; it is restored too"
                            % source["path"])
    known = {target.path for target in targets}
    warnings.extend(_untold(source.path, targets) for source in app.sources if source.path not in known)
    return Plan(targets, warnings=warnings)


def _untold(path, targets):
    """What becomes of a source that the backup does not tell of."""
    for target in targets:
        if target.has_inside(path):
            return "%s was no source when the backup was taken, so it is restored as a part of %s" % (path, target.path)
    return "%s is not in the backup, so it stays as it is" % path


def plan_of_contents(app, contents):
    """The Plan for an archive without a manifest, after a first reading.

    Raises:
        RestoreError: it cannot be told where a database belongs, or nothing belongs anywhere.
    """
    matching = _Matching(app, contents)
    matching.by_path()
    matching.by_content()
    return matching.plan()


class _Matching:
    """Brings the members of an old archive and the sources of an app together."""

    def __init__(self, app, contents):
        self._app = app
        self._contents = contents
        self._root = files.as_bytes(app.root).strip(b"/") + b"/"
        self._moved = {}
        self._found = {}
        self._warnings = []
        self._strays = 0

    def by_path(self):
        """Members that lie where a source is, below the root or with the root's own path in front."""
        for member in entries(self._contents.lines):
            path = member.path[len(self._root):] if member.path.startswith(self._root) else member.path
            source = self._source_of(path)
            if source is None:
                self._strays += member.path not in self._contents.marked
                continue
            self._moved[member.path] = None if path.endswith(b"-shm") and source.type == "sqlite" else path
            self._found[source.path] = source

    def _source_of(self, path):
        for source in self._app.sources:
            own = files.as_bytes(source.path)
            if path == own or (source.type == "files" and path.startswith(own + b"/")):
                return source
            if source.type == "sqlite" and path in [files.as_bytes(item) for item in sidecars_of(source.path)]:
                return source
        return None

    def by_content(self):
        """A database that lies elsewhere, where it can belong to one source only."""
        missing = [source for source in self._app.sources if source.type == "sqlite" and not self._has(source)]
        strays = [path for path in self._contents.marked if self._moved.get(path) is None]
        if len(missing) == 1 and len(strays) == 1:
            source, path = missing[0], strays[0]
            self._moved[path] = files.as_bytes(source.path)
            self._found[source.path] = source
            self._warnings.append("%s in the archive is taken as %s" % (shown(path), source.path))
        elif missing and strays:
            raise RestoreError("the archive has %s, and it cannot be told which one is %s"
                               % (", ".join(shown(path) for path in strays[:5]), missing[0].path), app=self._app.name,
                               remedy="Restore it by hand, or extract it and name the database as the archive")

    def _has(self, source):
        return files.as_bytes(source.path) in self._moved.values()

    def plan(self):
        for source in self._app.sources:
            if source.type == "sqlite" and source.required and not self._has(source):
                raise RestoreError("the archive has no database for %s" % source.path, app=self._app.name,
                                   remedy="List it with tar -t; it may be an archive of something else")
        if not self._found:
            raise RestoreError("nothing in the archive belongs to a source of the app", app=self._app.name)
        self._warnings.extend("%s is not in the archive, so it stays as it is" % source.path
                              for source in self._app.sources if source.path not in self._found)
        if self._strays:
            self._warnings.append("%d members of the archive belong to no source and are not restored" % self._strays)
        moved = {path: self._moved.get(path) for path in self._moved}
        return Plan([Target(source.path, source.type) for source in self._found.values()], moved, self._warnings)
