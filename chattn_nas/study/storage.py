"""Opens an Optuna storage by its URL, and makes it safe for several workers."""

from __future__ import annotations

import errno
import getpass
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from sqlite3 import OperationalError
from typing import Any, TypeVar
from urllib.parse import quote

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial
from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import IntegrityError, NoSuchModuleError, SQLAlchemyError

from chattn_nas.credentials import keep_password, redacted, remember, secrets_of
from chattn_nas.errors import FullDiskError, InputError, MissingExtraError, RunError, StorageError, first_line
from chattn_nas.files import is_full, try_to_write
from chattn_nas.required import missing_package
from chattn_nas.study._optuna import Database, cached
from chattn_nas.study.journal import open_journal
from chattn_nas.study.locked_by import locked_by

T = TypeVar("T")
#: Seconds between two heartbeats of a running trial, and of silence until it counts as lost. Trials whose worker
#: ran on this machine are found lost at once, by their process; this is for those of other machines.
HEARTBEAT, GRACE = 15, 90
JOURNAL, SQLITE = "journal://", "sqlite:///"
#: The file of a study that lies in its run's directory.
DATABASE = "study.db"
#: Stands in a URL for the directory of the run.
RUN = "{run}"
#: Times that a new database is tried: two processes that create its tables at once get in each other's way.
TRIES = 5
#: What SQLite and servers say of a full disk, and what SQLite says where it cannot write, for one of several reasons.
FULL, UNSURE = re.compile("disk is full|No space left|[Dd]isk quota"), "disk I/O error"
#: How the sentence about it ends.
NO_SPACE = "the disk is full; make space, and the same command goes on"
#: Seconds that a server has for its first answer.
PATIENCE = 10
#: What a URL may begin with; another database that SQLAlchemy knows may work, too.
KINDS = ("sqlite", "journal", "postgresql", "mysql")
#: Seconds that SQLite waits for another process to finish its writing, and what it says then.
WAIT, LOCKED = 60.0, "database is locked"
#: SQLite's messages about a damaged file, which do not go away.
DAMAGED = ("malformed", "not a database", "disk image", "corrupt", "disk I/O error", "not decode")


def default_url(directory: Path) -> str:
    """The URL of the SQLite file in the run's directory."""
    return f"{SQLITE}{os.path.realpath(directory / DATABASE)}"


def file_of(url: str) -> Path | None:
    """The file of a storage; ``None`` for a server."""
    for scheme in (SQLITE, JOURNAL):
        if url.startswith(scheme):
            return Path(_file_and_query(url.removeprefix(scheme))[0])
    return None


def _file_and_query(place: str) -> tuple[str, str]:
    """``FILE?name=value&...`` in its parts; a question mark before the file's own name is one of its folder's."""
    found = re.fullmatch(r"(.*?)(?:\?(\w+=[^/&]*(?:&\w+=[^/&]*)*))?", place, re.DOTALL)
    assert found is not None, "everything matches"
    return found[1], found[2] or ""


def open_storage(url: str) -> BaseStorage:
    """Open ``sqlite:///FILE``, ``journal://FILE``, ``postgresql://...`` or any other URL that Optuna knows.

    SQLite and servers get heartbeats. A journal file has none, so only lost workers of this machine are noticed.

    Raises:
        MissingExtraError: The driver for PostgreSQL is not installed.
        StorageError: The storage cannot be opened.
        RunError: Its driver is not installed, or nobody knows its kind.
    """
    try:
        url = keep_password(url)
    except ValueError as error:
        raise RunError(str(error), where=("search", "storage")) from None
    with storage_errors(url), _driver(url):
        if url.startswith(JOURNAL):
            return open_journal(url.removeprefix(JOURNAL))
        file = file_of(url)
        if file is not None and file.is_file() and not _writable(file):
            return cached(_read_only(file))
        place = url if file is None else _sqlite_url(*_file_and_query(url.removeprefix(SQLITE)))
        storage = _with_password(url, partial(_database, place))
        if file is not None:
            _one_writer_at_a_time(storage.engine)
        return cached(storage)


