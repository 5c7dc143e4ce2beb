"""From the files of a test to a page that a person opens; knows no model and no engine."""
