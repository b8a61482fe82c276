"""The known files: what is built in is right, and a user's own file is read strictly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from decathlon.data.official import OFFICIAL
from decathlon.data_prep.download.mirrors import KnownFile, known_files, select
from decathlon.errors import DataError, UsageError

DATA = "decathlon-1.0-data.tar.gz"
IMAGENET = "decathlon-1.0-data-imagenet.tar"
SHA256, MD5 = "ab" * 32, "cd" * 16


def own(tmp_path: Path, text: str) -> dict[str, KnownFile]:
    path = tmp_path / "my.toml"
    path.write_text(text)
    return known_files(path)


def test_the_official_archives() -> None:
    files = select(known_files(), ("official",))
    assert [(file.name, file.size, file.algorithm, file.digest) for file in files] == [
        (
            "decathlon-1.0-devkit.tar.gz", 23_503_205, "sha256",
            "f86d9e128678434ff2a3a374f00eb3e2ec2267e15e53ddae5f19ff19378b5ff7",
        ),
        (DATA, 406_351_554, "sha256", "8eca928bda025d855c91a78db45b3b18bc322efd7b1462a041e62c27b3c83c25"),
        (IMAGENET, 6_535_075_840, "sha256", "93caac18a907266f917136849c1db7bbf88dd595120af1a8eea7177138962e4a"),
    ]  # fmt: skip
    assert files[1].mirrors == (f"https://www.robots.ox.ac.uk/~vgg/share/{DATA}",)
    assert not files[2].mirrors and "https://image-net.org" in files[2].manual


def test_every_built_in_file_can_be_used() -> None:
    for name, file in known_files().items():
        assert file.name == name and file.about and file.group in {"official", *OFFICIAL}
        assert file.mirrors or file.manual
        assert all(url.rpartition("/")[2] == name for url in file.mirrors)


def test_digests_and_links_are_those_of_torchvision() -> None:
    files, datasets = known_files(), pytest.importorskip("torchvision.datasets")
    flowers, omniglot = datasets.Flowers102, datasets.Omniglot
    urls = [datasets.DTD._URL, datasets.FGVCAircraft._URL]
    urls += [datasets.SVHN.split_list[split][0] for split in ("train", "test")]
    urls += [flowers._download_url_prefix + name for name, _ in flowers._file_dict.values()]
    urls += [f"{omniglot.download_url_prefix}/{name}.zip" for name in omniglot.zips_md5]
    for url in urls:
        assert files[url.rpartition("/")[2]].mirrors == (url,)
    for name, md5 in datasets.imagenet.ARCHIVE_META.values():
        assert files[name].digest == md5


def test_names_and_groups_select_each_file_once() -> None:
    files = known_files()
    assert [file.name for file in select(files, ("svhn", "test_32x32.mat", DATA))] == [
        DATA, "train_32x32.mat", "test_32x32.mat",
    ]  # fmt: skip
    assert select(files, ()) == select(files, ("official",))
    with pytest.raises(UsageError, match="unknown file or group 'cifar'. Did you mean cifar100"):
        select(files, ("cifar",))


def test_own_mirrors_come_first_and_change_nothing_else(tmp_path: Path) -> None:
    before = known_files()[DATA]
    after = own(tmp_path, f'[files."{DATA}"]\nmirrors = ["http://a:8000/x", "{before.mirrors[0]}"]\n')[DATA]
    assert after.mirrors == ("http://a:8000/x", *before.mirrors)
    assert (after.digest, after.size, after.group) == (before.digest, before.size, before.group)


def test_an_own_digest_takes_the_place_of_the_built_in_file(tmp_path: Path) -> None:
    file = own(tmp_path, f'[files."{DATA}"]\nmd5 = "{MD5.upper()}"\nmirrors = ["https://a/x"]\n')[DATA]
    assert file == KnownFile(DATA, "md5", MD5, None, ("https://a/x",), "official", "images of nine domains")


def test_a_new_file(tmp_path: Path) -> None:
    text = f'[files."b.zip"]\nsha256 = "{SHA256}"\nmd5 = "{MD5}"\nbytes = 5\ngroup = "birds"\nmirrors = ["https://a/b"]'
    files = own(tmp_path, text)
    assert files["b.zip"] == KnownFile("b.zip", "sha256", SHA256, 5, ("https://a/b",), "birds")
    assert select(files, ("birds",)) == [files["b.zip"]] and DATA in files
    assert own(tmp_path, "") == known_files()
    twice = text.replace('["https://a/b"]', '["https://a/b", "https://a/b"]')
    assert own(tmp_path, twice) == files


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = [", "my.toml is not valid TOML"),
        ("\xff", "my.toml is not valid TOML"),
        ('mirrors = ["https://a/b"]', "unknown key mirrors. Write one table"),
        ("files = 3", "files is 3, not an object. Write one table"),
        ("[files.b.zip]\nbytes = 3", "unknown key 'zip' in"),
        ("[files]\nb = 3", "files['b'] is 3, not an object"),
        ('[files."b"]\nmirror = []', "unknown key 'mirror' in"),
        ('[files."b"]\nbytes = "3"', "files['b'].bytes is '3', not a number of bytes above 0"),
        ('[files."b"]\nbytes = true', "not a number of bytes"),
        ('[files."b"]\nbytes = 0', "not a number of bytes"),
        ('[files."b"]\nbytes = 3.0', "not a number of bytes"),
        ('[files."b"]\nsha256 = "ab"', "sha256 is 'ab', not 64 hexadecimal digits"),
        (f'[files."b"]\nsha256 = "{"g" * 64}"', "not 64 hexadecimal digits"),
        (f'[files."b"]\nmd5 = "{SHA256}"', "not 32 hexadecimal digits"),
        ('[files."b"]\nmirrors = "https://a/b"', "mirrors is 'https://a/b', not a list"),
        ('[files."b"]\nmirrors = ["https://a/b", "file:///etc/passwd"]', "not a http or https URL"),
        ('[files."b"]\nmirrors = ["https:///b"]', "not a http or https URL"),
        ('[files."b"]\nmirrors = ["https://a:x/b"]', "not a http or https URL"),
        ('[files."b"]\nmirrors = ["https://a/b c"]', "not a http or https URL"),
        ('[files."b"]\nmirrors = ["https://a/b\\r\\nX: y"]', "not a http or https URL"),
        ('[files."b"]\nmirrors = [3]', "not a http or https URL"),
        ('[files."b"]\ngroup = 3', "group is 3, not one line of text"),
        ('[files."b"]\nabout = "a\\u001b[31m"', "not one line of text"),
        ('[files."b"]\nmirrors = ["https://a/b"]', 'files."b" has no sha256 or md5. Add one'),
        (f'[files."b"]\nmd5 = "{MD5}"', 'files."b" has no mirrors. Add a list'),
        (f'[files."{DATA}"]\nmd5 = "{MD5}"', "has no mirrors. Add a list"),
        *((f'[files."{name}"]\nmd5 = "{MD5}"', "is not a plain file name")
          for name in ("../b", "/b", "a/b", "..", ".b", "", "a\\\\b", "C:b", "a\\nb")),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_with_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "my.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=re.escape(message)) as end:
        known_files(path)
    assert "my.toml" in str(end.value)


def test_there_must_be_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read the mirrors .*none.toml: No such file"):
        known_files(tmp_path / "none.toml")