def reach(url: str) -> None:
    """Try whether a storage can be reached and written, and leave nothing in it.

    Raises:
        RunError: It cannot, or its driver is not installed; ``where`` is its place in the spec.
        MissingExtraError: The driver for PostgreSQL is not installed.
    """
    file = file_of(url)
    try:
        with storage_errors(url), _driver(url):
            if file is None:
                _with_password(url, partial(_connect, url))
            elif not file.exists():
                try_to_write(file.parent)
            elif not _writable(file):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except InputError as error:
        raise error.at("search", "storage") from None


def _with_password(url: str, make: Callable[[], T]) -> T:
    """Open a database, if necessary after asking the user for its password, or once another process has set it up."""
    left = TRIES
    while True:
        try:
            return make()
        except SQLAlchemyError as error:
            left -= 1
            if left and _wants_password(error, url):
                remember(url, getpass.getpass(f"Password for {url}: "))
            elif left == 0 or not (isinstance(error, IntegrityError) or "already exists" in str(error)):
                raise  # else another process has just made the tables
            time.sleep(0.1 * (TRIES - left))


@contextmanager
def _driver(url: str) -> Iterator[None]:
    """Turn an import that fails where a database is opened into one sentence.

    Raises:
        MissingExtraError, RunError: The database's driver is not installed.
    """
    try:
        yield
    except ImportError as error:
        if own := missing_package(error):
            raise own from error
        if "psycopg" in str(error):
            raise MissingExtraError(
                'a PostgreSQL storage needs its driver: pip install "chattn-nas[postgres]"'
            ) from error
        raise RunError(f"the storage {redacted(url)} needs a driver: {error}") from error


@contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """Turn every error of a database into one sentence, without its password.

    Raises:
        StorageError: In place of any of its errors.
        RunError: Nobody knows its kind.
    """
    try:
        yield
    except NoSuchModuleError as error:
        kind = url.partition(":")[0]
        raise RunError(f"a storage of the unknown kind {kind!r}", value=kind, choices=KINDS) from error
    except (StorageInternalError, SQLAlchemyError, OSError) as error:
        if isinstance(error, OSError) and _is_elsewhere(error, file_of(url)):
            raise  # an image, say, in the middle of a search
        raise storage_error(error, url) from error


def storage_error(error: BaseException, url: str = "") -> StorageError:
    """The error of ours for one of a database: a :class:`FullDiskError` where its disk is full."""
    if isinstance(error, StorageError):
        return error
    said = explained(error, url)
    return FullDiskError(said) if said.endswith(NO_SPACE) else StorageError(said)


