"""Where the study lies: an Optuna storage from its URL, made safe for several workers."""

from __future__ import annotations

import warnings
from contextlib import suppress
from pathlib import Path
from sqlite3 import OperationalError
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy import Engine, event

from chattn_nas.errors import MissingExtraError, RunError, StorageError

#: Seconds between two signs of life of a running trial, and after which silence it counts as lost. Trials whose worker
#: ran on this machine are found lost at once, by their process; this is for those of other machines.
HEARTBEAT, GRACE = 15, 90
JOURNAL = "journal://"


def default_url(directory: Path) -> str:
    """SQLite in the run's directory."""
    return f"sqlite:///{(directory / 'study.db').resolve()}"


def open_storage(url: str) -> BaseStorage:
    """Open ``sqlite:///FILE``, ``journal://FILE``, ``postgresql://...`` or any other URL that Optuna knows.

    SQLite and servers get heartbeats; a journal file has none, so that only workers of one machine are known lost.

    Raises:
        MissingExtraError: PostgreSQL without its driver.
        StorageError: The storage cannot be opened.
        RunError: Its driver is not installed.
    """
    if url.startswith(JOURNAL):
        return JournalStorage(JournalFileBackend(url.removeprefix(JOURNAL)))
    url = url.replace("postgresql://", "postgresql+psycopg://", 1)
    sqlite = url.startswith("sqlite")
    options: dict[str, Any] = {"connect_args": {"timeout": 60}} if sqlite else {"pool_pre_ping": True}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats, since Optuna 2.9
            storage = RDBStorage(url, engine_kwargs=options, heartbeat_interval=HEARTBEAT, grace_period=GRACE)
    except ImportError as error:
        if "psycopg" in str(error):
            raise MissingExtraError(
                'a PostgreSQL storage needs its driver: pip install "chattn-nas[postgres]"'
            ) from error
        raise RunError(f"the storage {_without_password(url)} needs a driver: {error}") from error
    except Exception as error:  # each database has its own exceptions
        reason = str(error).splitlines()[0]
        raise StorageError(f"the storage {_without_password(url)} cannot be opened: {reason}") from error
    if sqlite:
        _one_writer_at_a_time(storage.engine)
    return _CachedStorage(storage)


def load_study(storage: BaseStorage, name: str) -> optuna.Study:
    """The study of that name.

    Raises:
        RunError: The storage has none.
    """
    try:
        return optuna.load_study(study_name=name, storage=storage)
    except KeyError:
        known = [study.study_name for study in storage.get_all_studies()]
        raise RunError(f"the storage holds no study {name!r}", value=name, choices=known) from None


def _one_writer_at_a_time(engine: Engine) -> None:
    """Take SQLite's write lock when a transaction begins, and write ahead.

    As it is, two processes may both read that a trial waits before either writes that it runs: 5 to 8 of 60 queued
    trials ran twice with 4 processes (Optuna 5.0). A write-ahead log is synced once per commit, a fifth of the time
    that SQLite's rollback journal takes, and a trial has some 40 commits; nothing is lost without power either.
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


def _without_password(url: str) -> str:
    head, at, tail = url.rpartition("@")
    return f"{head.rpartition(':')[0]}:***@{tail}" if at and head.count(":") > 1 else url
