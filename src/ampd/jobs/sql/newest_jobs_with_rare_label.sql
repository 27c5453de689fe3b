-- The same, of jobs with a label and something else. Where few jobs have the label all of them are read; else `otherwise` is done, which looks for
-- the label along the index of the other thing.
WITH few AS MATERIALIZED (
    SELECT count(*) <= 2500 AS is_rare
    FROM (SELECT FROM job_labels WHERE key = left(%(label_key)s, 255) AND value = left(%(label_value)s, 255) LIMIT 2501) found
)
SELECT rare.*
FROM (
    SELECT labelled_jobs.*
    FROM job_labels labelled
    CROSS JOIN LATERAL (SELECT * FROM jobs WHERE id = labelled.job_id AND {conditions} OFFSET 0) labelled_jobs
    WHERE labelled.key = left(%(label_key)s, 255) AND labelled.value = left(%(label_value)s, 255)
      AND labelled.job_id < coalesce(%(before_id)s, 9223372036854775807)
      AND (SELECT is_rare FROM few)
    ORDER BY labelled.job_id DESC
    LIMIT %(limit)s OFFSET %(offset)s
) rare
UNION ALL
SELECT frequent.* FROM ({otherwise}) frequent WHERE NOT (SELECT is_rare FROM few)
