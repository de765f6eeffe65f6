"""The embedded data set: physically motivated synthetic welds in the real files' formats."""
