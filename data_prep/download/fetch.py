"""Download known files: mirror after mirror, with retries, resuming, and a digest check."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from decathlon.data.official import OFFICIAL
from decathlon.data_prep.download.http_client import GiveUp, TryAgain
from decathlon.data_prep.download.mirrors import OFFICIAL_GROUP, KnownFile
from decathlon.data_prep.download.partial_file import PartialFile, digest_of
from decathlon.data_prep.download.transfer import FetchOptions, check_room, download, host
from decathlon.errors import DecathlonError, Interrupted, UsageError, VerificationError
from decathlon.system.locks import locked


def fetch(file: KnownFile, folder: Path, options: FetchOptions) -> bool:
    """Download a known file into `folder`; return False if it was already there.

    It appears under its name only when it is complete and its digest is right. Raises VerificationError if a file
    there or on a mirror has another digest, BusyError if another process fetches it, Interrupted on Ctrl-C,
    DecathlonError if no mirror has it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / f".{file.name}.lock", folder / file.name, "is being fetched"):
            return _fetch(file, PartialFile(folder, file.name), options)
    except OSError as error:  # from the disk: failures on the web have their own messages
        reason = error.strerror or str(error)
        raise DecathlonError(
            f"cannot write {folder / file.name} ({reason}). Free some space or choose another folder with -o."
        ) from None


def _fetch(file: KnownFile, part: PartialFile, options: FetchOptions) -> bool:
    if _is_there(file, part, options):
        part.discard()
        return False
    if not file.mirrors:
        get = f"To get it, {file.manual}, {_with_a_copy(file, part)}."
        raise DecathlonError(f"{_described(file)} has no open link. {get}")
    if file.size is not None:
        check_room(part, file.size)
    failures: dict[str, GiveUp] = {}
    begun = part.origin[0]
    for url in sorted(file.mirrors, key=lambda url: url != begun):  # a partial file is resumed from its own mirror
        try:
            _from_mirror(file, url, part, options)
        except GiveUp as failure:
            failures[url] = failure
            if len(failures) < len(file.mirrors):
                options.say(f"{url}: {failure}; trying the next mirror")
        except KeyboardInterrupt:
            raise _interrupted(part) from None
        else:
            part.finish()
            return True
    raise _nowhere(file, failures, part)


def _is_there(file: KnownFile, part: PartialFile, options: FetchOptions) -> bool:
    """Say whether the complete file exists; raises VerificationError for another one, without `force`."""
    if not part.target.exists():
        return False
    if not part.target.is_file():
        raise UsageError(f"{part.target} is not a file. Choose another folder with -o.")
    size = part.target.stat().st_size
    if file.size in (None, size):
        found = digest_of(part.target, file.algorithm, options.progress)
        if found == file.digest:
            return True
        difference = f"{file.checked_by} {found}, the known one is {file.digest}"
    else:
        difference = f"{size:,} bytes, the known one has {file.size:,}"
    if options.force:
        return False
    raise VerificationError(
        f"{part.target} already exists, with {difference}. Add --force to replace it, or move it away."
    )


def _from_mirror(file: KnownFile, url: str, part: PartialFile, options: FetchOptions) -> None:
    """Download the whole file from one mirror and check it; raises GiveUp."""
    options.say(f"fetching {file.name} from {host(url)}")
    failed, most = 0, part.size
    while True:
        try:
            _attempt(file, url, part, options)
            return
        except TryAgain as reason:
            if part.size - most >= options.least:  # a large file on a bad line must not use up its tries
                failed, most = 0, part.size
            failed += 1
            if failed > options.retries:
                raise GiveUp(str(reason)) from None
            wait = options.wait(failed, reason.wait)
            options.say(f"{host(url)}: {reason}; trying again in {wait:.0f} s ({failed} of {options.retries})")
            options.pause(wait)


def _attempt(file: KnownFile, url: str, part: PartialFile, options: FetchOptions) -> None:
    resumed = bool(part.size)
    download(file, url, part, options)
    found = digest_of(part.path, file.algorithm, options.progress)
    if found == file.digest:
        return
    part.discard()
    difference = f"the download has {file.checked_by} {found}, the known one is {file.digest}"
    if resumed:  # the resumed beginning may be the wrong part
        raise TryAgain(f"{difference}; starting over", wait=0)
    raise GiveUp(difference, wrong=True)


def _interrupted(part: PartialFile) -> Interrupted:
    """Return the error after Ctrl-C, with what is kept."""
    name = part.target.name
    if not part.size or not part.origin[1]:
        return Interrupted(f"interrupted. Nothing of {name} can be resumed; the same command starts over.")
    kept = f"{part.size / 1e6:,.1f} MB of {name} are kept"
    return Interrupted(f"interrupted. {kept}; the same command resumes there.")


def _nowhere(file: KnownFile, failures: Mapping[str, GiveUp], part: PartialFile) -> DecathlonError:
    """Return the error after the last mirror: why each failed and how to continue without them."""
    reasons = "; ".join(f"{url}: {reason}" for url, reason in failures.items())
    kept = f" (the same command resumes after {part.size / 1e6:,.1f} MB)" if part.size and part.origin[1] else ""
    kind = VerificationError if any(failure.wrong for failure in failures.values()) else DecathlonError
    return kind(
        f"no mirror has {_described(file)}{kept}: {reasons}. Add a mirror with --mirrors FILE.toml, or get the "
        f"file elsewhere, {_with_a_copy(file, part)}."
    )


def next_step(files: Sequence[KnownFile], folder: Path) -> str:
    """Return the command that reads files of one group, downloaded into a folder."""
    group = files[0].group
    place = {name: shlex.quote(str(folder / name)) for name in (*(file.name for file in files), group)}
    if group == OFFICIAL_GROUP:
        return f"decathlon data prepare {shlex.quote(str(folder))}/decathlon-1.0-* -o FILE.h5"
    zips = [file.name for file in files if file.name.endswith(".zip")]
    names = [file.name for file in files if file.name not in zips]
    if group not in OFFICIAL:
        return f"decathlon data prepare {' '.join(place[file.name] for file in files)} -o FILE.h5"
    # `data build` reads only folders and tar archives
    unpacked = [f"unzip -q -d {place[group]} {place[name]}" for name in zips]
    sources = " ".join(f"--from {place[name]}" for name in [*names, *([group] if zips else [])])
    return " && ".join([*unpacked, f"decathlon data build {group} {sources} -o FILE.h5"])


def _with_a_copy(file: KnownFile, part: PartialFile) -> str:
    folder = part.target.parent
    return (
        f"put it into {folder}, run this command again to check it, and continue with '{next_step([file], folder)}'"
    )


def _described(file: KnownFile) -> str:
    size = "" if file.size is None else f"{file.size:,} bytes, "
    return f"{file.name} ({size}{file.checked_by} {file.digest})"
