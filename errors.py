"""Every error that a user can meet.

Each also inherits the built-in error that a caller of the Python API would expect. A message says what is wrong, where
(file, row, weld, setting), and what to do. The command line prints the message alone and turns `exit_code` into its
exit status: 2 for bad input, 1 for a run that failed.
"""


class WeldcacheError(Exception):
    """Base of all errors meant for the user."""

    exit_code = 1


class BadInputError(WeldcacheError):
    """The user's input cannot be used as it is; nothing was changed."""

    exit_code = 2


class SettingsError(BadInputError, ValueError):
    """A setting is unknown, malformed or out of range."""


class SourceError(BadInputError, ValueError):
    """A data set's layout or manifest cannot be read."""


class NotFoundError(BadInputError, FileNotFoundError):
    """Data, a cache or a run that a command needs is not there; the message names the command that makes it."""


class FingerprintError(BadInputError, ValueError):
    """A cache was made by something other than what is asked for; the message names each difference."""


class StoreError(WeldcacheError, ValueError):
    """A feature store is damaged, or is asked for rows or arrays that it does not hold."""


class OutputExistsError(BadInputError, FileExistsError):
    """Writing here would replace earlier work."""


class BusyError(WeldcacheError, RuntimeError):
    """Another process writes to the same folder."""


class DecodeError(WeldcacheError, ValueError):
    """A media file cannot be decoded. `extract` records it for its weld and goes on."""


class BackboneError(BadInputError, ValueError):
    """A backbone cannot be loaded, or does not offer what is asked of it."""


class PrecisionError(WeldcacheError, ArithmeticError):
    """Values do not fit the storage type: they would overflow, or are not finite."""


class MetricError(BadInputError, ValueError):
    """A metric is undefined for these scores and labels."""


class TrainingError(WeldcacheError, RuntimeError):
    """Training cannot go on, for example because the loss is not finite."""
