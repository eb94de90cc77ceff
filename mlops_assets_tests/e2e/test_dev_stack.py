"""A person's first day: backfill weeks, train, and watch a sensor put the version to work."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from mlflow import MlflowClient

from mlops_assets.adapters.delta_tables import DeltaTables
from mlops_assets.commands.replay import replay
from mlops_assets.lifecycle.calendar import Calendar
from mlops_assets.lifecycle.training import Feature
from mlops_assets_tests.e2e.browser import open_page

if TYPE_CHECKING:
    from mlops_assets_tests.e2e.conftest import Stack

MODEL = "flight_delays"
WEEKS = [
    "2012-12-31",
    "2013-01-07",
    "2013-01-14",
    "2013-01-21",
    "2013-01-28",
    "2013-02-04",
    "2013-02-11",
    "2013-02-18",
    "2013-02-25",
]
AS_OF = "2013-03-04"
SELECTOR = {
    "repositoryLocationName": "mlops_assets",
    "repositoryName": "__repository__",
}
ENDED = ("SUCCESS", "FAILURE", "CANCELED")

pytestmark = pytest.mark.timeout(600)


def test_weeks_selected_in_the_ui_are_backfilled_as_one_run(stack: Stack, wait: Any) -> None:
    # given the data assets of the model, and nine weeks selected
    data = [
        *[
            {"path": [MODEL, f"{part}_{source}"]}
            for part in ("raw", "validated", "quarantined")
            for source in ("flights", "weather")
        ],
        {"path": [MODEL, "labels"]},
        {"path": [MODEL, "features"]},
    ]
    launch_assets(stack, ["raw", "validated", "quarantined"], ["planes", "airports", "airlines"])
    wait(lambda: all_ended(stack), 180, "the unpartitioned assets")

    # when they are launched as the UI launches them
    launched = stack.graphql(
        """mutation($params: LaunchBackfillParams!) {
           launchPartitionBackfill(backfillParams: $params) {
             __typename ... on LaunchBackfillSuccess { backfillId }
             ... on PythonError { message } } }""",
        {"params": {"assetSelection": data, "partitionNames": WEEKS}},
    )["launchPartitionBackfill"]
    backfill = launched["backfillId"]

    # then one run did all weeks, and each week's rows are accounted for
    tag = {"key": "dagster/backfill", "value": backfill}
    done = wait(lambda: ended_runs(stack, {"tags": [tag]}), 240, "the backfill to end")
    assert [run["status"] for run in done] == ["SUCCESS"]
    tables = DeltaTables(str(stack.state / "tables"))
    counts = {
        part: tables.read(f"{MODEL}/{part}_flights", columns=["partition"])
        for part in ("raw", "validated", "quarantined")
    }
    assert sorted(counts["raw"]["partition"].unique()) == WEEKS
    features = tables.read(f"{MODEL}/features", columns=["partition"])
    assert sorted(features["partition"].unique()) == WEEKS
    assert counts["raw"].height == counts["validated"].height + counts["quarantined"].height


def test_given_a_training_in_its_study_when_it_is_terminated_then_its_tracking_run_was_killed(
    stack: Stack, wait: Any
) -> None:
    # given the weeks before, and a training whose study has begun
    client = MlflowClient(stack.mlflow)
    launch_job(stack, f"{MODEL}__train", {"dagster/partition": AS_OF})
    (tracked,) = wait(lambda: studies(client), 120, "the study to begin")
    assert tracked.info.status == "RUNNING"

    # when a person terminates the run
    stack.graphql(
        """mutation($id: String!) { terminateRun(runId: $id) { __typename } }""",
        {"id": tracked.data.tags["dagster_run_id"]},
    )
    ended = {"pipelineName": f"{MODEL}__train"}
    stopped = wait(lambda: ended_runs(stack, ended), 120, "the run to end")

    # then both say so, and lead to each other
    assert [run["status"] for run in stopped] == ["CANCELED"]
    wait(lambda: studies(client)[0].info.status == "KILLED", 60, "the tracking run to end")
    assert tracked.data.tags["dagster_run_url"] == f"{stack.ui}/runs/{stopped[0]['runId']}"


def test_a_sensor_releases_the_version_that_a_training_registered(stack: Stack, wait: Any) -> None:
    # given a study that was interrupted, when a person launches the train job again
    launch_job(stack, f"{MODEL}__train", {"dagster/partition": AS_OF})
    trained = wait(
        lambda: ended_runs(stack, {"pipelineName": f"{MODEL}__train"}), 400, "the training to end"
    )
    assert sorted(run["status"] for run in trained) == ["CANCELED", "SUCCESS"]

    # then Optuna's dashboard shows one study with all its trials
    listed = httpx.get(f"{stack.studies}/api/studies").json()["study_summaries"]
    assert [study["study_name"][: len(MODEL)] for study in listed] == [MODEL]

    # and the daemon's sensor launches the release by itself
    released = wait(
        lambda: ended_runs(stack, {"pipelineName": f"{MODEL}__release"}), 180, "the release"
    )
    assert released[-1]["status"] == "SUCCESS"
    tags = {tag["key"]: tag["value"] for tag in released[-1]["tags"]}
    assert tags["dagster/sensor_name"] == f"{MODEL}__advance_rollout"

    # and the endpoint answers with it, while the registry calls it champion
    url = f"{stack.serving}/v2/models/{MODEL}"
    wait(lambda: httpx.get(f"{url}/ready").status_code == 200, 30, "the model to be ready")
    metadata = httpx.get(url).json()
    assert metadata["versions"] == ["v1"]
    registered = MlflowClient(stack.mlflow).get_registered_model(MODEL)
    assert registered.aliases == {"champion": "1"}


def test_the_released_version_predicts_a_stored_row(stack: Stack) -> None:
    # given the features of a stored flight
    tables = DeltaTables(str(stack.state / "tables"))
    row = tables.read(f"{MODEL}/features", [WEEKS[-1]]).head(1).row(0, named=True)
    metadata = httpx.get(f"{stack.serving}/v2/models/{MODEL}").json()

    # when it is sent as a request
    inputs = [
        {"name": i["name"], "datatype": i["datatype"], "shape": [1], "data": [row[i["name"]]]}
        for i in metadata["inputs"]
        if i["name"] in row and i["name"] != "scheduled_departure"
    ]
    answer = httpx.post(f"{stack.serving}/v2/models/{MODEL}/infer", json={"inputs": inputs})

    # then the answer is a probability
    assert answer.status_code == 200, answer.text
    (output,) = answer.json()["outputs"]
    assert 0 <= output["data"][0] <= 1


def test_a_person_sees_in_a_browser_how_the_model_is_doing(stack: Stack, wait: Any) -> None:
    # given a week of requests, monitored
    week = WEEKS[-1]
    tables = DeltaTables(str(stack.state / "tables"))
    rows = tables.read(f"{MODEL}/features", [week]).gather_every(8)
    metadata = httpx.get(f"{stack.serving}/v2/models/{MODEL}").json()
    kinds = {"BYTES": "categorical", "FP64": "numeric"}
    known = ("flight_id", "scheduled_departure")
    features = [
        Feature(sent["name"], kinds[sent["datatype"]])  # type: ignore[arg-type]
        for sent in metadata["inputs"]
        if sent["name"] in rows.columns and sent["name"] not in known
    ]
    assert replay(rows, stack.serving, MODEL, features, *known).failed == 0
    drawn = {"ops": {f"{MODEL}__drift_report": {"config": {"render": "always"}}}}
    launch_job(stack, f"{MODEL}__monitor", {"dagster/partition": week}, drawn)
    monitored = {"pipelineName": f"{MODEL}__monitor"}
    ended = wait(lambda: ended_runs(stack, monitored), 180, "the monitoring")
    assert [run["status"] for run in ended] == ["SUCCESS"]

    # when the page of the overview is opened in a browser
    with open_page() as page:
        page.goto(f"{stack.ui}/assets/{MODEL}/overview")

        # then it says how the model is doing, in a sentence, a table and a picture
        page.get_by_text("What serves?").first.wait_for(timeout=60_000)
        shown = page.inner_text("body")
        assert re.search(r"(all is well|worth a look|somebody has to act): ", shown), shown
        assert "v1, trained as of 2013-03-04" in shown
        assert re.search(r"Brier [▁▂▃▄▅▆▇█]", shown), shown
        page.get_by_text("[Show Markdown]").first.click()
        picture = page.get_by_alt_text("plot").first
        picture.wait_for(timeout=30_000)
        assert picture.evaluate("seen => seen.naturalWidth") > 300

        # and one click on the page of a drift report opens what Evidently drew
        page.goto(f"{stack.ui}/assets/{MODEL}/drift_report?view=partitions&partition={week}")
        link = page.locator(f'a[href^="{stack.reports}/"]').first
        link.wait_for(timeout=60_000)
        with page.context.expect_page() as opened:
            link.click()
        opened.value.wait_for_load_state()
        assert "These sentences decide" in opened.value.inner_text("body")


def test_a_clicked_deployment_of_a_version_nobody_registered_is_refused(
    stack: Stack, wait: Any
) -> None:
    # given a version by hand: in the registry, and as a partition, as a person could make it
    client = MlflowClient(stack.mlflow)
    source = client.get_model_version(MODEL, "1").source
    logged = source.removeprefix("models:/")
    client.create_model_version(MODEL, source, tags={"digest": "0" * 64}, model_id=logged)
    stack.graphql(
        """mutation($selector: RepositorySelector!) { addDynamicPartition(
           repositorySelector: $selector, partitionsDefName: "flight_delays__versions",
           partitionKey: "v2") { __typename } }""",
        {"selector": SELECTOR},
    )

    # when it is deployed
    launch_job(stack, f"{MODEL}__release", {"dagster/partition": "v2"})
    tag = {"key": "dagster/partition", "value": "v2"}
    runs = wait(lambda: ended_runs(stack, {"tags": [tag]}), 120, "the refusal")

    # then the run fails, the endpoint goes on with the champion, and an alert was sent
    assert {run["status"] for run in runs} == {"FAILURE"}
    routing = httpx.get(f"{stack.serving}/v2/models/{MODEL}/routing").json()
    assert [target["version"] for target in routing["targets"]] == ["v1"]
    alerts = stack.state / "alerts.jsonl"
    wait(lambda: alerts.exists() and "v2 failed" in alerts.read_text(), 120, "the alert")


def test_ctrl_c_stops_every_process(stack: Stack, wait: Any) -> None:
    # when a person presses Ctrl-C
    stack.stop()

    # then nothing listens any more, and the command did not fail
    assert stack.process.returncode == 0
    for url in (stack.ui, stack.serving, stack.mlflow, stack.studies, stack.reports):
        with pytest.raises(httpx.TransportError):
            httpx.get(url, timeout=2)


def test_weeks_of_the_test_are_weeks_of_the_calendar() -> None:
    from datetime import date

    keys = Calendar(date(2012, 12, 31), date(2014, 1, 6)).keys
    assert (*WEEKS, AS_OF) == keys[: len(WEEKS) + 1]


def studies(client: MlflowClient) -> list[Any]:
    """The tracking runs of the asset study, the oldest first; its trials are runs below them."""
    found = client.get_experiment_by_name(MODEL)
    asset = f"tags.dagster_asset = '{MODEL}/study'"
    order = ["attributes.start_time ASC"]
    return client.search_runs([found.experiment_id], asset, order_by=order) if found else []


def launch_job(
    stack: Stack, job: str, tags: dict[str, str], config: dict[str, Any] | None = None
) -> None:
    """Launch a job as the UI's launchpad does."""
    params = {
        "selector": {**SELECTOR, "jobName": job},
        "runConfigData": config or {},
        "executionMetadata": {"tags": [{"key": k, "value": v} for k, v in tags.items()]},
    }
    launch(stack, params)


