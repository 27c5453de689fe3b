-- Processes with a session on this database. ampd.metadata_db.pool gives sessions their names.
SELECT coalesce(substring(application_name FROM '^ampd \S+ (.+)$'), 'a process at ' || coalesce(host(client_addr), 'this host')) AS name,
       substring(application_name FROM '^ampd (\d\S*)') AS version
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name ~ '^ampd( \d|$)'
