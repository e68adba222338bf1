-- migrate:up

CREATE SCHEMA auth;

-- A sub is 128 random bits and is never given out twice: a user made anew under an old address is somebody else.
CREATE TABLE auth.users (
    sub             text PRIMARY KEY,
    email           text NOT NULL,
    email_canonical text NOT NULL UNIQUE,
    email_verified  boolean NOT NULL,
    password_hash   text,
    claims          jsonb NOT NULL,
    created_at      timestamptz NOT NULL,
    disabled_at     timestamptz
);

CREATE TABLE auth.clients (
    client_id                  text PRIMARY KEY,
    name                       text NOT NULL,
    secret_digests             bytea[] NOT NULL,
    token_endpoint_auth_method text,
    grant_types                text[] NOT NULL,
    scope                      text[] NOT NULL,
    audiences                  text[] NOT NULL,
    serves                     text[] NOT NULL,
    introspection              text NOT NULL,
    first_party                boolean NOT NULL,
    created_at                 timestamptz NOT NULL,
    disabled_at                timestamptz
);

-- The client of logins that name none.
INSERT INTO auth.clients (client_id, name, secret_digests, token_endpoint_auth_method, grant_types, scope, audiences,
                          serves, introspection, first_party, created_at, disabled_at)
VALUES ('first-party', 'Built-in login client', '{}', 'none', '{}', '{profile,email}', '{}', '{}', 'own', true, now(), NULL);

CREATE TABLE auth.sessions (
    sid              text PRIMARY KEY,
    sub              text NOT NULL REFERENCES auth.users (sub) ON DELETE CASCADE,
    client_id        text NOT NULL REFERENCES auth.clients (client_id) ON DELETE CASCADE,
    gen_user         bigint NOT NULL,
    gen_client       bigint NOT NULL,
    gen_everything   bigint NOT NULL,
    methods          text[] NOT NULL,
    authenticated_at timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL,
    ended_at         timestamptz
);
CREATE INDEX sessions_by_user ON auth.sessions (sub);
CREATE INDEX sessions_by_client ON auth.sessions (client_id);

-- signs_from is null while the key is only published ahead of its use; the private half is encrypted with the master key.
CREATE TABLE auth.signing_keys (
    kid            text PRIMARY KEY,
    algorithm      text NOT NULL,
    public_jwk     jsonb NOT NULL,
    sealed_private bytea NOT NULL,
    master_key_id  text NOT NULL,
    created_at     timestamptz NOT NULL,
    signs_from     timestamptz,
    verifies_until timestamptz
);

-- The blacklist: every revocation of every kind is one mark.
--   j:<jti> f:<grant> s:<sid> k:<kid>   present = dead
--   u:<sub> c:<client> *                dead when the number is greater than the one the token was minted under
CREATE TABLE auth.token_blacklist (
    mark       text PRIMARY KEY,
    generation bigint NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

-- migrate:down

DROP SCHEMA auth CASCADE;
