"""Secrets in a spec: kept in this process, passed to the processes that it starts, never written or shown.

A storage's URL loses its password when it is read. Later the password is looked for in this order: in a URL that this
process or its parent was given, in ``CHATTN_NAS_STORAGE_PASSWORD``, in what the database's own client reads
(``PGPASSWORD``, ``PGPASSFILE``, ``~/.pgpass``); on a terminal, the user is asked.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any

#: Password of a storage whose URL has none, set by the user.
PASSWORD = "CHATTN_NAS_STORAGE_PASSWORD"
#: What a process hands to those that it starts: secrets in JSON, by what they belong to.
HANDED = "CHATTN_NAS_SECRETS"
MASK = "***"
#: Names of query parameters, or of a training service's settings, whose values are secret.
_SECRET = re.compile(r"pass|pwd|secret|token|credential|(account|private|access|api)_?key", re.IGNORECASE)
_USER_INFO = re.compile(r"(\w[\w+.-]*://[^\s/?#:@]*):([^\s/?#]*)@")
_PARAMETER = re.compile(r"([?&;][\w.-]*(?:pass|pwd|secret|token|credential)[\w.-]*=)[^&;#\s]+", re.IGNORECASE)

_known: dict[str, Any] = {}


def keep_password(url: str) -> str:
    """Remove the password and secret query parameters from a URL, and remember them in this process.

    Raises:
        ValueError: It is no URL of a database.
    """
    if "://" not in url:
        raise ValueError("a storage is a URL: sqlite:///FILE, journal://FILE, postgresql://USER@HOST/DATABASE")
    if re.match(r"sqlite(\+\w+)?://($|[^/])", url):
        raise ValueError("a file of SQLite is named with three slashes, sqlite:///FILE")
    if url.partition("?")[0] in ("sqlite:///", "sqlite:///:memory:"):
        raise ValueError("a storage in memory is gone with its process: sqlite:///FILE is one that stays")
    if not re.search(r"[@?]", url) or url.startswith("journal://"):
        return url
    from sqlalchemy.engine import URL, make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError("a storage's URL that cannot be read: DATABASE://USER:PASSWORD@HOST:PORT/NAME") from None
    secrets = {name: value for name, value in parsed.query.items() if _SECRET.search(name) and name != "passfile"}
    if parsed.password is not None:
        secrets["password"] = str(parsed.password)
    if "@" in (parsed.host or ""):
        raise ValueError("in the URL of a storage, write an @ of the password as %40")
    if not secrets:
        return url
    query = {name: value for name, value in parsed.query.items() if name not in secrets}
    rest = URL.create(parsed.drivername, parsed.username, None, parsed.host, parsed.port, parsed.database, query)
    bare = rest.render_as_string(hide_password=False)
    _known[bare] = secrets
    return bare


def secrets_of(url: str) -> dict[str, Any]:
    """Keyword arguments that a driver needs besides the URL; empty if no password is known."""
    known: dict[str, Any] = _all().get(url, {})
    given = os.environ.get(PASSWORD)
    return dict(known) or ({"password": given} if given and "@" in url else {})


def remember(url: str, password: str) -> None:
    """Remember a password that the user has typed."""
    _known[url] = {"password": password}


def hide(name: str, settings: Any) -> Any:
    """Replace every secret in plain settings by ``***``, and remember it in this process."""
    if isinstance(settings, Mapping):
        return {
            key: _hidden(f"{name}.{key}", value)
            if _SECRET.search(str(key)) and isinstance(value, str)
            else hide(f"{name}.{key}", value)
            for key, value in settings.items()
        }
    if isinstance(settings, list):
        return [hide(f"{name}.{index}", value) for index, value in enumerate(settings)]
    return settings


def reveal(name: str, settings: Any) -> Any:
    """Undo :func:`hide`.

    Raises:
        KeyError: A secret is unknown in this process; the key is its place.
    """
    if isinstance(settings, Mapping):
        return {key: reveal(f"{name}.{key}", value) for key, value in settings.items()}
    if isinstance(settings, list):
        return [reveal(f"{name}.{index}", value) for index, value in enumerate(settings)]
    return _all()[name] if settings == MASK else settings


def environment() -> dict[str, str]:
    """Environment variables that a new process needs; only its own user can read them."""
    known = _all()
    return {HANDED: json.dumps(known)} if known else {}


def redacted(text: str) -> str:
    """Remove known secrets, and anything that looks like a URL's password, from a text."""
    secrets = [v for value in _all().values() for v in (value.values() if isinstance(value, dict) else [value])]
    for secret in sorted({str(s) for s in [*secrets, os.environ.get(PASSWORD, "")] if len(str(s)) > 3}, key=len)[::-1]:
        text = text.replace(secret, MASK)
    return _PARAMETER.sub(rf"\1{MASK}", _USER_INFO.sub(rf"\1:{MASK}@", text))


def _hidden(name: str, value: str) -> str:
    if value != MASK:
        _known[name] = value
    return MASK


def _all() -> dict[str, Any]:
    """All secrets that this process knows or was given."""
    handed: dict[str, Any] = json.loads(os.environ.get(HANDED) or "{}")
    return handed | _known
