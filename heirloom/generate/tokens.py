"""Texts as tokens: only a template writes control tokens, and a text that spells one stays text.

Control tokens are a tokenizer's special tokens, and other added tokens that its chat template
writes. A text that spells none of them is tokenised as transformers does it. For any other one, a
copy of the tokenizer is made in which the control tokens have secret names: there the template's
control tokens are called by these names, and what a text spells is read like any text, together
with what surrounds it.
"""

import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from heirloom.support.errors import HeirloomError

# Private-use characters stand for bytes in marks and names. They are drawn anew in each process, so
# that no text can spell them, and they leave no trace in the tokens.
_FIRST = 0xF0000


def _private(content: bytes) -> str:
    return "".join(chr(_FIRST + byte) for byte in content)


_MARK = _private(secrets.token_bytes(8))
_NAME = _private(secrets.token_bytes(8))
_GUARDED = re.compile(f"{_MARK}(.*?){_MARK}", re.DOTALL)


def guard(tokenizer: Any, text: str) -> str:
    """Return a text in which nothing is a control token to `encode`.

    A text that spells none is returned as it is, so that templates can do with it what they do.

    Args:
        tokenizer: The tokenizer that will encode it.
        text: Text of a user, a data set or a model, to be put into a template perhaps.
    """
    controls = _controls(tokenizer)
    guarded: str = controls.pattern.sub(lambda match: _hide(match[0]), text)
    if guarded == text and controls.pattern.search(controls.normalise(text)):
        # Spelled only after normalisation, in full-width letters for example.
        return re.sub(r"\S", lambda match: _hide(match[0]), text, count=1)
    return guarded


def encode(tokenizer: Any, text: str, *, start: bool) -> list[int]:
    """Return the token ids of a text, in which only guarded parts are read as text alone.

    Args:
        tokenizer: A transformers tokenizer.
        text: A filled template, or a guarded text.
        start: Put in front what the tokenizer puts in front of every sequence, such as BOS, unless
            the template has written it. What it puts at the end, such as EOS, is never added: the
            text goes on.
    """
    controls = _controls(tokenizer)
    if _MARK in text:
        ids = controls.encode_guarded(text)
    else:
        ids = list(tokenizer(text, add_special_tokens=False).input_ids)
    return [*controls.start, *ids] if start and not controls.begins(text) else ids


def encode_text(tokenizer: Any, text: str, *, start: bool) -> list[int]:
    """Return the token ids of a text that has no control tokens, see `encode`."""
    return encode(tokenizer, guard(tokenizer, text), start=start)


def start_tokens(tokenizer: Any) -> list[int]:
    """Return the tokens that the tokenizer puts in front of every sequence, such as BOS."""
    return _controls(tokenizer).start


def first_control(tokenizer: Any, text: str) -> int | None:
    """Return the id of the first control token in a rendered template; None if there is none."""
    found = _controls(tokenizer).pattern.search(text)
    return None if found is None else _controls(tokenizer).ids[found[0]]


def check_control_tokens(tokenizer: Any) -> None:
    """Refuse a tokenizer that cannot tell its control tokens from texts that spell them.

    Raises:
        HeirloomError: It cannot.
    """
    for token in _controls(tokenizer).ids:
        encode_text(tokenizer, token, start=False)
        break  # all of them are given names when the first is met


def _hide(text: str) -> str:
    return f"{_MARK}{_private(text.encode('utf-8', 'surrogatepass'))}{_MARK}"


def _reveal(match: re.Match[str]) -> str:
    hidden = bytes(ord(character) - _FIRST for character in match[1])
    return hidden.decode("utf-8", "surrogatepass")


