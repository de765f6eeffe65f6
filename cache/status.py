"""Whether a row's features of one modality exist; written last, so that it is true after any crash."""

from enum import IntEnum


class Status(IntEnum):
    """State of one row in one modality. Only rows that are COMPLETE are ever read."""

    MISSING = 0  # never extracted, or interrupted
    COMPLETE = 1
    ABSENT = 2  # the data set has no file for it
    UNREADABLE = 3  # the file is there and cannot be decoded
