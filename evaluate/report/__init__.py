"""The report of an evaluation: JSON, CSV and one offline HTML file."""
