"""Objects below a prefix in a bucket, through obstore, with what services refuse turned into sentences.

Credentials are obstore's own affair: it takes them from the environment or from the machine, and none of them is ever
in here. What a service answers may hold some (a signed request, a key), so messages repeat its code alone.

After a fork obstore hangs: processes that read from a bucket are started by a fork server, as all of weldcache's are.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ...configs.place import BucketUrl
from ...errors import BucketAccessError, BucketError, NotFoundError, SettingsError, StoreError
from ...wording import with_extra

_CLIENT = {"connect_timeout": "10s", "timeout": "180s", "allow_http": True}  # http where the environment says so
_RETRY = {"max_retries": 5, "retry_timeout": timedelta(seconds=60)}
_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_STATUS = re.compile(r"non-2xx status code: (\d{3})")
_NO_BUCKET = ("NoSuchBucket", "InvalidBucketName", "ContainerNotFound", "InvalidResourceName", "ResourceNotFound")
_REGION = ("AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException")
_KEYS = {"s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", "gs": "GOOGLE_APPLICATION_CREDENTIALS"}
_KEYS["az"] = "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY"
_ENDPOINTS = {"s3": "AWS_ENDPOINT_URL", "gs": "GOOGLE_BASE_URL", "az": "AZURE_STORAGE_ENDPOINT"}
_ENDPOINT = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+(/[A-Za-z0-9._/-]*)?")
_NO_MACHINE = ("169.254.169.254", "metadata.google.internal", "MissingAccount")
_SOURCE = re.compile(r"source: (\w+)")  # obstore's name of what went wrong
_BAD_KEY = ("InvalidAccessKey", "OpenCredentials", "DecodeCredentials", "ReadPem", "InvalidKey")


Version = Mapping[str, str]
"""What a service knows one version of an object by, for `Bucket.claim`."""


@dataclass(frozen=True)
class Held:
    """An object that lies in a bucket: its size in bytes, and what its service knows this version of it by."""

    size: int
    e_tag: str | None


class Bucket:
    """The objects below `url`; its methods are called by several threads at once.

    `objects` is an object store of obstore that stands for the service, for tests and benchmarks.

    Raises:
        SettingsError: if obstore is not installed.
        BucketAccessError, NotFoundError, BucketError: as every method, where the service cannot be had, the bucket is
            not there, or the service fails.
    """

    def __init__(self, url: BucketUrl, *, objects: Any = None) -> None:
        self.url = url
        self._obstore = _obstore()
        if objects is None:
            self._require_endpoint()
            with self._told("opening it"):
                objects = self._obstore.store.from_url(str(url), client_options=_CLIENT, retry_config=_RETRY)
        self._objects = objects
        self._guards: list[Callable[[], None]] = []

    def __reduce__(self) -> tuple[type["Bucket"], tuple[BucketUrl]]:
        """Another process finds its own credentials."""
        return Bucket, (self.url,)

    @property
    def how_to_mend(self) -> str:
        """What to do about a mirror here that is damaged."""
        return (
            f"Put it there again with `weldcache mirror FOLDER {self.url}`; features that are gone or were replaced "
            f"are made again by `weldcache extract --cache {self.url}`."
        )

    @contextmanager
    def guarded(self, require: Callable[[], None]) -> Iterator[None]:
        """Meanwhile have `require`, which raises where this process may not, called before anything here is changed."""
        self._guards.append(require)
        try:
            yield
        finally:
            self._guards.remove(require)

    def listed(self) -> dict[str, Held]:
        """Every object, by its name below the prefix. A bucket that is not there is an error, not an empty one."""
        with self._told("listing it"):
            return {
                found["path"]: Held(found["size"], self._version(found["e_tag"]))
                for block in self._obstore.list(self._objects)
                for found in block
            }

    def read(self, name: str, *, version: str | None = None, start: int = 0, stop: int | None = None) -> memoryview:
        """The bytes of an object, or those from `start` to `stop`.

        Raises:
            StoreError: if it is gone, or another version than the one whose `e_tag` is `version`.
        """
        options: dict[str, Any] = {} if version is None else {"if_match": version}
        if stop is not None:
            options["range"] = (start, stop)
        with self._told("reading from it", name=name):
            return memoryview(self._obstore.get(self._objects, name, options=options).bytes())

    def write(self, name: str, content: bytes) -> Held:
        """Put an object in the place of any of its name, whole or not at all."""
        self._require_allowed()
        with self._told("writing to it"):
            put = self._obstore.put(self._objects, name, content, use_multipart=False)
        return Held(len(content), self._version(put["e_tag"]))

    def create(self, name: str, content: bytes) -> Held | None:
        """Put an object where there is none of its name; None, and nothing is done, where there is one."""
        self._require_allowed()
        put = self.claim(name, content, over=None)
        return None if put is None else Held(len(content), self._version(put.get("e_tag")))

    def claim(self, name: str, content: bytes, *, over: Version | None) -> Version | None:
        """Put an object only if there is none of its name yet, or, where `over` is given, still that version of it;
        return the version that it is now, or None if somebody else was first. No guard is asked."""
        mode: Any = "create" if over is None else dict(over)
        with self._told("writing to it", name=name):
            try:
                put = self._obstore.put(self._objects, name, content, mode=mode, use_multipart=False)
            except (self._obstore.exceptions.AlreadyExistsError, self._obstore.exceptions.PreconditionError):
                return None
            except FileNotFoundError:
                if over is None:  # then the bucket is what is not there
                    raise
                return None  # as S3 refuses to put it over a version of what is gone
            return _told_version(put)

    def claimed(self, name: str) -> tuple[bytes, Version] | None:
        """An object that is claimed, with its version; None if there is none."""
        with self._told("reading from it", name=name):
            try:
                found = self._obstore.get(self._objects, name)
            except FileNotFoundError:
                return None
            return bytes(found.bytes()), _told_version(found.meta)

    def remove(self, names: list[str]) -> None:
        """Remove objects, which may be gone already."""
        self._require_allowed()
        with self._told("removing from it"):
            try:
                self._obstore.delete(self._objects, names)
            except FileNotFoundError:
                # Google and Azure refuse what is gone, and may not have come to the others.
                for name in names:
                    with suppress(FileNotFoundError):
                        self._obstore.delete(self._objects, [name])

    def _require_allowed(self) -> None:
        for require in self._guards:
            require()

    def _version(self, e_tag: str | None) -> str | None:
        """A version as requests name it: Azure leaves the quotation marks out when it lists."""
        is_bare = self.url.scheme == "az" and e_tag is not None and not e_tag.endswith('"')
        return f'"{e_tag}"' if is_bare else e_tag

    def _require_endpoint(self) -> None:
        """Refuse an address of a service that is none, of which obstore would die."""
        name = _ENDPOINTS[self.url.scheme]
        if (told := os.environ.get(name)) and not _ENDPOINT.fullmatch(told):
            raise BucketAccessError(
                f"{self.url}: {name} is no address of a service. Write it as https://host or http://host:port, "
                "or unset it if the service is the provider's own."
            )

    @contextmanager
    def _told(self, doing: str, *, name: str = "") -> Iterator[None]:
        exceptions = self._obstore.exceptions
        try:
            yield
        except exceptions.PreconditionError:
            raise StoreError(
                f"{self.url} was changed while it was read: {name} is another by now. Run the same command again."
            ) from None
        except (exceptions.BaseError, OSError, ValueError) as error:
            # Without its cause, which a traceback would show whole.
            raise self._refusal(error, doing, name=name) from None

    def _refusal(self, error: Exception, doing: str, *, name: str) -> Exception:
        """The error for the user behind one of obstore's."""
        text, scheme = str(error), self.url.scheme
        code, status = ((match[1] if match else "") for match in (_CODE.search(text), _STATUS.search(text)))
        service = f" ({' '.join(part for part in (status, code) if part)})" if code or status else ""
        if code in _NO_BUCKET:
            kind = "container" if scheme == "az" else "bucket"
            return NotFoundError(
                f"There is no {kind} {self.url.bucket}{service}. Check its name, and {_ENDPOINTS[scheme]} if the "
                "service is not the provider's own."
            )
        if code in _REGION or (scheme == "s3" and status in ("301", "307")):
            return BucketAccessError(
                f"{self.url}: the bucket is in another region{service}. Set AWS_REGION to the one that it is in."
            )
        if any(sign in text for sign in _NO_MACHINE):
            return BucketAccessError(
                f"{self.url}: no credentials were found. Set {_KEYS[scheme]}, or work on a machine that has a role."
            )
        source = match[1] if (match := _SOURCE.search(text)) else ""
        if source in _BAD_KEY or (source == "TokenRequest" and status):
            return BucketAccessError(
                f"{self.url}: the credentials are none that can be used{service}. Check {_KEYS[scheme]}."
            )
        if status in ("401", "403"):
            return BucketAccessError(
                f"{self.url}: the service refused {doing}{service}. Check the credentials ({_KEYS[scheme]}) and what "
                "they may do."
            )
        if isinstance(error, FileNotFoundError):
            return StoreError(f"{self.url} was changed or is damaged: it has no {name}. Run the same command again.")
        if not status:
            return BucketAccessError(
                f"{self.url}: the service cannot be reached, or does not speak as it should. Check the network, and "
                f"{_ENDPOINTS[scheme]} if the service is not the provider's own."
            )
        return BucketError(f"{self.url}: {doing} failed{service}. Run the same command again; what is done is kept.")


def _told_version(told: Mapping[str, Any]) -> Version:
    """Of what a service tells of an object; services differ in which of the two they go by."""
    return {name: told[name] for name in ("e_tag", "version") if told.get(name) is not None}


def _obstore() -> Any:
    try:
        import obstore
        import obstore.exceptions
        import obstore.store
    except ModuleNotFoundError:
        raise SettingsError(
            f"A store in a bucket needs the package obstore, the extra weldcache[s3]: {with_extra('s3')}; or name a "
            "folder."
        ) from None
    return obstore


Listing = Mapping[str, Held]
