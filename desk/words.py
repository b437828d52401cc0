"""The words of the pages, by language: data in `words/`, English where another language has none."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "words"
FALLBACK = "en"


class Words:
    """One language. Called with a word's name it gives the word, with its values filled in."""

    def __init__(self, language: str, own: Mapping[str, str], others: Mapping[str, str]) -> None:
        self.language, self._own, self._others = language, own, others

    def __call__(self, name: str, **values: Any) -> str:
        """Raises `KeyError` for a word that there is in no language."""
        found = self._own.get(name) or self._others[name]
        return found.format(**values) if values else found

    def get(self, name: str, otherwise: str) -> str:
        """A word that may be missing, such as the name of a code that a programme has made up."""
        return self._own.get(name) or self._others.get(name) or otherwise

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all words that there are."""
        return tuple(sorted(self._others))

    @property
    def missing(self) -> tuple[str, ...]:
        """The words that this language does not have."""
        return tuple(sorted(set(self._others) - set(self._own)))


@cache
def of(language: str) -> Words:
    """The words of a language; English for one that there is not."""
    language = language if language in languages() else FALLBACK
    return Words(language, _read(language), _read(FALLBACK))


@cache
def languages() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


@cache
def _read(language: str) -> dict[str, str]:
    """The file's groups as one: `today: {title: …}` is `today.title`."""
    said: dict[str, dict[str, Any]] = yaml.safe_load((FOLDER / f"{language}.yaml").read_text())
    return {f"{group}.{name}": str(word) for group, words in said.items() for name, word in words.items()}