def launch_assets(stack: Stack, parts: list[str], sources: list[str]) -> None:
    """Materialize unpartitioned assets as the UI does."""
    keys = [{"path": [MODEL, f"{part}_{source}"]} for part in parts for source in sources]
    selector = {**SELECTOR, "jobName": "__ASSET_JOB", "assetSelection": keys}
    launch(stack, {"selector": selector, "runConfigData": {}})


def launch(stack: Stack, params: dict[str, Any]) -> None:
    answer = stack.graphql(
        """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
           __typename ... on PythonError { message }
           ... on InvalidSubsetError { message }
           ... on RunConfigValidationInvalid { errors { message } } } }""",
        {"params": params},
    )["launchRun"]
    assert answer["__typename"] == "LaunchRunSuccess", answer


def runs(stack: Stack, filters: dict[str, Any]) -> list[dict[str, Any]]:
    answer = stack.graphql(
        """query($filter: RunsFilter) { runsOrError(filter: $filter) { ... on Runs {
           results { runId status tags { key value } } } } }""",
        {"filter": filters},
    )
    return list(answer["runsOrError"]["results"])


def ended_runs(stack: Stack, filters: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs once there are some and all have ended, else none."""
    found = runs(stack, filters)
    return found if found and all(run["status"] in ENDED for run in found) else []


def all_ended(stack: Stack) -> bool:
    return bool(ended_runs(stack, {}))
