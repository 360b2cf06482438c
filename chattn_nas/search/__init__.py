"""Many trials: the runner of one trial, storage, workers, samplers and pruners."""

from chattn_nas.search.engine import search
from chattn_nas.search.job import Job
from chattn_nas.search.join import join
from chattn_nas.search.run import Run
from chattn_nas.search.settings import SearchSettings

__all__ = ["Job", "Run", "SearchSettings", "join", "search"]
