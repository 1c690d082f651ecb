"""What requests and responses hold.

N strings, T the model's length, Z latent.
"""

from __future__ import annotations

import copy
from typing import Annotated, Any, Literal, TypeVar

from annotated_types import Le, MaxLen
from pydantic import BaseModel, ConfigDict, Field, create_model

from model.constraints import Constraints
from service.settings import MAX_STREAM_N, MIN_DEADLINE_S, Settings

MAX_SEED = 2**53 - 1  # the largest integer that every JSON reader keeps exact, JavaScript's included
LONGEST = 1024  # characters of any model's strings
MAX_ITEMS = 1000  # texts to score in one request, and steps of an interpolation


Schema = TypeVar("Schema", bound="Request")


class Request(BaseModel):
    """A body: types as JSON has them, no unknown keys."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class GenerateRequest(Request):
    """How many strings, from which seed, made how, and what they must be like."""

    n: int = Field(
        1, ge=1, description="Number of strings; x-maximum-whole is the most that do not stream.", examples=[5]
    )
    seed: int | None = Field(
        None, ge=0, le=MAX_SEED, description="The same seed gives the same strings; absent: drawn.", examples=[42]
    )
    first: int = Field(0, ge=0, le=MAX_SEED, description="Begin at this string of the seed.", examples=[0])
    model: str | None = Field(None, max_length=255, description="The model's name; absent: the default one.")
    mode: Literal["argmax", "sample"] = Field(
        "argmax", description="The likeliest character at every position, or one drawn from the model's probabilities."
    )
    temperature: float | None = Field(
        None,
        gt=0,
        le=100,
        description="With mode sample: below 1 likelier characters, above 1 rarer ones; 1 if absent.",
    )
    label: str | None = Field(
        None, max_length=255, description="Of every string of a conditional model; absent: drawn for each by its share."
    )
    min_length: int | None = Field(None, ge=0, le=LONGEST, description="Characters, at least.", examples=[4])
    max_length: int | None = Field(None, ge=0, le=LONGEST, description="Characters, at most.", examples=[8])
    charset: str | None = Field(
        None, min_length=1, max_length=4096, description="The characters that may occur.", examples=["abcdefghi"]
    )
    prefix: str | None = Field(None, max_length=LONGEST, description="What every string begins with.", examples=["ma"])
    pattern: str | None = Field(
        None,
        max_length=1000,
        description="Regular expression (RE2 syntax, linear time) that every string matches as a whole.",
        examples=["[a-m]+a"],
    )
    unique: bool = Field(False, description="No string twice in the answer.")
    novel: bool = Field(False, description="No string of the training data.")
    max_attempts: int | None = Field(
        None, ge=1, description="Strings tried for the constraints, at most; absent: 100 for each string wanted."
    )
    scores: bool = Field(False, description="Whether the critic's score of each string is wanted.")
    latents: bool = Field(False, description="Whether the latent vector of each string is wanted.")
    deadline_s: float | None = Field(
        None, ge=MIN_DEADLINE_S, description="Seconds for the answer; if absent, a stream has none.", examples=[5.0]
    )

    def constraints(self) -> Constraints:
        """The same as the model's package knows it."""
        return Constraints(
            self.min_length, self.max_length, self.charset, self.prefix, self.pattern, self.unique, self.novel
        )


class ScoreRequest(Request):
    """Strings to be judged."""

    texts: list[Annotated[str, Field(max_length=LONGEST)]] = Field(
        min_length=1, max_length=MAX_ITEMS, description="The strings.", examples=[["marielle", "xqzzk"]]
    )
    model: str | None = Field(None, max_length=255, description="The model's name; absent: the default one.")
    label: str | None = Field(
        None, max_length=255, description="What the texts are scored as, which a conditional model needs."
    )
    deadline_s: float | None = Field(None, ge=MIN_DEADLINE_S, description="Seconds in which the answer must be made.")


class End(Request):
    """An end of an interpolation: string ``first`` of a seed, or a latent vector itself."""

    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="A seed.", examples=[7])
    first: int = Field(0, ge=0, le=MAX_SEED, description="Which string of the seed.", examples=[0])
    latent: list[Annotated[float, Field(ge=-1e6, le=1e6)]] | None = Field(
        None, min_length=1, max_length=4096, description="Instead of a seed: Z numbers."
    )


class InterpolateRequest(Request):
    """Two latents and how many steps lead from one to the other."""

    start: End = Field(alias="from", description="Where to begin.")
    end: End = Field(alias="to", description="Where to end.")
    steps: int = Field(10, ge=2, le=MAX_ITEMS, description="Number of strings, both ends included.", examples=[10])
    model: str | None = Field(None, max_length=255, description="The model's name; absent: the default one.")
    label: str | None = Field(
        None, max_length=255, description="Of every step of a conditional model; absent: that of the string from names."
    )
    deadline_s: float | None = Field(None, ge=MIN_DEADLINE_S, description="Seconds in which the answer must be made.")


def bounded(schema: type[Schema], settings: Settings) -> type[Schema]:
    """A request's schema with the bounds that the settings give.

    No request may ask for more strings than the queue or a minute of the rate limit has: it would be refused for ever.
    """
    rate = settings.rate_limit or MAX_STREAM_N
    at_once = min(MAX_ITEMS, settings.max_strings_queued, rate)
    limits = {
        "n": Le(most := min(settings.max_stream_n, rate)),
        "max_attempts": Le(settings.max_attempts),
        "deadline_s": Le(settings.deadline_s),
        "texts": MaxLen(at_once),
        "steps": Le(at_once),
    }
    fields: dict[str, Any] = {}
    for name in limits.keys() & schema.model_fields:
        field = copy.deepcopy(schema.model_fields[name])
        field.metadata = [item for item in field.metadata if type(item) is not type(limits[name])] + [limits[name]]
        if name == "steps":  # pydantic does not look whether a default keeps to its bound
            field.default = min(field.default, at_once)
        fields[name] = (field.annotation, field)
        if name == "n":
            field.json_schema_extra = {"x-maximum-whole": min(settings.max_n, most)}
    return create_model(schema.__name__, __base__=schema, __doc__=schema.__doc__, **fields)


