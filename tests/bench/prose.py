# Copyright (c) 2026, appstate.backup contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text that compresses as natural language does.

gzip -6 makes a third of it, zstd -3 a little less than gzip, zstd -1 a twelfth more than gzip.
"""

from __future__ import annotations

import itertools
import json
import random
from typing import Tuple

SEED = 20260101
VOCABULARY_WORDS = 120_000
VOCABULARY_PHRASES = 20_000
# Each text has a topic of so many words; of a hundred words in it, so many belong to the topic.
TOPIC_WORDS = 60
TOPIC_SHARE = 40
# Of a hundred draws from the vocabulary, so many are whole phrases.
PHRASE_SHARE = 2
CLASSES = ("lead", "body", "note")

ONSETS = " b br c ch cl d dr f fl g gr h k l m n p pl pr qu r s sh sp st str t th tr v w y".split(" ")
NUCLEI = "a e i o u e a i ea ou io ee".split(" ")
CODAS = "  n r s t l d ng nt st m ck ss ll".split(" ")

Row = Tuple[int, str, str, str, str, int]


class Prose:
    """Text whose words follow Zipf's law, with recurring phrases, from one seed."""

    def __init__(self) -> None:
        vocabulary = random.Random(SEED)
        words = _words(vocabulary, VOCABULARY_WORDS)
        self._random = random.Random(SEED)
        self._units = words[:]
        weights = [1.0 / (rank + 2.7) for rank in range(len(words))]
        cumulative = list(itertools.accumulate(weights))
        total = cumulative[-1]
        for _phrase in range(VOCABULARY_PHRASES):
            length = vocabulary.randint(2, 4)
            self._units.append(" ".join(vocabulary.choices(words, cum_weights=cumulative, k=length)))
            weights.append(PHRASE_SHARE / 100 * total / VOCABULARY_PHRASES)
        self._cumulative = list(itertools.accumulate(weights))
        self._topic = self._draw(TOPIC_WORDS)

    def begin(self, seed: int) -> None:
        """Start anew: what comes next depends on the seed only."""
        self._random.seed(seed)

    def _draw(self, count: int) -> list[str]:
        return self._random.choices(self._units, cum_weights=self._cumulative, k=count)

    def units(self, count: int) -> list[str]:
        """Return ``count`` words or phrases; as in real texts, a good part of them belongs to the topic at hand."""
        of_topic = count * TOPIC_SHARE // 100
        units = self._draw(count - of_topic) + self._random.choices(self._topic, k=of_topic)
        self._random.shuffle(units)
        return units

    def paragraph(self, count: int) -> str:
        """Return a paragraph of about ``count`` words in sentences."""
        units = self.units(count)
        for place in range(9, count, 13):
            units[place] = units[place].capitalize() if place % 2 else units[place] + "."
        return " ".join(units).capitalize() + "."

    def row(self, number: int) -> Row:
        """Return one row of the ``items`` table: HTML, JSON and plain text, some kilobytes together."""
        draw = self._random
        self._topic = self._draw(TOPIC_WORDS)
        title = " ".join(self.units(draw.randint(2, 6))).title()
        slug = title.lower().replace(" ", "-")
        html = "".join(
            '<p class="%s">%s</p>\n' % (draw.choice(CLASSES), self.paragraph(draw.randint(30, 110)))
            for _paragraph in range(draw.randint(2, 7))
        )
        html += '<a href="/public/uploads/%s-%d.jpg" title="%s"><img src="/media/%08x.jpg" alt=""></a>' % (
            slug, number, title, draw.getrandbits(32))
        document = json.dumps({
            "id": number, "uuid": "%032x" % draw.getrandbits(128), "title": title,
            "tags": self.units(draw.randint(1, 5)), "summary": self.paragraph(draw.randint(15, 40)),
            "views": draw.randint(0, 90_000), "published": draw.random() < 0.8, "rating": round(draw.random() * 5, 2),
        })
        created = 1_700_000_000 + number * 37 + draw.randint(0, 36)
        return number, slug, html, document, self.paragraph(draw.randint(10, 60)), created


def _words(draw: random.Random, count: int) -> list[str]:
    """Return ``count`` different pronounceable words, short ones first, as in a natural language."""
    seen: set[str] = set()
    words: list[str] = []
    while len(words) < count:
        syllables = draw.choice((1,) if len(words) < 400 else (1, 2, 2) if len(words) < 4000 else (1, 2, 2, 3, 3, 4))
        word = "".join(draw.choice(part) for _syllable in range(syllables) for part in (ONSETS, NUCLEI, CODAS))
        if word not in seen:
            seen.add(word)
            words.append(word)
    return words
