"""Every error that a user can cause or meet, as one tree.

CharwganError            the base: its message is one line that says what, the bound, what was given, what to do
ConfigurationError     an option, key or field is wrong (the command line exits 2)
DataError              the training data cannot be used
ArtifactError          a model folder is missing, damaged or not a model
RunError               a run folder is missing, damaged, in use or does not fit the configuration
MissingDependencyError an optional package is needed and not installed
"""


class CharwganError(Exception):
    """Base of all errors that are shown to a user as one line, without a traceback."""

    exit_code = 1


class ConfigurationError(CharwganError):
    """An option, a key or a field is unknown, out of bounds or contradicts another."""

    exit_code = 2


class DataError(CharwganError):
    """The training data is missing, unreadable or leaves nothing to learn."""


class ArtifactError(CharwganError):
    """A model folder is missing, damaged, or not what its manifest says."""


class RunError(CharwganError):
    """A run folder is missing, damaged, in use, or made with another configuration."""


class MissingDependencyError(CharwganError):
    """A package of an optional extra is needed and not installed."""
