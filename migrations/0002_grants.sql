-- migrate:up

-- A grant is what one authorization gave one client: a family of tokens. `place` is that of its one live refresh token;
-- the tokens themselves are derived, and nowhere.
CREATE TABLE auth.grants (
    grant_id         text PRIMARY KEY,
    sub              text NOT NULL REFERENCES auth.users (sub) ON DELETE CASCADE,
    client_id        text NOT NULL REFERENCES auth.clients (client_id) ON DELETE CASCADE,
    sid              text REFERENCES auth.sessions (sid) ON DELETE CASCADE,
    scope            text[] NOT NULL,
    audience         text[] NOT NULL,
    gen_user         bigint NOT NULL,
    gen_client       bigint NOT NULL,
    gen_everything   bigint NOT NULL,
    methods          text[] NOT NULL,
    authenticated_at timestamptz NOT NULL,
    place            bigint NOT NULL,
    rotated_at       timestamptz,
    idle_until       timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL,
    ended_at         timestamptz
);
CREATE INDEX grants_by_user ON auth.grants (sub);
CREATE INDEX grants_by_client ON auth.grants (client_id);
CREATE INDEX grants_by_session ON auth.grants (sid);

-- Secrets of the deployment, encrypted with the master key.
CREATE TABLE auth.sealed_secrets (
    name          text PRIMARY KEY,
    sealed        bytea NOT NULL,
    master_key_id text NOT NULL,
    created_at    timestamptz NOT NULL
);

UPDATE auth.clients SET grant_types = '{refresh_token}' WHERE client_id = 'first-party';

-- migrate:down

UPDATE auth.clients SET grant_types = '{}' WHERE client_id = 'first-party';
DROP TABLE auth.sealed_secrets;
DROP TABLE auth.grants;
