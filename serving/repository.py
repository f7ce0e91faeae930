"""Loads, serves and unloads models and versions, without gaps in service."""

import contextlib
import dataclasses
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
from tensorflow_serving.apis import get_model_status_pb2, model_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.servable import Servable
from serving.status import ServingError, invalid, not_found
from serving.versions import Policy, fingerprint, versions_on_disk, wanted_versions

__all__ = ["Load", "ModelRepository"]

_log = logging.getLogger(__name__)

Load = Callable[[str, int, Path], Servable]
_State = get_model_status_pb2.ModelVersionStatus.State
_COMING = (_State.START, _State.LOADING)


@dataclasses.dataclass
class _Version:
    """The state of a version; `servable` is set while the version is served."""

    state: int
    servable: Servable | None = None
    leases: int = 0  # running requests
    error: ServingError | None = None
    failed: tuple = ()  # the folder's fingerprint at the last failed load


@dataclasses.dataclass
class _Model:
    base_path: Path
    policy: Policy
    labels: dict[str, int]
    coming_labels: dict[str, int] = dataclasses.field(default_factory=dict)  # while versions load
    versions: dict[int, _Version] = dataclasses.field(default_factory=dict)
    complaint: str = ""  # the last problem with the base path

    @property
    def available(self) -> dict[int, Servable]:
        return {n: v.servable for n, v in self.versions.items() if v.servable is not None}

    def failed_as(self, number: int, found: tuple) -> bool:
        """Returns whether loading already failed for the folder's current content."""
        return number in self.versions and self.versions[number].failed == found


