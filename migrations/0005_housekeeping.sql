-- migrate:up

-- When each of the jobs that one worker does for all last succeeded.
CREATE TABLE auth.jobs (
    name         text PRIMARY KEY,
    succeeded_at timestamptz NOT NULL
);

-- What the purge looks for. Not idle_until: a refresh would then have to write to an index each time.
CREATE INDEX token_blacklist_by_expiry ON auth.token_blacklist (expires_at);
CREATE INDEX sessions_by_end ON auth.sessions (least(ended_at, expires_at));
CREATE INDEX grants_by_end ON auth.grants (least(ended_at, expires_at));

-- migrate:down

DROP INDEX auth.grants_by_end;
DROP INDEX auth.sessions_by_end;
DROP INDEX auth.token_blacklist_by_expiry;
DROP TABLE auth.jobs;
