"""What can be set of a data set of welds."""

from typing import Literal

from pydantic import Field

from ..settings import SOURCE, ClassSettings, SplitSettings


class WeldsSettings(SplitSettings, ClassSettings):
    """How a data set of welds is organised and read."""

    source: str = Field("welds", description=SOURCE)
    layout: Literal["auto", "manifest", "folders"] = Field(
        "auto",
        description="How a folder of welds is organised: with a manifest.csv, as good_weld/ and defect_data_weld/ "
        "folders, or whichever is found.",
    )
    unlabelled: Literal["refuse", "leave_out"] = Field(
        "refuse",
        description="What is done about a CATEGORY such as unknown or n/a, which is neither normal nor a defect: the "
        "manifest is refused, or its welds of that kind are left out (manifest layout only).",
    )
    run_codes: Literal["auto", "check", "ignore"] = Field(
        "auto",
        description="Whether the last two digits of a run called MM-DD-YY-NNNN-CC are held against CATEGORY, which is "
        "what counts: check: a contradiction is refused; ignore: they mean something else; auto: check where more than "
        "nine in ten bear out that they are class codes (manifest layout only).",
    )