@dataclass(frozen=True)
class _Controls:
    """The control tokens of a tokenizer.

    Attributes:
        tokenizer: The tokenizer.
        ids: Control token to its id.
    """

    tokenizer: Any
    ids: Mapping[str, int]

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches a control token, the longer one where two begin."""
        longest_first = sorted(self.ids, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    @cached_property
    def normalise(self) -> Callable[[str], str]:
        """The tokenizer's normalisation of texts."""
        normalizer = getattr(self._backend, "normalizer", None)
        return str if normalizer is None else normalizer.normalize_str  # type: ignore[no-any-return]

    @cached_property
    def start(self) -> list[int]:
        """The tokens in front of every sequence."""
        bare = list(self.tokenizer("a", add_special_tokens=False).input_ids)
        whole = list(self.tokenizer("a").input_ids)
        starts = (n for n in range(len(whole)) if whole[n : n + len(bare)] == bare)
        return whole[: next(starts, 0)]

    def begins(self, text: str) -> bool:
        """Return True if a template has written the tokens in front itself."""
        front = "".join(self.tokenizer.convert_ids_to_tokens(self.start))
        bos, eos = self.tokenizer.bos_token, self.tokenizer.eos_token
        return text.startswith(front) or (bos is not None and bos != eos and bos in text)

    @property
    def _backend(self) -> Any:
        return getattr(self.tokenizer, "backend_tokenizer", None)

    def encode_guarded(self, text: str) -> list[int]:
        """Encode a text with guarded parts."""
        if self._backend is None:
            return self._encode_in_pieces(text)
        names = self._names
        called = self.pattern.sub(lambda match: names[match[0]], text)
        ids = self._twin.encode(_GUARDED.sub(_reveal, called), add_special_tokens=False).ids
        return list(ids)

    def _encode_in_pieces(self, text: str) -> list[int]:
        """Encode by a tokenizer that is written in Python and has no copy with other names."""
        ids: list[int] = []
        for piece in re.split(f"({self.pattern.pattern})", text):
            if piece in self.ids:
                ids.append(self.ids[piece])
            elif piece:
                plain = _GUARDED.sub(_reveal, piece)
                ids += self.tokenizer(
                    plain, add_special_tokens=False, split_special_tokens=True
                ).input_ids
        return ids

    @cached_property
    def _names(self) -> dict[str, str]:
        return {token: f"{_NAME}{chr(_FIRST + i)}{_NAME}" for i, token in enumerate(self.ids)}

    @cached_property
    def _twin(self) -> Any:
        """The tokenizer with other names for its control tokens, their ids unchanged."""
        names = self._names
        described = json.loads(self._backend.to_str())
        for added in described["added_tokens"]:
            if added["content"] in names:
                added |= {"content": names[added["content"]], "normalized": False}
        model = described["model"]
        # Also in the vocabulary: a unigram model would find the control token there.
        if isinstance(model["vocab"], dict):
            model["vocab"] = {names.get(piece, piece): i for piece, i in model["vocab"].items()}
        else:
            model["vocab"] = [[names.get(piece, piece), score] for piece, score in model["vocab"]]
        if model.get("unk_token") in names:
            model["unk_token"] = names[model["unk_token"]]
        if "merges" in model:
            model["merges"] = [merge for merge in model["merges"] if not _makes(merge, names)]
        twin = type(self._backend).from_str(json.dumps(described))
        twin.no_truncation()
        twin.no_padding()
        if any(twin.token_to_id(names[token]) != i for token, i in self.ids.items()):
            raise HeirloomError("its tokenizer gives an id to several tokens.")
        return twin


def _makes(merge: list[str] | str, names: Mapping[str, str]) -> bool:
    """Return True if a merge of two pieces has to do with a control token."""
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return not names.keys().isdisjoint((left, right, left + right))


def chat_template_of(tokenizer: Any) -> str:
    """Return the text of a tokenizer's chat template, of several the default one; else empty."""
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    return template or ""


def _controls(tokenizer: Any) -> _Controls:
    added = tokenizer.num_special_tokens_to_add()
    return _known(tokenizer, chat_template_of(tokenizer), len(tokenizer), added)


@lru_cache(maxsize=8)
def _known(tokenizer: Any, template: str, size: int, added: int) -> _Controls:
    """The control tokens, found once as long as the tokenizer and its template are the same."""
    named = set(tokenizer.all_special_tokens)
    return _Controls(
        tokenizer,
        {
            token.content: i
            for i, token in tokenizer.added_tokens_decoder.items()
            # Tokens of white space and of words are in templates as ordinary text.
            if token.special
            or token.content in named
            or (token.content in template and not re.fullmatch(r"[\w\s]*", token.content))
        },
    )
