# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Profiles: what is known of an application, so that its operator need not write it.

``resolve`` lays an app's own keys over those of the profile that it names. What comes out is an app like any other, which says
all by itself, so that it can be resolved once more without a change.
"""

from __future__ import annotations

import copy

from ..system.errors import ConfigurationError
from . import club, generic, opstage, portunus, scriptor

PROFILES = {"club": club.PROFILE, "generic": generic.PROFILE, "opstage": opstage.PROFILE, "portunus": portunus.PROFILE,
            "scriptor": scriptor.PROFILE}
# Dictionaries that mean something as a whole only: some of another's rules would keep what nobody asked for.
WHOLE = ("retention",)
# Ways of saying one thing, of which only one may be said: an app's own way drops that of the profile.
ALTERNATIVES = {"service": (("name",), ("stop", "start"))}


def resolve(told):
    """A copy of an app's dictionary with what its profile says and the app does not, and without ``profile``.

    Scalars, lists and the retention of the app win, other dictionaries are merged key by key, and ``null`` takes out
    what the profile says. A source of the app with the path of one of the profile is laid over it, one that
    ``replaces`` others takes their place, and any other is added. What is no app at all is given back as it is, for
    the parser to say so.

    Raises:
        ConfigurationError: no such profile; ``replaces`` of what the profile has not, or without a profile; a source of
            another type than the profile's at that path.
    """
    if not isinstance(told, dict):
        return told
    filled = _without(told, ("profile",))
    name = told.get("profile")
    app = told.get("name") if isinstance(told.get("name"), str) else None
    if name is None:
        _refuse_replacing(told.get("sources"), app)
        return filled
    if not isinstance(name, str) or name not in PROFILES:
        raise ConfigurationError("there is no profile %r" % (name,), app=app,
                                 remedy="The profiles are %s" % ", ".join(sorted(PROFILES)))
    profile = copy.deepcopy(PROFILES[name])
    sources = profile.pop("sources", [])
    own = told.get("sources")
    if own is None or isinstance(own, (list, tuple)):
        filled["sources"] = _Sources(name, sources, app).merged(own or [])
        _follow_database(profile, filled["sources"])
    for key, value in profile.items():
        if key not in filled:
            filled[key] = value
        elif isinstance(value, dict) and isinstance(filled[key], dict) and key not in WHOLE:
            filled[key] = _merged(key, value, filled[key])
    return filled


def _follow_database(profile, sources):
    """Where another source stands in for the database that tells the version, the parser finds the one that is there."""
    version = profile.get("version", {})
    if version.get("source") not in [item.get("path") for item in sources if isinstance(item, dict)]:
        version.pop("source", None)


def _refuse_replacing(sources, app):
    for number, item in enumerate(sources if isinstance(sources, (list, tuple)) else [], 1):
        if isinstance(item, dict) and item.get("replaces") is not None:
            raise ConfigurationError("source %d says 'replaces', and the app has no profile that it could replace one of"
                                     % number, app=app, remedy="Leave it out, or name a 'profile'")


def _merged(key, profile, own):
    """One dictionary over another; where the app says a thing in its own way, the profile's way goes."""
    ways = ALTERNATIVES.get(key, ())
    chosen = [way for way in ways if any(own.get(word) is not None for word in way)]
    dropped = [word for way in ways if chosen and way not in chosen for word in way]
    merged = _without(profile, dropped)
    merged.update((word, value) for word, value in own.items())
    return merged


def _without(told, words):
    if not isinstance(told, dict):
        return told
    return {word: value for word, value in told.items() if word not in words}


class _Sources:
    """The sources of one profile, and an app's own laid over them."""

    def __init__(self, profile, sources, app):
        self._profile = profile
        self._app = app
        self._known = {item["path"]: item for item in sources}

    def merged(self, own):
        """The sources of the app: those of the profile in its order, or what stands in their place; then the others."""
        places = {path: [item] for path, item in self._known.items()}
        replaced, laid_over, added = set(), set(), []
        for number, item in enumerate(own, 1):
            paths = self._replaced(item, number)
            path = self._path(item)
            if paths:
                for gone in set(paths) - replaced:
                    places[gone] = []
                replaced.update(paths)
                places[paths[0]].append(item)
            elif path in laid_over:
                self._fail("two sources have the path %r" % path)
            elif path in self._known:
                places[path] = [self._laid_over(item, path, number)]
                laid_over.add(path)
            else:
                added.append(self._checked(item, number))
        for path in sorted(replaced & laid_over):
            self._fail("one source has the path %r of the profile %s, and another one replaces it" % (path, self._profile),
                       "Say the one or the other")
        merged = [item for path in self._known for item in places[path]] + added
        return [_without(item, ("replaces",)) for item in merged]

    def _replaced(self, item, number):
        """The paths that a source replaces, as the profile has them."""
        if not isinstance(item, dict) or item.get("replaces") is None:
            return []
        told = item["replaces"]
        paths = [told] if isinstance(told, str) else told
        if not isinstance(paths, (list, tuple)) or not paths or not all(isinstance(path, str) for path in paths):
            self._fail("'replaces' of source %d is a path, or a list of paths, not %r" % (number, told))
        cleaned = [_clean(path) for path in paths]
        for path in cleaned:
            if path not in self._known:
                self._fail("source %d replaces %r, which the profile %s does not have" % (number, path, self._profile),
                           self._paths())
        return cleaned

    def _path(self, item):
        path = item.get("path") if isinstance(item, dict) else None
        return _clean(path) if isinstance(path, str) else None

    def _laid_over(self, item, path, number):
        known = self._known[path]
        if item.get("type") not in (None, known["type"]):
            self._fail("source %d (%s) is of type %r, and in the profile %s it is of type %s"
                       % (number, path, item["type"], self._profile, known["type"]),
                       "Add 'replaces: %s' to it if it stands in its place" % path)
        merged = dict(known)
        merged.update((word, value) for word, value in item.items())
        # A source cannot do without them.
        merged.update(type=known["type"], path=path)
        return merged

    def _checked(self, item, number):
        if isinstance(item, dict) and item.get("type") is None and isinstance(item.get("path"), str):
            self._fail("source %d (%s) has no 'type', and the profile %s has no source of that path"
                       % (number, item["path"], self._profile), self._paths())
        return item

    def _paths(self):
        return "It has %s" % (", ".join(self._known) or "none at all")

    def _fail(self, message, remedy=None):
        raise ConfigurationError(message, app=self._app, remedy=remedy)


def _clean(path):
    return "/".join(part for part in path.split("/") if part not in ("", "."))
