-- The same, of jobs with a label, in all states: along the label's own index.
SELECT jobs.*
FROM job_labels labelled
JOIN jobs ON jobs.id = labelled.job_id
WHERE labelled.key = left(%(label_key)s, 255) AND labelled.value = left(%(label_value)s, 255)
  AND labelled.job_id < coalesce(%(before_id)s, 9223372036854775807)
  AND {conditions}
ORDER BY labelled.job_id DESC
LIMIT %(limit)s OFFSET %(offset)s
