"""The KServe SDK's server with a model in it; runs in the peers' environment, without ours."""

from __future__ import annotations

import sys
from typing import Any


def serve(name: str, path: str, port: str) -> None:
    """Answer v1 and v2 for the pickled model at ``path``, which whoever calls has just written."""
    import joblib
    import kserve
    import pandas as pd
    from kserve.utils.utils import get_predict_response

    class Served(kserve.Model):  # type: ignore[misc]  # it publishes no types
        """What the documentation of the SDK shows for a model of one's own."""

        def load(self) -> bool:
            self.fitted = joblib.load(path)
            self.ready = True
            return True

        def predict(self, payload: Any, *_: Any, **__: Any) -> Any:
            if isinstance(payload, dict):
                frame = pd.DataFrame(payload["instances"])
            else:
                frame = payload.as_dataframe()
            columns = self.fitted.feature_names_in_
            probability = self.fitted.predict_proba(frame[columns])[:, 1]
            return get_predict_response(payload, probability, self.name)

    model = Served(name)
    model.load()
    kserve.ModelServer(http_port=int(port), enable_grpc=False, workers=1).start([model])


if __name__ == "__main__":
    serve(*sys.argv[1:])
