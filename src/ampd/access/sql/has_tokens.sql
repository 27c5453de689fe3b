-- Whether there ever was a token.
SELECT EXISTS (SELECT FROM tokens) AS found
