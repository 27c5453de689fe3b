-- The only clock.
SELECT clock_timestamp() AS now
