"""Near captions: false captions that differ from a true one in one respect."""

from __future__ import annotations

from ...kernels.shapes.sdf import PATTERNS, PRIMITIVES
from ..shapes.caption import COLORS

_KINDS = tuple(map(tuple, (COLORS, PRIMITIVES, PATTERNS[1:])))


def near_caption(rng, caption: str) -> str:
    """A caption of another shape: half of the time two colours or two primitives change places, otherwise a word is
    replaced by one of its kind. rng: numpy.random.Generator."""
    words = caption.split()
    places = [[i for i, word in enumerate(words) if word in kind] for kind in _KINDS]
    pairs = [found for found in places if len(found) == 2 and words[found[0]] != words[found[1]]]
    if pairs and rng.random() < 0.5:
        one, other = pairs[int(rng.integers(len(pairs)))]
        words[one], words[other] = words[other], words[one]
    else:
        kinds = [i for i, found in enumerate(places) if found]
        kind = kinds[int(rng.integers(len(kinds)))]
        place = places[kind][int(rng.integers(len(places[kind])))]
        others = [word for word in _KINDS[kind] if word != words[place]]
        words[place] = others[int(rng.integers(len(others)))]
    for i, word in enumerate(words[:-1]):
        if word in ("a", "an"):
            words[i] = "an" if words[i + 1][0] in "aeiou" else "a"
    return " ".join(words)
