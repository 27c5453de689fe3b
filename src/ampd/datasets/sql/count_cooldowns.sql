-- How many endpoints want no requests at the moment.
SELECT count(*) AS resting FROM endpoint_cooldowns WHERE ends_at > now()
