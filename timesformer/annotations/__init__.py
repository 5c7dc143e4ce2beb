"""Lists of labelled videos, in the forms that others publish; knows no video and no torch."""
