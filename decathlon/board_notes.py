"""What stands below leaderboards, so that nobody compares what cannot be compared."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from decathlon.entries import Entry
from decathlon.leaderboard import Board
from decathlon.system.text import several


def notes(found: Sequence[Board]) -> list[str]:
    """Return what a reader must know so as not to compare what cannot be compared."""
    sentences = []
    published = any(entry.published for board in found for entry in board.entries)
    if published and not all(board.official for board in found):
        sentences.append(
            "The published rows are of the official benchmark: their numbers cannot be compared with other runs."
        )
    if sum(any(not entry.published for entry in board.entries) for board in found) > 1:
        sentences.append(
            "These runs differ in their domains, images or baseline: compare rows within a table, never across."
        )
    sentences += [sentence for board in found for sentence in _truth_notes(board)]
    sentences += (sentence for board in found for entry in board.entries for sentence in _entry_notes(board, entry))
    if published:
        sentences.append(
            "Score is computed here from the rounded accuracies; 'printed' is the score the paper states."
        )
    return sentences


def _truth_notes(board: Board) -> list[str]:
    """Return a sentence for every two rows with the same domains that were scored against other answers."""
    first: dict[Hashable, Entry] = {}
    sentences = []
    for entry in board.entries:
        if entry.score is None or entry.score.truth is None or entry.reference:
            continue
        rival = first.setdefault(frozenset(domain.name for domain in entry.score.domains), entry)
        if rival.score is not None and rival.score.truth != entry.score.truth:
            sentences.append(
                f"{rival.name} and {entry.name} were scored against different ground truths: do not compare them, "
                "or score both with the same --truth."
            )
    return sentences


def _entry_notes(board: Board, entry: Entry) -> list[str]:
    """Return why an entry has no score or no total in its board; empty when it has one."""
    if entry.score is None:
        return [f"{entry.name} diverged in training: it has no score."]
    if entry.score.total is None:
        return [] if entry.reference else [f"{entry.name}: {sentence}" for sentence in entry.score.notes()]
    if board.total(entry) is None:
        return [f"{entry.name} answers {several(len(entry.score.domains), 'domain')}: it has no total here."]
    return []
