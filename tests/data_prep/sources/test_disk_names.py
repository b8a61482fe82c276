"""Files found by names in another Unicode form than the one on the disk."""

from __future__ import annotations

from pathlib import Path

from decathlon.data_prep.sources.disk_names import on_disk

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


def test_a_name_is_found_in_the_form_that_the_disk_has(tmp_path: Path) -> None:
    place = tmp_path / DECOMPOSED / "a" / f"{COMPOSED}.png"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"x")
    for folder in (COMPOSED, DECOMPOSED):
        for name in (COMPOSED, DECOMPOSED):
            assert on_disk(str(tmp_path), f"{folder}/a/{name}.png") == str(place)


def test_a_name_as_written_comes_first(tmp_path: Path) -> None:
    for name in (COMPOSED, DECOMPOSED):
        (tmp_path / name).write_text(name)
        assert on_disk(str(tmp_path), name) == f"{tmp_path}/{name}"


def test_what_is_not_there_keeps_its_name_until_it_appears(tmp_path: Path) -> None:
    assert on_disk(str(tmp_path), f"no/{COMPOSED}") == f"{tmp_path}/no/{COMPOSED}"
    assert on_disk(str(tmp_path), COMPOSED) == f"{tmp_path}/{COMPOSED}"
    (tmp_path / DECOMPOSED).write_text("x")
    assert on_disk(str(tmp_path), COMPOSED) == f"{tmp_path}/{DECOMPOSED}"
