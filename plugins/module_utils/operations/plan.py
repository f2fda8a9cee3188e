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

from ..archive.members import DIRECTORY, shown
from ..archive.reader import entries
from ..sources.checking import checks_of, kind_of, record_of
from ..sources.sqlite import paths_of, sidecars_of
from ..sources.stores import is_store
from ..system import files
from ..system.errors import RestoreError


class Target:
    """A path below the root that a restore replaces as a whole; or a store that it fills with what lies there.

    Attributes:
        path: text, relative to the root.
        type: of its source.
        present: whether the backup has it; False where it did not exist when the backup was taken.
        record: what the manifest says of its source; for an archive without one, what the app does.
        source: the app's source at that path, or None.
        stored: whether a Store restores it.
    """

    def __init__(self, path, type, present=True, record=None, source=None, stored=False):
        self.path = path
        self.type = type
        self.present = present
        self.record = record
        self.source = source
        self.stored = stored

    @property
    def is_database(self):
        """Whether it is put in place as a SQLite database, with sidecars."""
        return not self.stored and (self.type == "sqlite" or bool(self.record and self.record.get("format") == "sqlite"))

    @property
    def sidecars(self):
        """Relative paths that are moved aside with it."""
        own = [self.path + ending for ending in getattr(self.source, "sidecars", ())]
        return sidecars_of(self.path) + own if self.is_database else []

    def holds(self, path):
        """Whether a member's path (bytes) is this target, lies below it, or is a sidecar of it."""
        own = files.as_bytes(self.path)
        if self.is_database:
            return path == own or path in [files.as_bytes(sidecar) for sidecar in self.sidecars]
        return path == own or path.startswith(own + b"/")

    def has_inside(self, path):
        """Whether the backup can have something at a path (text) below this one."""
        return self.type == "files" and self.present and path.startswith(self.path + "/")

    def checks(self):
        """The Checks of what the backup has of it."""
        return checks_of(self.record, self.source) if self.present and self.record else []


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
        """The targets that are renamed into place: they lie in no other, which takes what is in it along."""
        placed = [target for target in self.targets if not target.stored]
        return [target for target in placed
                if not any(other is not target and other.present and other.holds(files.as_bytes(target.path))
                           for other in placed)]

    def stored(self):
        """The targets that a Store restores, and that the backup has."""
        return [target for target in self.targets if target.stored and target.present]

    def checks(self):
        """The Checks of all targets."""
        return [check for target in self.targets for check in target.checks()]

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
            named = any(target.path == wanted for target in found)
            if not named and any(target.has_inside(wanted) for target in self.targets):
                found.append(Target(wanted, "files"))
            if not found:
                raise RestoreError("the backup has nothing at %r" % wanted, app=app_name,
                                   remedy="It has: %s" % ", ".join(target.path for target in self.targets))
            chosen.update((target.path, target) for target in found)
        return Plan(list(chosen.values()), self._moved, self.warnings)


def plan_of_manifest(app, manifest, stores=True):
    """The Plan for a backup of ours; without ``stores``, what belongs in them is put below the root as files."""
    targets, warnings = [], []
    if manifest.app != app.name:
        warnings.append("the archive is a backup of the app %s" % manifest.app)
    for record in manifest.sources:
        source = app.source_at(record["path"])
        targets.append(Target(record["path"], record["type"], record["present"], record, source,
                              stores and is_store(source) and source.type == record["type"]))
        if targets[-1].stored and not record["present"]:
            warnings.append("%s did not exist when the backup was taken; what there is now stays as it is" % record["path"])
        if source is None:
            warnings.append("%s is in the backup, but is no source of the app any more; it is restored too"
                            % record["path"])
    known = {target.path for target in targets}
    warnings.extend(_untold(source.path, targets) for source in app.sources if source.path not in known)
    return Plan(targets, warnings=warnings)


def _untold(path, targets):
    """What becomes of a source that the backup does not tell of."""
    for target in targets:
        if target.has_inside(path):
            return "%s was no source when the backup was taken, so it is restored as a part of %s" % (path, target.path)
    return "%s is not in the backup, so it stays as it is" % path


def plan_of_contents(app, contents, stores=True, some=False):
    """The Plan for an archive without a manifest, after a first reading; ``stores`` as above. Where only ``some`` of the
    sources are wanted, an archive need not have the others: recipes also put each into a file of its own.

    Raises:
        RestoreError: it cannot be told where a database belongs, or nothing belongs anywhere.
    """
    matching = _Matching(app, contents)
    matching.by_path()
    matching.by_content()
    return matching.plan(stores, some)


