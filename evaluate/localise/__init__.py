"""Where samples are strange: maps of scores on the original pictures and over time, and how well they find defects."""