def explained(error: BaseException, url: str = "") -> str:
    """One sentence on what is wrong with a storage and, if possible, how to fix it."""
    while isinstance(error, StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    said = getattr(error, "orig", None) or error
    reason = redacted(first_line(said))
    url = url or next(iter(getattr(said, "__notes__", ())), "")
    file = file_of(url) if url else None
    named = f"the storage {os.path.normpath(file) if file else redacted(url)}" if url else "the storage"
    if FULL.search(reason) or (UNSURE in reason and file is not None and is_full(file.parent)):
        return f"{named} cannot be written: {NO_SPACE}"
    if LOCKED in reason:
        return f"{named} {locked_by(file)}"
    if any(words in reason for words in DAMAGED):
        return _damaged(named, reason, file)
    return f"{named} cannot be reached, read or written: {reason}"


def _is_elsewhere(error: OSError, file: Path | None) -> bool:
    """Whether an error concerns another file than the storage, its lock or its folder."""
    if error.filename is None:
        return False
    return file is None or not (str(error.filename).startswith(str(file)) or str(error.filename) == str(file.parent))


def _damaged(named: str, reason: str, file: Path | None) -> str:
    name = file or DATABASE
    return (
        f"{named} is damaged ({reason}): put back a copy of it, or save what can be read with "
        f"'sqlite3 {name} .recover | sqlite3 mended.db' and put mended.db in its place"
    )


def load_study(storage: BaseStorage, name: str, url: str = "") -> optuna.Study:
    """Load the study of that name.

    Raises:
        RunError: The storage has none.
    """
    try:
        return optuna.load_study(study_name=name, storage=storage)
    except KeyError:
        known = [study.study_name for study in storage.get_all_studies()]
        where = f" {file_of(url) or redacted(url)}" if url else ""
        lost = "" if known else ": it is empty, put back a copy of it"
        raise RunError(f"the storage{where} holds no study {name!r}{lost}", value=name, choices=known) from None


class _Readable(Database):
    """A database that names its file in one sentence if it holds values that cannot be read."""

    def _get_trials(self, *given: Any, **named: Any) -> list[FrozenTrial]:
        with _values_of(self.url):
            return super()._get_trials(*given, **named)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """As Optuna's."""
        with _values_of(self.url):
            return super().get_study_user_attrs(study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """As Optuna's."""
        with _values_of(self.url):
            return super().get_study_system_attrs(study_id)


@contextmanager
def _values_of(url: str) -> Iterator[None]:
    try:
        yield
    except KeyError:  # there is no such study or trial
        raise
    except (ValueError, LookupError) as error:
        file = file_of(url)
        raise StorageError(_damaged(f"the storage {file or redacted(url)}", first_line(error), file)) from error


def _tell_damage(engine: Engine, url: str) -> None:
    """Raise our own error for a damaged file; a passing error, such as a lock, stays SQLAlchemy's."""

    @event.listens_for(engine, "handle_error")
    def _raise_ours(context: Any) -> None:
        if any(words in str(context.original_exception) for words in DAMAGED):
            raise storage_error(context.original_exception, url) from context.original_exception
        context.original_exception.add_note(url)  # for the sentence, where it does not pass


def _connect(url: str) -> None:
    named, settings = _engine(url)
    if named.startswith("postgresql") and "connect_timeout" not in url:
        settings["connect_args"] = {"connect_timeout": PATIENCE, **settings["connect_args"]}
    engine = create_engine(named, **settings)
    try:
        engine.connect().close()
    finally:
        engine.dispose()


def _engine(url: str) -> tuple[str, dict[str, Any]]:
    """A URL with its driver, and what SQLAlchemy is told besides."""
    named, secrets = url.replace("postgresql://", "postgresql+psycopg://", 1), secrets_of(url)
    if url.startswith("sqlite"):
        return named, {"connect_args": {"timeout": WAIT}}
    return named, {"connect_args": secrets, "pool_pre_ping": True}


def _database(url: str, **options: Any) -> Database:
    url, engine = _engine(url)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats, since Optuna 2.9
        made = _Readable(url, engine_kwargs=engine, heartbeat_interval=HEARTBEAT, grace_period=GRACE, **options)
    _tell_damage(made.engine, url)
    return made


def _wants_password(error: SQLAlchemyError, url: str) -> bool:
    """Whether a server wants a password that a user at a terminal could type."""
    return "password" in str(error) and "@" in url and not secrets_of(url) and sys.stdin.isatty()


def _writable(file: Path) -> bool:
    return os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)


def _read_only(file: Path) -> Database:
    """Open a database in a read-only folder, for commands that only read.

    SQLite can read its write-ahead log only if it may create a file beside it; if the log is empty, the database is
    read without it.
    """
    log = file.with_name(f"{file.name}-wal")
    immutable = "" if log.is_file() and log.stat().st_size else "&immutable=1"
    url = _sqlite_url(f"file:{quote(str(file))}", f"mode=ro{immutable}&uri=true")
    return _database(url, skip_compatibility_check=True)


def _sqlite_url(file: str, query: str) -> str:
    """Name a file so that it is the same file behind SQLAlchemy, which unquotes it from 2.1 on, and Optuna's braces."""
    url = URL.create("sqlite", database=file).render_as_string().replace("{", "{{").replace("}", "}}")
    return f"{url}?{query}" if query else url


def _one_writer_at_a_time(engine: Engine) -> None:
    """Take SQLite's write lock when a transaction begins, and write ahead.

    Otherwise two processes may both read that a trial waits before either writes that it runs: 5 to 8 of 60 queued
    trials ran twice with 4 processes (Optuna 5.0). A write-ahead log is synced once per commit, which takes a fifth of
    the time of SQLite's rollback journal, and a trial has some 40 commits. A power failure loses nothing either.
    """

    @event.listens_for(engine, "connect")
    def _manual_transactions(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        with suppress(OperationalError):  # a file system without shared memory, or others are at work: as it was
            connection.execute("PRAGMA journal_mode=WAL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    engine.dispose()
