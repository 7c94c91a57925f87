"""Where things lie in the Standardized Filesystem: category / YYYY_project / YYYY-MM-DD_tag."""

from __future__ import annotations

import re
import unicodedata
from datetime import date

EXPERIMENTAL_DATA = "ExperimentalData"
DATA_ANALYSIS = "DataAnalysis"
CATEGORIES = (EXPERIMENTAL_DATA, DATA_ANALYSIS, "SimulationData", "Publications")

#: Stands for a day that is not known.
NO_DATE = date(1900, 1, 1)


def delivery_folder(project: str, day: date | None, tag: str, revision: int = 1) -> str:
    """Give the folder of a delivery relative to the archive, such as
    `ExperimentalData/2023_HeartAndBrain/2023-05-04_sub-K7Q2_ses-20230504_rev-2`.
    """  # noqa: D205 - the example needs the second line
    suffix = f"_rev-{revision}" if revision > 1 else ""
    return f"{EXPERIMENTAL_DATA}/{project}/{day or NO_DATE:%Y-%m-%d}_{tag}{suffix}"


def safe_label(text: str, limit: int = 40) -> str:
    """Make a part of a file name from free text: ASCII letters, digits, `-` and `_` only."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_")[:limit].rstrip("_")
