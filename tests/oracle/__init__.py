"""A slow, independent reading of recorded blocks, to hold the fast decoder against."""
