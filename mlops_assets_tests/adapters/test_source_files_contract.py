"""Raw files: absolute, beside the model, or inside a package that is not imported."""

from __future__ import annotations

import sys

import pytest

from mlops_assets.adapters.in_memory import InMemorySourceFiles
from mlops_assets.adapters.local_files import LocalFiles
from mlops_assets.lifecycle.errors import SourceError
from mlops_assets.lifecycle.sources import SourceFile

DATA = b"a,b\r\n1,\xff\x00\n"


class SourceFilesContract:
    def test_an_absolute_path_is_read_whatever_the_base(self, files, deliver, tmp_path):
        path = deliver(tmp_path / "elsewhere" / "flights.csv.gz")
        assert files.read(path, tmp_path / "model") == SourceFile("flights.csv.gz", DATA)

    def test_a_relative_path_is_read_beside_the_model(self, files, deliver, tmp_path):
        deliver(tmp_path / "model" / "data" / "flights.csv")
        deliver(tmp_path / "other" / "data" / "flights.csv", b"other")
        read = files.read("data/flights.csv", tmp_path / "model")
        assert read == SourceFile("flights.csv", DATA)

    def test_a_file_inside_a_package_is_read(self, files, deliver_package, tmp_path):
        deliver_package("some_flights", "data/flights.csv")
        read = files.read("package:some_flights/data/flights.csv", tmp_path)
        assert read == SourceFile("flights.csv", DATA)

    def test_an_empty_file_is_read(self, files, deliver, tmp_path):
        deliver(tmp_path / "empty.csv", b"")
        assert files.read("empty.csv", tmp_path).data == b""

    def test_a_file_that_is_not_there_is_named(self, files, tmp_path):
        with pytest.raises(SourceError, match=str(tmp_path / "data" / "flights.csv")):
            files.read("data/flights.csv", tmp_path)

    def test_a_package_that_is_not_there_is_named(self, files, tmp_path):
        with pytest.raises(SourceError, match="no_such_package"):
            files.read("package:no_such_package/a.csv", tmp_path)

    def test_a_file_that_is_not_in_the_package_is_named(self, files, deliver_package, tmp_path):
        deliver_package("some_flights", "here.csv")
        with pytest.raises(SourceError, match=r"some_flights/gone\.csv"):
            files.read("package:some_flights/gone.csv", tmp_path)


class TestInMemorySourceFiles(SourceFilesContract):
    @pytest.fixture
    def files(self):
        return InMemorySourceFiles()

    @pytest.fixture
    def deliver(self, files):
        def deliver(path, data=DATA):
            files.files[str(path)] = data
            return str(path)

        return deliver

    @pytest.fixture
    def deliver_package(self, files):
        def deliver(package, path):
            files.files[f"package:{package}/{path}"] = DATA

        return deliver


class TestLocalFiles(SourceFilesContract):
    @pytest.fixture
    def files(self):
        return LocalFiles()

    @pytest.fixture
    def deliver(self):
        def deliver(path, data=DATA):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            return str(path)

        return deliver

    @pytest.fixture
    def deliver_package(self, deliver, tmp_path, monkeypatch):
        monkeypatch.syspath_prepend(tmp_path / "site")

        def deliver_package(package, path):
            deliver(tmp_path / "site" / package / "__init__.py", b"raise ImportError('imported')")
            deliver(tmp_path / "site" / package / path)

        return deliver_package

    def test_the_package_is_not_imported(self, files, deliver_package, tmp_path):
        deliver_package("never_imported", "flights.csv")
        files.read("package:never_imported/flights.csv", tmp_path)
        assert "never_imported" not in sys.modules

    def test_a_folder_is_no_file(self, files, tmp_path):
        (tmp_path / "data").mkdir()
        with pytest.raises(SourceError, match="data"):
            files.read("data", tmp_path)

    @pytest.mark.parametrize(
        "path",
        [
            "package:no_such.package/a.csv",
            "package:no.such/x",
            "package:..up/x",
            "package:/x",
            "package:",
        ],
    )
    def test_a_name_that_is_no_package_is_a_source_error(self, files, tmp_path, path):
        with pytest.raises(SourceError):
            files.read(path, tmp_path)

    @pytest.mark.parametrize("inside", ["../secret.csv", "data/../../secret.csv", "/secret.csv"])
    def test_a_path_that_climbs_out_of_the_package_is_a_source_error(
        self, files, deliver, deliver_package, tmp_path, inside
    ):
        deliver_package("closed_flights", "data/flights.csv")
        deliver(tmp_path / "site" / "secret.csv")
        with pytest.raises(SourceError, match="below the package"):
            files.read(f"package:closed_flights/{inside}", tmp_path)

    @pytest.mark.parametrize("module", ["sys", "one_module"])
    def test_a_module_that_is_no_package_is_a_source_error(
        self, files, deliver, tmp_path, monkeypatch, module
    ):
        deliver(tmp_path / "site" / "one_module.py", b"")
        deliver(tmp_path / "site" / "beside.csv")
        monkeypatch.syspath_prepend(tmp_path / "site")
        monkeypatch.chdir(tmp_path / "site")
        with pytest.raises(SourceError, match=module):
            files.read(f"package:{module}/beside.csv", tmp_path)

    def test_a_package_within_a_package_is_read_and_neither_is_imported(
        self, files, deliver, deliver_package, tmp_path
    ):
        deliver_package("outer_flights", "inner/flights.csv")
        deliver(tmp_path / "site" / "outer_flights" / "inner" / "__init__.py", b"1 / 0")
        read = files.read("package:outer_flights.inner/flights.csv", tmp_path)
        assert read == SourceFile("flights.csv", DATA)
        assert "outer_flights" not in sys.modules