class ModelRepository:
    """All served models.

    Only `poll` and `configure` load and unload, one version at a time; requests never wait for
    them. A new version is loaded and warmed up before the versions that it replaces are unloaded.
    If it cannot be loaded, they stay. A version is closed after its last request.

    Args:
        load: creates a warmed-up servable from (model, version, folder); raises ServingError.
    """

    def __init__(self, load: Load):
        self._load = load
        self._models: dict[str, _Model] = {}
        self._unused: list[tuple[_Version, Servable]] = []  # unloaded, to be closed
        self._configured = False
        self._ending = False  # no more loading
        self._closed = False  # no more polling
        self._lock = threading.Lock()  # guards `_models`; held only briefly
        self._changing = threading.Lock()  # serializes changes

    def configure(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Applies a config: loads new models, unloads models that are not in it.

        Raises:
            ServingError: INVALID_ARGUMENT: a model has no name or base path, is listed twice, has
                moved or is not a TensorFlow model; nothing changes. FAILED_PRECONDITION: a label
                names a version that is not available; that model keeps its labels.
        """
        _check(config)
        unavailable = []
        with self._changing:
            given = {entry.name: entry for entry in config.model_config_list.config}
            self._check_moved(given)
            with self._lock:
                self._configured = True
                gone = [self._models.pop(name) for name in self._models.keys() - given.keys()]
                for name, entry in given.items():
                    policy = entry.model_version_policy
                    model = self._models.setdefault(name, _Model(Path(entry.base_path), policy, {}))
                    model.policy = policy
                    model.coming_labels = dict(entry.version_labels)
            for model in gone:
                for number in list(model.available):
                    self._unload(model, number)
            self._poll()
            with self._lock:
                for name in given:
                    model = self._models[name]
                    labels, model.coming_labels = model.coming_labels, {}
                    missing = sorted(set(labels.values()) - model.available.keys())
                    if missing:
                        unavailable.append(f"versions {missing} of model {name!r}")
                    else:
                        model.labels = labels
        if unavailable:
            raise ServingError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"labels name {' and '.join(unavailable)}, not currently available for inference",
            )

    def _check_moved(self, given: dict) -> None:
        for name in self._models.keys() & given.keys():
            old, new = self._models[name].base_path, given[name].base_path
            if old != Path(new):
                raise invalid(f"model {name!r} is served from {old} and cannot move to {new}")

    def poll(self) -> None:
        """Loads and unloads versions according to the files on disk."""
        with self._changing:
            self._poll()

    @contextlib.contextmanager
    def lease(self, spec: model_pb2.ModelSpec) -> Iterator[Servable]:
        """Yields the servable that a request names; it is not closed until the block ends.

        Raises:
            ServingError: NOT_FOUND: there is no such model or version; UNAVAILABLE: the version, or
                the model's first one, is not loaded yet; INVALID_ARGUMENT: the name is missing or
                the label is unknown.
        """
        with self._lock:
            version = self._find(spec)
            version.leases += 1
            servable = version.servable
        try:
            yield servable
        finally:
            with self._lock:
                version.leases -= 1
                if version.servable is None and version.leases == 0:
                    # Closed later: freeing a graph takes a while, and this request must not wait.
                    self._unused.append((version, servable))
            if self._closed:
                self._close_unused()

    def status(self, spec: model_pb2.ModelSpec) -> get_model_status_pb2.GetModelStatusResponse:
        """Returns the state of the version that `spec` names, or of all seen, newest first."""
        with self._lock:
            model = self._model(spec)
            if spec.WhichOneof("version_choice"):
                wanted = {self._number(model, spec)}
            else:
                wanted = set(model.versions)
            found = {n: v for n, v in model.versions.items() if n in wanted}
            if not found:
                raise not_found(f"Could not find any versions of model {spec.name!r}")
            response = get_model_status_pb2.GetModelStatusResponse()
            for number, version in sorted(found.items(), reverse=True):
                entry = response.model_version_status.add(version=number, state=version.state)
                entry.status.error_code = grpc.StatusCode.OK.value[0]
                if version.error:
                    entry.status.error_code = version.error.code.value[0]
                    entry.status.error_message = version.error.message
        return response

    def names(self) -> list[str]:
        """Returns the names of the configured models."""
        with self._lock:
            return sorted(self._models)

    def waiting_for(self) -> list[str]:
        """Returns the names of models without an available version."""
        with self._lock:
            return sorted(name for name, model in self._models.items() if not model.available)

    def end_loading(self) -> None:
        """Stops loading after the version that is being loaded; returns at once."""
        self._ending = True

    def close(self) -> None:
        """Unloads all versions, each after its last request."""
        with self._changing:
            for model in self._models.values():
                for number in list(model.available):
                    self._unload(model, number)
            self._closed = True
            self._close_unused()

    # === Finding the version that a request names; under `_lock` ===

    def _model(self, spec: model_pb2.ModelSpec) -> _Model:
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        if not self._configured:
            raise ServingError(grpc.StatusCode.UNAVAILABLE, "the server is starting")
        if spec.name not in self._models:
            raise not_found(f"Servable not found for request: model {spec.name!r} is not served")
        return self._models[spec.name]

    def _number(self, model: _Model, spec: model_pb2.ModelSpec) -> int:
        if spec.WhichOneof("version_choice") == "version":
            return spec.version.value
        for labels in (model.labels, model.coming_labels):
            if spec.version_label in labels:
                return labels[spec.version_label]
        raise invalid(f"Unrecognized servable version label: {spec.version_label}")

    def _find(self, spec: model_pb2.ModelSpec) -> _Version:
        model = self._model(spec)
        available = model.available
        coming = {n for n, v in model.versions.items() if v.state in _COMING}
        if spec.WhichOneof("version_choice"):
            number = self._number(model, spec)
            if number in available:
                return model.versions[number]
            coming &= {number}
            missing = f"version {number} of model {spec.name!r} is not available"
        elif available:
            return model.versions[max(available)]
        else:
            missing = f"no version of model {spec.name!r} is available"
        if coming:
            raise ServingError(grpc.StatusCode.UNAVAILABLE, f"{missing} yet: it is being loaded")
        others = f", only {sorted(available)}" if available else ""
        raise not_found(f"Servable not found for request: {missing}{others}")

    # === Loading and unloading; under `_changing` ===

    def _poll(self) -> None:
        self._close_unused()
        plans = []
        for name, model in list(self._models.items()):
            on_disk = self._look(name, model)
            if on_disk is None:
                continue
            wanted = wanted_versions(model.policy, set(on_disk))
            new = {
                number: on_disk[number]
                for number in sorted(wanted - model.available.keys())
                if not model.failed_as(number, fingerprint(on_disk[number]))
            }
            for number in new:  # for all models before the first load, which takes a while
                self._set(model, number, _Version(_State.START))
            plans.append((name, model, wanted, new))
        for name, model, wanted, new in plans:
            for number, path in new.items():
                if self._ending:
                    return
                self._try_to_load(name, model, number, path)
            available = model.available.keys()
            if not wanted or wanted & available:  # otherwise only the old versions can serve
                for number in sorted(available - wanted):
                    self._unload(model, number)

    def _look(self, name: str, model: _Model) -> dict[int, Path] | None:
        """Returns the versions in the base path, or None if it cannot be read."""
        on_disk, complaint = None, ""
        try:
            on_disk = versions_on_disk(model.base_path)
            if not on_disk:
                complaint = f"{model.base_path} has no folder named by a version number"
        except OSError as error:
            complaint = f"{model.base_path} cannot be read: {error}"
        if complaint and complaint != model.complaint:  # checked at each poll, logged once
            _log.warning("model %s: %s", name, complaint)
        model.complaint = complaint
        return on_disk

    def _try_to_load(self, name: str, model: _Model, number: int, path: Path) -> None:
        found = fingerprint(path)
        self._set(model, number, _Version(_State.LOADING))
        _log.info("loading version %d of model %s from %s", number, name, path)
        try:
            version = _Version(_State.AVAILABLE, self._load(name, number, path))
            _log.info("version %d of model %s is available", number, name)
        except Exception as caught:
            # A new error, because the caught one keeps the model alive through its frames.
            if isinstance(caught, ServingError):
                error = ServingError(caught.code, caught.message)
            else:
                error = ServingError(grpc.StatusCode.INTERNAL, f"{path}: {caught!r}")
            version = _Version(_State.END, error=error, failed=found)
            serving = sorted(model.available) or "none"
            _log.error(
                "version %d of model %s cannot be served: %s; still serving: %s",
                number,
                name,
                error.message,
                serving,
            )
        self._set(model, number, version)

    def _set(self, model: _Model, number: int, version: _Version) -> None:
        with self._lock:
            model.versions[number] = version

    def _unload(self, model: _Model, number: int) -> None:
        with self._lock:
            version = model.versions[number]
            servable, version.servable = version.servable, None
            version.state = _State.UNLOADING
            if version.leases == 0:
                self._unused.append((version, servable))
        self._close_unused()

    def _close_unused(self) -> None:
        with self._lock:
            unused, self._unused = self._unused, []
        for version, servable in unused:
            self._close(version, servable)

    def _close(self, version: _Version, servable: Servable) -> None:
        try:
            servable.close()
        except Exception:  # the version is gone either way
            _log.exception("version %d of model %s", servable.version, servable.name)
        version.state = _State.END
        _log.info("version %d of model %s is unloaded", servable.version, servable.name)


def _check(config: model_server_config_pb2.ModelServerConfig) -> None:
    if config.WhichOneof("config") == "custom_model_config":
        raise invalid("custom_model_config is not supported; list models in model_config_list")
    names = set()
    for entry in config.model_config_list.config:
        if not entry.name or not entry.base_path:
            raise invalid(f"a model needs name and base_path, found {str(entry).strip()!r}")
        if entry.name in names:
            raise invalid(f"model {entry.name!r} is listed twice")
        if entry.model_platform not in ("", "tensorflow"):
            raise invalid(
                f"model {entry.name!r}: model_platform {entry.model_platform!r} is not supported, "
                "expected 'tensorflow'"
            )
        names.add(entry.name)
