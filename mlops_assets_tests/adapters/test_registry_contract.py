"""Registered versions: one per digest, numbered in order, found by their aliases."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from mlops_assets.adapters.in_memory import InMemoryRegistry
from mlops_assets.adapters.mlflow_registry import MlflowRegistry


@pytest.fixture
def model():
    """A name that no other test uses, in databases that tests share."""
    return f"model-{uuid4().hex[:8]}"


def aliases(registry, model):
    return {version.version: version.aliases for version in registry.versions(model)}


class RegistryContract:
    def test_an_unknown_model_has_no_versions(self, registry, model):
        assert registry.versions(model) == []

    @pytest.mark.parametrize("version", ["v2", "1", "v", "latest"])
    def test_an_unknown_version_is_a_key_error(self, registry, model, uri, version):
        with pytest.raises(KeyError):
            registry.get(model, "v1")
        registry.register(model, "digest", uri, {})
        with pytest.raises(KeyError):
            registry.get(model, version)

    def test_a_version_comes_back_as_it_was_registered(self, registry, model, uri):
        made = registry.register(model, "digest", uri, {"estimator": "späť '\""})
        assert (made.model, made.version, made.digest, made.uri) == (model, "v1", "digest", uri)
        assert made.tags == {"estimator": "späť '\"", "digest": "digest"}
        assert made.aliases == ()
        assert registry.get(model, "v1") == made
        assert registry.versions(model) == [made]

    def test_versions_are_numbered_and_listed_in_the_order_of_registering(
        self, registry, model, uri
    ):
        made = [registry.register(model, f"digest {n}", uri, {}).version for n in range(11)]
        assert made == [f"v{n}" for n in range(1, 12)]
        assert [known.version for known in registry.versions(model)] == made

    def test_when_the_same_digest_is_registered_again_then_its_version_is_returned(
        self, registry, model, uri
    ):
        first = registry.register(model, "one", uri, {"first": "yes"})
        second = registry.register(model, "two", uri, {})
        assert registry.register(model, "one", uri, {"first": "no"}) == first
        assert registry.versions(model) == [first, second]

    def test_models_do_not_mix(self, registry, model, uri):
        registry.register(model, "one", uri, {})
        assert registry.register(f"{model}-b", "one", uri, {}).version == "v1"
        registry.set_alias(model, "champion", "v1")
        assert aliases(registry, f"{model}-b") == {"v1": ()}

    def test_an_alias_points_at_one_version_and_moves(self, registry, model, uri):
        for digest in ("one", "two"):
            registry.register(model, digest, uri, {})
        registry.set_alias(model, "champion", "v1")
        assert aliases(registry, model) == {"v1": ("champion",), "v2": ()}
        registry.set_alias(model, "champion", "v2")
        assert aliases(registry, model) == {"v1": (), "v2": ("champion",)}

    def test_a_version_lists_all_its_aliases_sorted(self, registry, model, uri):
        registry.register(model, "one", uri, {})
        for alias in ("champion", "challenger", "best"):
            registry.set_alias(model, alias, "v1")
        assert registry.get(model, "v1").aliases == ("best", "challenger", "champion")
        assert registry.register(model, "one", uri, {}).aliases == registry.get(model, "v1").aliases

    @pytest.mark.parametrize("version", ["v1", None])
    def test_setting_or_removing_an_alias_twice_is_harmless(self, registry, model, uri, version):
        registry.register(model, "one", uri, {})
        registry.set_alias(model, "champion", "v1")
        registry.set_alias(model, "champion", version)
        registry.set_alias(model, "champion", version)
        assert aliases(registry, model) == {"v1": ("champion",) if version else ()}

    def test_removing_one_alias_leaves_the_others(self, registry, model, uri):
        registry.register(model, "one", uri, {})
        registry.set_alias(model, "champion", "v1")
        registry.set_alias(model, "challenger", "v1")
        registry.set_alias(model, "challenger", None)
        assert aliases(registry, model) == {"v1": ("champion",)}

    def test_given_an_unknown_model_then_removing_an_alias_is_harmless(self, registry, model):
        registry.set_alias(model, "champion", None)
        assert registry.versions(model) == []

    def test_an_alias_of_an_unknown_version_is_a_key_error(self, registry, model, uri):
        registry.register(model, "one", uri, {})
        with pytest.raises(KeyError):
            registry.set_alias(model, "champion", "v9")
        assert aliases(registry, model) == {"v1": ()}

    def test_when_4_threads_register_the_same_digest_then_it_has_one_version(
        self, registry, model, uri
    ):
        registry.register(model, "before", uri, {})
        for turn in (2, 3, 4):
            barrier = threading.Barrier(4)

            def register(digest, barrier=barrier):
                barrier.wait()
                return registry.register(model, digest, uri, {}).version

            with ThreadPoolExecutor(4) as pool:
                assert set(pool.map(register, [f"same {turn}"] * 4)) == {f"v{turn}"}
            assert len(registry.versions(model)) == turn


class TestInMemoryRegistry(RegistryContract):
    @pytest.fixture
    def registry(self):
        return InMemoryRegistry()

    @pytest.fixture
    def uri(self):
        return "in-memory:/run-1/1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("registry")


@pytest.fixture(scope="module")
def database(folder):
    return f"sqlite:///{folder}/mlflow/mlflow.db"


class TestMlflowRegistry(RegistryContract):
    @pytest.fixture
    def registry(self, database):
        return MlflowRegistry(database)

    @pytest.fixture
    def uri(self, folder):
        return str(folder)

    def test_what_one_registered_another_reads(self, registry, database, model, uri):
        made = registry.register(model, "one", uri, {})
        assert MlflowRegistry(database).get(model, "v1") == made

    def test_given_somebody_registered_a_version_by_hand_then_ours_are_still_found(
        self, registry, database, model, uri
    ):
        from mlflow import MlflowClient

        ours = registry.register(model, "one", uri, {})
        MlflowClient(database, registry_uri=database).create_model_version(model, uri)
        assert registry.get(model, "v1") == ours
        theirs = registry.get(model, "v2")
        assert (theirs.digest, theirs.uri) == ("", uri)
        assert registry.register(model, "two", uri, {}).version == "v3"

    def test_when_another_process_registers_the_same_in_between_then_its_version_is_kept(
        self, registry, database, model, uri, monkeypatch
    ):
        from mlflow import MlflowClient

        other = MlflowClient(database, registry_uri=database)
        make = registry._client.create_model_version

        def make_second(*arguments, **options):
            other.create_model_version(model, uri, tags={"digest": "one", "by": "other"})
            return make(*arguments, **options)

        monkeypatch.setattr(registry._client, "create_model_version", make_second)
        registered = registry.register(model, "one", uri, {"by": "us"})
        assert (registered.version, registered.tags["by"]) == ("v1", "other")
        assert registry.versions(model) == [registered]

    def test_a_quote_in_the_name_of_a_model_is_kept(self, registry, model, uri):
        made = registry.register(f"it's {model}", "one", uri, {})
        assert registry.versions(f"it's {model}") == [made]
        assert registry.register(f"it's {model}", "one", uri, {}) == made

    def test_an_alias_of_a_version_in_other_words_is_a_key_error(self, registry, model, uri):
        registry.register(model, "one", uri, {})
        for version in ("1", "latest", "v"):
            with pytest.raises(KeyError):
                registry.set_alias(model, "champion", version)
