"""The Hugging Face hub, and timm's part of it: ``hf://`` and ``timm://`` addresses."""

from __future__ import annotations

import difflib
import hashlib
import logging
import re
from dataclasses import dataclass
from pathlib import Path

from timesformer.errors import UserError

log = logging.getLogger("timesformer")

HUB_FORM = "hf://owner/repo[@revision][/file]"
HUB_ADDRESS = re.compile(
    r"hf://([\w.-]+/[\w.-]+)(?:@(refs/pr/\d+|[^/@]+))?(?:/([^@]*[^@/]))?", re.IGNORECASE
)
HUB_WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # of Transformers and timm, best first
INDEX = ".index.json"  # the table of contents of weights that are cut into several files
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class HubSource:
    """A repository of the Hugging Face hub, at a revision, or one file of it."""

    address: str  # as the user wrote it
    repo: str
    revision: str = "main"
    file: str = ""


def fetch_from_hub(address: str) -> Path:
    """The file, or the folder with the weights, of an ``hf://`` or ``timm://`` address."""
    try:
        import huggingface_hub  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"'{address}' needs a package: pip install huggingface_hub. Or name a local path."
        ) from error
    hub = timm_source(address) if address.lower().startswith("timm") else hub_source(address)
    if obstacle := hub_obstacle(hub):
        log.warning("'%s': %s; looking in the cache.", address, obstacle)
    if not hub.file:
        hub_file(hub, "config.json", offline=bool(obstacle))
    names = (hub.file,) if hub.file else HUB_WEIGHTS
    paths = (hub_file(hub, name, offline=bool(obstacle)) for name in names)
    path = next(filter(None, paths), None)
    if path is None:
        raise not_fetched(hub, obstacle) if obstacle else not_there(hub)
    return path if hub.file else path.parent


def hub_source(address: str) -> HubSource:
    """An ``hf://`` address, taken apart."""
    match = HUB_ADDRESS.fullmatch(address)
    if match is None:
        raise UserError(f"'{address}' names nothing on the Hugging Face hub: write {HUB_FORM}.")
    repo, revision, file = match.groups()
    hub = HubSource(address, repo, revision or "main", file or "")
    if hub.file.endswith(INDEX):
        raise sharded(hub)
    return hub


def timm_source(address: str) -> HubSource:
    """Where timm keeps the weights of ``timm://architecture.tag``, or of the default tag."""
    name = address.partition("://")[2]
    if not re.fullmatch(r"\w+(\.[\w.-]+)?", name):
        raise UserError(f"'{address}' names nothing in timm: write timm://architecture.tag.")
    if "." in name:
        return HubSource(address, f"timm/{name}")
    try:
        import timm
    except ImportError as error:
        raise UserError(
            f"'{address}' names no tag, and timm, which knows the default, is not installed: write "
            "the whole name, such as timm://vit_base_patch16_224.augreg_in21k_ft_in1k, or pip "
            "install timm."
        ) from error
    default = timm.get_pretrained_cfg(name)
    if default is None or not default.hf_hub_id:
        known = sorted({full.partition(".")[0] for full in timm.list_pretrained()})
        close = ", ".join(difflib.get_close_matches(name, known)) or "none"
        raise UserError(f"timm has no weights '{name}'. Close names: {close}.")
    return HubSource(address, default.hf_hub_id, file=default.hf_hub_filename or "")


def hub_obstacle(hub: HubSource) -> str:
    """Why the hub cannot be asked; empty if it can. One look: a download would retry for long."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    try:
        get_hf_file_metadata(hf_hub_url(hub.repo, hub.file or "config.json", revision=hub.revision))
    except EntryNotFoundError:
        return ""
    # Versions of huggingface_hub differ in the network library whose errors come through.
    except Exception as error:
        return hub_reason(error, hub)
    return ""


def hub_file(hub: HubSource, name: str, *, offline: bool) -> Path | None:
    """The file in the hub's cache, downloaded if need be and checked; None if there is none."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        found = hf_hub_download(hub.repo, name, revision=hub.revision, local_files_only=offline)
    except Exception as error:  # see hub_obstacle; and a full disk, a broken connection, …
        lost = isinstance(error, LocalEntryNotFoundError) and not offline  # the network, just now
        if isinstance(error, EntryNotFoundError) and not lost:
            return None
        raise not_fetched(hub, hub_reason(error, hub)) from error
    check_blob(Path(found), hub)
    return Path(found)


def check_blob(path: Path, hub: HubSource) -> None:
    """Compares a file with its sha256: the cache links to large files, which are named by theirs.

    The hub's client compares sizes alone. A link is followed once: the file may itself be a link,
    to a store with names of another kind.
    """
    blob = path.parent / path.readlink() if path.is_symlink() else path
    promised = blob.name if re.fullmatch("[0-9a-f]{64}", blob.name) else ""
    if problem := hash_problem(path, promised):
        for wrong in (path.resolve(), blob, path):
            wrong.unlink(missing_ok=True)
        raise UserError(f"'{path.name}' of '{hub.address}' {problem}. It was removed: try again.")


def hub_reason(error: Exception, hub: HubSource) -> str:
    """What went wrong, in words for the user."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return "access must be asked for on its page, and then 'hf auth login'"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "there is no such repository, or it is private and needs 'hf auth login'"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"the repository has no revision '{hub.revision}'"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    if isinstance(error, errors.HfHubHTTPError):
        return f"the server answered {error.response.status_code}"
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def not_fetched(hub: HubSource, reason: str) -> UserError:
    """The sentence for a hub that could not be asked, or did not give what it has."""
    from huggingface_hub import constants

    command = f"hf download {hub.repo} {hub.file}".strip() + f" --revision {hub.revision}"
    folder = Path(constants.HF_HUB_CACHE, f"models--{hub.repo.replace('/', '--')}")
    return UserError(
        f"'{hub.address}' could not be fetched from {constants.ENDPOINT}: {reason}. Check the name "
        f"and the network; or run '{command}' on another machine and copy its cache folder to "
        f"'{folder}'; or name a local path instead."
    )


def not_there(hub: HubSource) -> UserError:
    """The sentence for a repository that answers, and has not what was asked for."""
    if hub.file:
        return UserError(
            f"The repository {hub.repo} has no file '{hub.file}' at revision '{hub.revision}': "
            "look for its name on the page of the repository."
        )
    if any(hub_file(hub, name + INDEX, offline=False) for name in HUB_WEIGHTS):
        return sharded(hub)
    return UserError(
        f"The repository {hub.repo} has none of {', '.join(HUB_WEIGHTS)} at revision "
        f"'{hub.revision}': name the file, as in {HUB_FORM}."
    )


def sharded(hub: HubSource) -> UserError:
    return UserError(
        f"The weights of '{hub.address}' are cut into several files, which is not supported: join "
        "them into one with Transformers (save_pretrained with a larger max_shard_size)."
    )


def hash_problem(path: Path, promised: str) -> str:
    """What is wrong with the file, if its sha256 does not begin with `promised`; else empty."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while promised and (chunk := file.read(CHUNK_BYTES)):
            digest.update(chunk)
    if not promised or digest.hexdigest().startswith(promised):
        return ""
    found, wanted = digest.hexdigest()[:12], promised[:12]
    return f"is damaged or another file: its sha256 begins with {found}, not with {wanted}"
