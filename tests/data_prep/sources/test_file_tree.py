"""The files of an original: folders, links, archives in archives, and what is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from decathlon.data_prep.sources.file_tree import Tree, open_tree
from decathlon.errors import DataError, UsageError
from tests.helpers.challenge_sources import archive
from tests.helpers.originals import text


def opened(*paths: Path) -> Tree:
    return open_tree(paths, "the folder dtd")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    text(tmp_path / "dtd/labels/val1.txt", "one", "", "  two ")
    text(tmp_path / "dtd/labels/val10.txt", "three")
    text(tmp_path / "dtd/images/a.jpg", "a")
    return tmp_path / "dtd"


def test_names_begin_with_the_folder_and_are_sorted(folder: Path) -> None:
    tree = opened(folder)
    assert list(tree.files) == ["dtd/images/a.jpg", "dtd/labels/val1.txt", "dtd/labels/val10.txt"]
    assert tree.lines(tree.one("labels/val1.txt")) == ["one", "two"]
    assert tree.find("al1.txt") is None and tree.find("val2.txt") is None
    assert [match[1] for _, match in tree.matching(r"val(\d+)\.txt")] == ["1", "10"]
    assert not list(tree.matching(r"al(\d+)\.txt"))


def test_an_archive_and_archives_in_it_read_like_folders(folder: Path, tmp_path: Path) -> None:
    tree = opened(archive(folder, tmp_path / "dtd.tar.gz"))
    assert tree.files.keys() == opened(folder).files.keys() and tree.read("dtd/images/a.jpg") == b"a\n"
    inner = archive(folder / "images", tmp_path / "more" / "inner.tar")
    nested = opened(archive(inner.parent, tmp_path / "outer.tar"))
    assert list(nested.files) == ["outer/inner/a.jpg"] and nested.read("outer/inner/a.jpg") == b"a\n"


def test_links_to_folders_are_followed_once(folder: Path) -> None:
    (folder / "images" / "loop").symlink_to(folder)
    (folder / "link").symlink_to(folder / "labels")
    (folder.parent / "called").symlink_to(folder)
    names = list(opened(folder.parent / "called").files)
    assert sum(name.endswith("/a.jpg") for name in names) <= 2 and len(names) < 10
    assert names[0].startswith("dtd/")


def test_a_table_may_be_named_by_itself(folder: Path, tmp_path: Path) -> None:
    text(tmp_path / "labels.csv", "x")
    tree = opened(folder, tmp_path / "labels.csv")
    assert tree.lines(tree.one("labels.csv")) == ["x"] and tree.find("a.jpg") == "dtd/images/a.jpg"


def test_what_is_not_there_or_there_twice_is_named(folder: Path) -> None:
    tree = opened(folder)
    with pytest.raises(DataError, match=r"dtd has no val3.txt. Pass the folder dtd\."):
        tree.one("val3.txt")
    with pytest.raises(DataError, match="has no images/b.jpg"):
        tree.picture("dtd/images/b.jpg")
    text(folder / "more/val1.txt", "x")
    with pytest.raises(DataError, match=r"holds dtd/labels/val1.txt and dtd/more/val1.txt. Pass a folder"):
        opened(folder).one("val1.txt")
    with pytest.raises(DataError, match="duplicate file dtd/images/a.jpg"):
        opened(folder, folder)


def test_other_files_are_refused(folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "dtd.zip", "w") as packed:
        packed.writestr("a", "b")
    with pytest.raises(DataError, match=r"dtd.zip is neither a folder nor a tar archive. Unpack it and pass the f"):
        opened(tmp_path / "dtd.zip")
    with pytest.raises(UsageError, match="nothing does not exist"):
        opened(tmp_path / "nothing")
    (folder / "broken").symlink_to(tmp_path / "nothing")
    with pytest.raises(DataError, match="dtd/broken does not exist"):
        opened(folder).read("dtd/broken")
