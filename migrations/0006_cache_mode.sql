-- migrate:up

-- Whether Redis may be believed: one row, and every change of it is a compare-and-set on `epoch` and `state`.
--   R  it holds every mark, under `nonce`      W  it is being filled      G  PostgreSQL answers alone
-- `canary`: a mark that was revoked for no other reason than to see whether everybody sees it.
-- `settled`: no worker holds a lease of an earlier epoch any more. `lease_seconds` is one value for all nodes.
CREATE TABLE auth.cache_mode (
    one_row       boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    state         text NOT NULL CHECK (state IN ('R', 'W', 'G')),
    epoch         bigint NOT NULL,
    nonce         text NOT NULL,
    settled       boolean NOT NULL,
    changed_at    timestamptz NOT NULL,
    setbacks      integer NOT NULL,
    deployment    text NOT NULL,
    lease_seconds double precision NOT NULL,
    canary        text
);
INSERT INTO auth.cache_mode (state, epoch, nonce, settled, changed_at, setbacks, deployment, lease_seconds)
VALUES ('G', 1, '', true, now(), 0, gen_random_uuid()::text, 5);

-- What was revoked in the last seconds is told to Redis once more.
CREATE INDEX token_blacklist_by_time ON auth.token_blacklist (created_at);

-- migrate:down

DROP INDEX auth.token_blacklist_by_time;
DROP TABLE auth.cache_mode;
