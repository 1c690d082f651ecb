"""Every error that a user can cause or meet, as one tree.

CharwganError            the base: its message is one line that says what, the bound, what was given, what to do
ConfigurationError     an option, key or field is wrong (the command line exits 2)
  ConstraintError        a constraint on generated strings is
    InvalidConstraintError   no constraint: a negative length, a pattern that is no regular expression
    UnsatisfiableError       one that no string of the model can meet, alone or beside the others
DataError              the training data cannot be used
  SourceError            data was named that is not there (a ConfigurationError too)
ArtifactError          a model folder is missing, damaged or not a model
RunError               a run folder is missing, damaged, in use or does not fit the configuration
  RunExistsError         a run was to be started where there is one (a ConfigurationError too)
MissingDependencyError an optional package is needed and not installed
"""


class CharwganError(Exception):
    """Base of all errors that are shown to a user as one line, without a traceback."""

    exit_code = 1


class ConfigurationError(CharwganError):
    """An option, a key or a field is unknown, out of bounds or contradicts another."""

    exit_code = 2


class ConstraintError(ConfigurationError):
    """A constraint on generated strings cannot be taken; the message repeats no text that was given.

    field: the constraint's name.  bound: what it accepts, in words.  given: its value.
    """

    def __init__(self, field: str, detail: str, *, bound: str, given: object) -> None:
        super().__init__(detail)
        self.field, self.bound, self.given = field, bound, given


class InvalidConstraintError(ConstraintError):
    """A constraint is malformed, whatever the model."""


class UnsatisfiableError(ConstraintError):
    """No string of the model can meet a constraint, alone or beside the others; unlike one that is merely rare."""


class DataError(CharwganError):
    """The training data is missing, unreadable or leaves nothing to learn."""


class SourceError(DataError, ConfigurationError):
    """Data was named that is not there: a file, a column, a built-in corpus or an option of one."""


class ArtifactError(CharwganError):
    """A model folder is missing, damaged, or not what its manifest says."""


class RunError(CharwganError):
    """A run folder is missing, damaged, in use, or made with another configuration."""


class RunExistsError(RunError, ConfigurationError):
    """A run was to be started in a folder that holds one."""


class MissingDependencyError(CharwganError):
    """A package of an optional extra is needed and not installed."""


def how_to_install(extra: str) -> str:
    """The command that installs an extra; of the source, since nobody vouches for what an index has under the name."""
    return f"pip install '.[{extra}]' in the folder of charwgan's source"
