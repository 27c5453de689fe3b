-- depends: 0004_endpoint_cooldowns

-- The jobs of a dataset are those that verify it, too. The condition is that of ampd.jobs.job_filter.
DROP INDEX jobs_of_dataset;
CREATE INDEX jobs_of_dataset ON jobs ((input ->> 'dataset_namespace'), (input ->> 'dataset_name'),
                                      (input ->> 'manifest_hash'), id) WHERE kind IN ('extraction', 'verification');