class ModelIdentity(BaseModel):
    """Which model made the strings."""

    name: str = Field(description="The name of the model's folder.", examples=["names"])
    digest: str = Field(description="SHA-256 of the model's manifest, in hex.")


class Made(BaseModel):
    """Which strings, and how many were tried for them."""

    seed: int = Field(description="The seed, given or drawn.", examples=[42])
    first: int = Field(description="The first string of the seed that was tried.", examples=[0])
    model: ModelIdentity
    attempted: int = Field(description="Strings tried; the next ones of the seed begin at first + attempted.")
    accepted: int = Field(description="Strings that met the constraints: fewer than n where max_attempts came first.")
    refused: dict[str, int] | None = Field(None, description="How often each constraint refused one, where one can.")


class GenerateResponse(Made):
    """String i depends on the model's digest, the seed and i alone."""

    texts: list[str] = Field(description="The strings.", examples=[["marielle", "jonas", "adina", "tobiah", "ines"]])
    labels: list[str] | None = Field(None, description="The label of each, if the model is conditional.")
    scores: list[float] | None = Field(None, description="The critic's score of each, if asked for.")
    latents: list[list[float]] | None = Field(None, description="The latent vector of each, if asked for.")


class StreamedText(BaseModel):
    """A line of a stream."""

    index: int = Field(description="Which string of the seed it is.", examples=[0])
    text: str = Field(examples=["marielle"])
    label: str | None = None
    score: float | None = None
    latent: list[float] | None = None


class StreamedSummary(BaseModel):
    """The last line of a stream that is whole."""

    summary: Made


class Percentiles(BaseModel):
    """The share of strings that the critic scores lower, in percent."""

    real: list[float] = Field(description="Among held-out strings.", examples=[[71.0]])
    generated: list[float] = Field(description="Among generated strings.", examples=[[88.0]])


class ScoreResponse(BaseModel):
    """Scores: high means realistic in the critic's eyes.  No probabilities; compare them within one model alone."""

    scores: list[float] = Field(description="The critic's score of each string.", examples=[[1.25]])
    percentiles: Percentiles | None = Field(description="Their places; null where the model does not say.")
    model: ModelIdentity


class InterpolateResponse(BaseModel):
    """The strings on the way."""

    texts: list[str] = Field(examples=[["marielle", "mariella", "marina", "maria"]])
    label: str | None = Field(None, description="That of all of them, if the model is conditional.")
    model: ModelIdentity


class ModelSummary(ModelIdentity):
    """A model that is served."""

    default: bool = Field(description="Whether requests that name no model get this one.")
    length: int = Field(description="T, the characters of its longest strings.", examples=[16])
    symbols: int = Field(description="V, its symbols, padding and unknown included.", examples=[28])
    variant: str = Field(description="The game it was trained by.", examples=["wgan-gp"])
    critic: bool = Field(description="Whether it scores strings.", examples=[True])


class ModelList(BaseModel):
    """The models that are served."""

    models: list[ModelSummary]


class Label(BaseModel):
    """What a conditional model can be asked for."""

    name: str = Field(examples=["de_DE"])
    share: float = Field(description="Of the training strings; labels are drawn by it.", examples=[0.25])


class ModelDetails(ModelSummary):
    """All that a model says of itself."""

    alphabet: str = Field(description="Its characters, in the order of their ids.")
    latent: int = Field(description="Z, coordinates of a latent vector.", examples=[128])
    labels: list[Label] | None = Field(None, description="What a conditional model can be asked for.")
    novelty: bool = Field(description="Whether it can tell its training strings, as novel needs.")
    config: dict[str, Any] = Field(description="How it was made.")
    metrics: dict[str, Any] = Field(description="Its table of scores.")
    card: str = Field(description="Its card, Markdown.")


class AdminModel(BaseModel):
    """The digests of a model's versions."""

    name: str = Field(examples=["names"])
    active: str = Field(description="The one that answers.")
    previous: str | None = Field(None, description="The one before it, which rollback brings back.")
    staged: str | None = Field(None, description="The one that is loaded and warm, which activate lets answer.")


class AdminModels(BaseModel):
    """Every model with its versions."""

    models: list[AdminModel]


class Status(BaseModel):
    """That the service lives, has started, or takes requests."""

    status: str = Field(description="alive, started or ready.", examples=["ready"])
    models: list[ModelIdentity]


class VersionResponse(BaseModel):
    """What runs here."""

    version: str = Field(examples=["0.1.0"])
    python: str = Field(examples=["3.11.7"])
    engine: str = Field(examples=["onnx"])
    models: list[ModelIdentity]


class FieldError(BaseModel):
    """What is wrong with one field."""

    field: str | None = Field(description="The field's name; null for a key that is not known.", examples=["n"])
    detail: str = Field(examples=["n must be an integer between 1 and 10000, got 20000"])
    bound: str | None = Field(None, description="What the field accepts.", examples=["an integer between 1 and 10000"])
    given: float | str | None = Field(None, description="The value if a number, else its kind.", examples=[20000])


class ProblemDetails(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str = Field(description="Where this kind of problem is described.", examples=["/docs#invalid-field"])
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = Field(None, description="For fields that are wrong: which, and their bounds.")


class StreamedProblem(BaseModel):
    """The last line of a stream that failed in its midst."""

    error: ProblemDetails
