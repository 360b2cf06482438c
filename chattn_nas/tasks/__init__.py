"""Tasks: head, loss, targets and metric of what is learned, and how an export speaks of it."""

from typing import TYPE_CHECKING

from chattn_nas._lazy import hand_on

if TYPE_CHECKING:
    from chattn_nas.tasks.registry import find as find
    from chattn_nas.tasks.registry import register as register
    from chattn_nas.tasks.settings import TaskSettings as TaskSettings
    from chattn_nas.tasks.task import Scorer as Scorer
    from chattn_nas.tasks.task import Task as Task
    from chattn_nas.tasks.task import TaskData as TaskData
    from chattn_nas.tasks.task import load as load
    from chattn_nas.tasks.task import of as of
    from chattn_nas.tasks.task import task_of as task_of

__all__, __getattr__, __dir__ = hand_on(
    __name__,
    {
        ".registry": "find register",
        ".settings": "TaskSettings",
        ".task": "Scorer Task TaskData load of task_of",
    },
)
