-- Jobs that fit the conditions of a filter (job_filter.py), the newest first.
SELECT * FROM jobs WHERE {conditions} ORDER BY id DESC LIMIT %(limit)s OFFSET %(offset)s
