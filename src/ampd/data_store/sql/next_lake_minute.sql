-- The minute of the lake that is to be counted next, as next_job_minute.sql tells that of jobs.
SELECT CASE WHEN each.at <= now() - make_interval(secs => 60 + %(late_seconds)s) THEN each.at END AS at
FROM (
    SELECT greatest(
        (SELECT max(at) + interval '1 minute' FROM lake_minutes),
        date_trunc('minute', now() - make_interval(secs => 60 + %(late_seconds)s) - make_interval(mins => %(most_back)s))
    ) AS at
) each
