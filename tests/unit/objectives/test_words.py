"""The definition of a word, in many scripts."""

import pytest

from heirloom.objectives.length import length
from heirloom.objectives.mtld import mtld, tokens
from heirloom.objectives.profanity import profanity
from heirloom.objectives.scoring import score
from heirloom.objectives.words import chunks, only_latin, words

# Texts with spaces around every word, marks and points on the letters.
SPACED = {
    "Hindi": "हिन्दी में लिखा हुआ वाक्य",
    "Hebrew with points": "שָׁלוֹם עוֹלָם",
    "Tamil": "தமிழ் மொழி",
    "vocalised Arabic": "السَّلامُ عَلَيْكُمْ",
    "Persian with a joiner": "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 بروم",
    "Sinhala with a joiner": "ශ්\u200dරී ලංකාව",
    "Bengali": "বাংলা ভাষা",
    "Telugu": "తెలుగు భాష",
    "Amharic": "አማርኛ ቋንቋ",
    "Korean": "한국어를 공부합니다",
    "Yoruba, without composed letters": "e\u0323\u0300ko\u0323\u0301 mi",
    "soft hyphens": "co\u00adop\u00aderate well",
    "a Hebrew acronym": 'צה\u05f4ל וצה"ל',
    "Catalan": "col\u00b7lecció pública",
}

# Texts without spaces, and their words as a dictionary lists them.
UNSPACED = {
    "我喜欢学习中文。今天天气好": ["我", "喜欢", "学习", "中文", "今天", "天气", "好"],
    "私は日本語の本": ["私", "は", "日本語", "の", "本"],
    "コーヒーを飲む": ["コーヒー", "を", "飲む"],
    "ภาษาไทยสวย": ["ภาษา", "ไทย", "สวย"],
    "ភាសាខ្មែរ និង": ["ភាសាខ្មែរ", "និង"],
    "ພາສາລາວ": ["ພາສາ", "ລາວ"],
    "GPT4你好world": ["GPT4", "你好", "world"],
    "e-mail地址3.5公里": ["e-mail", "地址", "3.5", "公里"],
}


@pytest.mark.parametrize("text", SPACED.values(), ids=SPACED)
def test_marks_and_invisible_characters_cut_no_word(text: str) -> None:
    assert len(words(text)) == len(text.split())
    assert length([text]) == [float(len(text.split()))]
    assert len(tokens(text)) == len(text.split())


@pytest.mark.parametrize(("text", "expected"), UNSPACED.items())
def test_scripts_without_spaces_are_split_by_dictionary(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_english_words_are_what_they_were() -> None:
    text = "Don't mix well-being, and/or 1,000.5 e.g. with snake_case - 2nd caf\u00e9 \U0001f600."
    assert words(text) == [
        *("Don't", "mix", "well-being", "and", "or", "1,000.5", "e", "g", "with"),
        *("snake", "case", "2nd", "caf\u00e9"),
    ]


@pytest.mark.parametrize(
    "text", ["", None, "\u0301" * 9, "\u200d\u200e", "\ud83d", "\x00\x1b", "。\uff1f"]
)
def test_no_words(text: str | None) -> None:
    assert words(text) == []


def test_mtld_splits_other_scripts_as_length_does() -> None:
    # Four different words, so MTLD is their number; the danda and the quotes are no part of them.
    assert tokens("«मैं» 2024 में। है घर?") == ["मैं", "में", "है", "घर"]
    assert mtld(["«मैं» में। है घर?", "我喜欢学习"]) == [4.0, 3.0]
    assert tokens("Naïve π-bonds, 2nd; well-being") == ["naïve", "πbonds", "nd", "wellbeing"]


def test_windows_are_cut_in_scripts_without_spaces_too() -> None:
    assert chunks("so  a\tb, 我喜欢学习。") == ["so", "a", "b,", "我", "喜欢", "学习"]
    # In a window of its own the swear word scores what it scores alone.
    text = "我喜欢学习中文" * 20 + " fuck"
    assert profanity([text], window_words=1) == pytest.approx(profanity(["fuck"], window_words=1))


def test_only_letters_decide_the_script() -> None:
    assert only_latin("Caf\u00e9 \u201c3 \u00b5m\u201d \U0001f600 \u2014 ﬁ \uff41")
    assert not only_latin("alpha β")


def test_no_text_has_no_score() -> None:
    assert score("length", ["one two", None, ""]) == [2.0, None, 0.0]
    assert score("mtld", [None]) == [None]
