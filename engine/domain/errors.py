"""Errors that a person may meet, sorted by blame.

Foreign errors are translated once, at the edge that knows what they mean (a reader knows the file, a loader knows the
model folder). Everything that is not an `AppError` is a bug and goes to the crash door.
"""

from __future__ import annotations


class AppError(Exception):
    """What happened, in words for the person who uses the program.

    Attributes:
        user_message: one sentence: what happened, to which file or item.
        hint: one sentence: what to do about it (may be empty).
        details: technical text for the "copy details" button (may be empty).
    """

    def __init__(self, user_message: str, hint: str = "", details: str = "") -> None:
        super().__init__(user_message)
        self.user_message = user_message
        self.hint = hint
        self.details = details

    def __str__(self) -> str:
        return f"{self.user_message} {self.hint}".strip()


class KnownError(AppError):
    """The environment is at fault: a file, a model, memory, a disk, another process."""


class UserInputError(AppError):
    """The person asked for something that cannot be done as asked."""


class BugError(AppError):
    """We are at fault; the message says what was being done, the details carry the traceback."""


class OperationCancelled(Exception):
    """The person cancelled. Shown as nothing; whatever was finished before stays."""


class UnreadableImageError(KnownError):
    """An image file cannot be decoded, is too large, or is no image."""


class ModelMissingError(KnownError):
    """A backbone, prompt or segmenter is not installed."""


class ModelCorruptError(KnownError):
    """A model folder lacks files, holds pickled weights, or has weights of the wrong shapes."""


class OutOfMemoryError(KnownError):
    """Every rung of the memory ladder failed."""


class ProjectError(KnownError):
    """A project folder is missing, locked, read-only, too new or damaged."""


class ProjectLockedError(ProjectError):
    """Another process has the project open for writing, or it lies where nothing can be written: it can still be read."""


class ImportFileError(KnownError):
    """An annotation file cannot be imported; names the file and the item in it."""
