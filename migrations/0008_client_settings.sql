-- migrate:up

-- What a client needs to send its users to the authorization endpoint. With the defaults it is what it was: none of
-- these is read on behalf of a client that has no redirect URI.
ALTER TABLE auth.clients
    ADD COLUMN redirect_uris                text[] NOT NULL DEFAULT '{}',
    ADD COLUMN application_type             text NOT NULL DEFAULT 'web',
    ADD COLUMN require_pkce                 boolean NOT NULL DEFAULT true,
    ADD COLUMN id_token_signed_response_alg text NOT NULL DEFAULT 'RS256',
    ADD COLUMN userinfo_signed_response_alg text,
    ADD COLUMN consent                      text NOT NULL DEFAULT 'remember',
    ADD COLUMN logo_uri                     text,
    ADD COLUMN client_uri                   text,
    ADD COLUMN policy_uri                   text,
    ADD COLUMN tos_uri                      text,
    ADD COLUMN default_max_age              integer,
    ADD COLUMN require_auth_time            boolean NOT NULL DEFAULT false;

-- migrate:down

-- A worker of the version before does not know this grant type. The trigger of 0007 has to be done before the table changes.
SET CONSTRAINTS auth.raise_version IMMEDIATE;
UPDATE auth.clients SET grant_types = array_remove(grant_types, 'authorization_code');
ALTER TABLE auth.clients
    DROP COLUMN redirect_uris,
    DROP COLUMN application_type,
    DROP COLUMN require_pkce,
    DROP COLUMN id_token_signed_response_alg,
    DROP COLUMN userinfo_signed_response_alg,
    DROP COLUMN consent,
    DROP COLUMN logo_uri,
    DROP COLUMN client_uri,
    DROP COLUMN policy_uri,
    DROP COLUMN tos_uri,
    DROP COLUMN default_max_age,
    DROP COLUMN require_auth_time;
