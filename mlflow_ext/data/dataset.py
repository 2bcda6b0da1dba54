"""The MLflow dataset of a table; imports MLflow, so import it where it is used."""

from __future__ import annotations

import warnings
from functools import cached_property

from mlflow.data.pandas_dataset import PandasDataset
from mlflow.types import Schema

SAMPLE_ROWS = 100


class TableDataset(PandasDataset):
    """A pandas dataset whose schema is read from a sample; its digest is MLflow's own.

    MLflow looks at every cell of every text column to infer the schema, four seconds for 300,000
    flights. In a table that Arrow could hold, a column has one type, so the first rows and the
    first missing value of each column say the same.
    """

    @cached_property
    def schema(self) -> Schema | None:
        """Names, types and whether values may be missing, as MLflow shows them."""
        first_missing = self.df.isna().to_numpy().argmax(axis=0)
        rows = sorted({*range(min(SAMPLE_ROWS, len(self.df))), *first_missing.tolist()})
        sample = PandasDataset(self.df.iloc[rows], source=self.source, digest=self.digest)
        with warnings.catch_warnings():
            # The hint is about models; of a dataset it is not true.
            warnings.filterwarnings("ignore", message="Hint: Inferred schema contains integer")
            return sample.schema
