"""The protocol between a search, the monitor of its NNI experiment, its tuner and its trials."""

#: The monitor's exit codes.
DONE, EXHAUSTED, OUT_OF_TIME, DIED = 0, 3, 4, 5
#: File in ``nni/`` of a run: ``experiment``, ``port``, ``manager``, and ``reason`` once it ended.
STATE = "state.json"
#: Environment variable that every process of one experiment inherits.
MARK = "CHATTN_NAS_NNI"
#: Seconds that a process has to end by itself.
GRACE = 8.0
#: Among a tuner's parameters: the waiting trial of the study that they are of.
TRIAL = "optuna_trial"