class _Matching:
    """Brings the members of an old archive and the sources of an app together."""

    def __init__(self, app, contents):
        self._app = app
        self._contents = contents
        # A database inside a source of files is a database first.
        self._sources = sorted(app.sources, key=lambda source: source.type == "files")
        self._databases = {files.as_bytes(path): source for source in self._sources if kind_of(source) is not None
                           for path in paths_of(source)}
        self._prefixes = _prefixes(app.root)
        self._moved = {}
        self._found = {}
        self._present = set()
        self._strays = {}
        self._stray_count = 0
        self._warnings = []

    def by_path(self):
        """Members that lie where a source is: below the root, or with the end of the root's own path in front."""
        marked = self._contents.marked
        for member in entries(self._contents.lines):
            place, source = self._place_of(member.path)
            if source is not None:
                self._put(member.path, place, source)
            elif member.path in marked:
                self._strays[member.path] = marked[member.path]
            elif member.type != DIRECTORY:
                self._stray_count += 1

    def _place_of(self, member_path):
        for prefix in self._prefixes:
            if member_path.startswith(prefix):
                path = member_path[len(prefix):]
                source = self._databases.get(path) or self._files_source_of(path)
                if source is not None:
                    return path, source
        return member_path, None

    def _files_source_of(self, path):
        for source in self._sources:
            own = files.as_bytes(source.path)
            if path == own or (source.type in ("files", "volume", "bucket") and path.startswith(own + b"/")):
                return source
        return None

    def _put(self, member_path, place, source):
        if place in self._databases and place.endswith(b"-shm"):
            place = None  # Nothing but an index of the WAL, which SQLite makes anew.
        if place != member_path:
            self._moved[member_path] = place
        self._found[source.path] = source
        self._present.add(place if place in self._databases else None)

    def by_content(self):
        """A database that lies elsewhere, where it can belong to one source only."""
        for kind in set(self._strays.values()):
            strays = [path for path, known in self._strays.items() if known == kind]
            missing = [source for source in self._sources if kind_of(source) == kind and not self._has(source)]
            if len(missing) == 1 and len(strays) == 1:
                self._take(missing[0], strays[0])
            elif missing:
                raise RestoreError("the archive has %s, and it cannot be told which one is %s"
                                   % (", ".join(shown(path) for path in strays[:5]), missing[0].path),
                                   app=self._app.name,
                                   remedy="Extract the right one, and restore that file with the app's one source")

    def _take(self, source, member_path):
        del self._strays[member_path]
        self._put(member_path, files.as_bytes(source.path), source)
        self._warnings.append("%s in the archive is taken as %s" % (shown(member_path), source.path))
        # Rows that were committed last may stand in files beside it alone.
        beside = {member_path + files.as_bytes(end): source.path + end for end in sidecars_of("")}
        for member in entries(self._contents.lines):
            if member.path in beside:
                self._put(member.path, files.as_bytes(beside[member.path]), source)
                self._stray_count -= 1

    def _has(self, source):
        return files.as_bytes(source.path) in self._present

    def plan(self, stores, some):
        for source in () if some else self._sources:
            if source.type == "sqlite" and source.required and not self._has(source):
                raise RestoreError("the archive has no database for %s" % source.path, app=self._app.name,
                                   remedy="List it with tar -t; it may be an archive of something else")
        if not self._found:
            raise RestoreError("nothing in the archive belongs to a source of the app", app=self._app.name,
                               remedy="List it with tar -t; it may be an archive of something else")
        self._warnings.extend("%s is not in the archive, so it stays as it is" % source.path
                              for source in self._app.sources if source.path not in self._found)
        strays = self._stray_count + len(self._strays)
        if strays:
            self._warnings.append("the archive has %d more %s that belong to no source, and are not restored"
                                  % (strays, "file" if strays == 1 else "files"))
        return Plan([Target(source.path, source.type, True, record_of(source), source, stores and is_store(source))
                     for source in self._found.values()], self._moved, self._warnings)


def _prefixes(root):
    """What a recipe may have put in front of members: nothing, all of the root's path, or the end of it."""
    parts = files.as_bytes(root).strip(b"/").split(b"/")
    return [b""] + [b"/".join(parts[start:]) + b"/" for start in range(len(parts))]
