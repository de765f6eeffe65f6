"""The twelve classes of the welding data: two-digit codes at the end of a run's name, and their names."""

from collections.abc import Mapping
from types import MappingProxyType

GOOD_CODE = "00"

CLASS_NAMES: Mapping[str, str] = MappingProxyType(
    {
        GOOD_CODE: "good",
        "01": "excessive_penetration",
        "02": "burnthrough",
        "03": "porosity",
        "04": "porosity_w_excessive_penetration",
        "05": "undercut",
        "06": "overlap",
        "07": "lack_of_fusion",
        "08": "excessive_convexity",
        "09": "spatter",
        "10": "warping",
        "11": "crater_cracks",
    }
)

DEFECT_CODES: tuple[str, ...] = tuple(code for code in CLASS_NAMES if code != GOOD_CODE)
