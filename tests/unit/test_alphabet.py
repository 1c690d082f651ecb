"""The alphabet against its tokenizer and against what strings are."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.alphabet import PADDING, UNKNOWN, Alphabet, normalize
from model.errors import ArtifactError

# Surrogates are no characters, NUL is refused by the corpus, and unassigned code points normalise by Unicode version.
CHARACTERS = st.characters(exclude_categories=("Cs", "Cn"), exclude_characters="\0")
AWKWARD = st.sampled_from(
    ["[PAD]", "[UNK]", "👩‍👩‍👧‍👦", "e\u0301", "\u0344", "日本語", "한국", "ﬁ", "\r\n", "\t", " ", "\u200b", "İ", "🇩🇪"]
)
TEXTS = st.lists(st.one_of(st.text(CHARACTERS, max_size=8), AWKWARD), max_size=4).map("".join)


def alphabet_of(texts: list[str], length: int) -> Alphabet:
    return Alphabet("".join(sorted(set("".join(texts)))), length)


@given(st.lists(TEXTS, min_size=1, max_size=4), TEXTS, st.integers(1, 24))
def test_encode_equals_the_tokenizer_on_any_text(known: list[str], other: str, length: int) -> None:
    alphabet = alphabet_of([normalize(text) for text in known], length)
    texts = [*known, other]
    ids = alphabet.encode([normalize(text) for text in texts])
    assert ids.tolist() == [encoding.ids for encoding in alphabet.tokenizer().encode_batch(texts)]


@given(st.lists(TEXTS, min_size=1, max_size=4), st.integers(1, 24))
def test_decode_of_encode_is_the_text_cut_at_the_length(known: list[str], length: int) -> None:
    texts = [normalize(text) for text in known]
    alphabet = alphabet_of(texts, length)
    assert alphabet.decode(alphabet.encode(texts)) == [text[:length] for text in texts]


@given(TEXTS, st.integers(1, 24))
def test_a_saved_alphabet_loads_as_itself(tmp_path_factory: pytest.TempPathFactory, text: str, length: int) -> None:
    path = tmp_path_factory.getbasetemp() / "tokenizer.json"
    alphabet = alphabet_of([text], length)
    alphabet.save(path)
    assert Alphabet.load(path) == alphabet


def test_the_text_pad_is_five_characters_and_not_padding() -> None:
    alphabet = alphabet_of(["[PAD]"], 8)
    ids = alphabet.encode(["[PAD]"])[0]
    assert np.count_nonzero(ids != PADDING) == 5
    assert alphabet.decode(ids[np.newaxis]) == ["[PAD]"]


def test_an_unknown_character_gets_the_unknown_id() -> None:
    assert alphabet_of(["ab"], 3).encode(["axb"]).tolist() == [[2, UNKNOWN, 3]]


def test_an_alphabet_of_254_characters_fits_a_byte_and_one_more_does_not() -> None:
    characters = "".join(map(chr, range(0x4E00, 0x4E00 + 255)))
    assert Alphabet(characters[:254], 2).encode([characters[253]]).tolist() == [[255, PADDING]]
    assert Alphabet(characters[:254], 2).dtype == np.uint8
    assert Alphabet(characters, 2).encode([characters[254]]).tolist() == [[256, PADDING]]
    assert Alphabet(characters, 2).dtype == np.uint16


def test_no_texts_encode_to_no_rows() -> None:
    assert alphabet_of(["ab"], 3).encode([]).shape == (0, 3)


@pytest.mark.parametrize(("characters", "length"), [("aa", 3), ("a\0", 3), ("a", 0)])
def test_repeated_characters_nul_and_no_length_are_refused(characters: str, length: int) -> None:
    with pytest.raises(ValueError, match=r"distinct|NUL|at least 1"):
        Alphabet(characters, length)


def test_a_file_that_is_no_tokenizer_of_ours_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with pytest.raises(ArtifactError, match=r"cannot read .*tokenizer\.json"):
        Alphabet.load(path)
    path.write_text("{}")
    with pytest.raises(ArtifactError, match=r"tokenizer\.json is not a character-level tokenizer"):
        Alphabet.load(path)


def test_a_tokenizer_is_saved_whole_or_the_old_one_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tokenizer.json"
    Alphabet("abc", 4).save(path)
    write = Path.write_text

    def full(self: Path, data: str, **options: str) -> int:
        write(self, data[:10], **options)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        Alphabet("other", 4).save(path)
    assert list(tmp_path.iterdir()) == [path]
    assert Alphabet.load(path).characters == "abc"
