-- migrate:up

-- Where a client has its users sent when they have logged out here, and where it is told that they have.
ALTER TABLE auth.clients
    ADD COLUMN post_logout_redirect_uris           text[] NOT NULL DEFAULT '{}',
    ADD COLUMN backchannel_logout_uri              text,
    ADD COLUMN backchannel_logout_session_required boolean NOT NULL DEFAULT false;

-- The session that a grant was opened in, of one that goes on without it. It may be long gone.
ALTER TABLE auth.grants ADD COLUMN opened_in text;
CREATE INDEX grants_by_opening ON auth.grants (opened_in) WHERE opened_in IS NOT NULL;

-- A browser that logs in anew gets another session. The clients of the one before know the browser by that one's name,
-- and are told by it when the new one ends.
CREATE TABLE auth.inherited_clients (
    sid       text NOT NULL REFERENCES auth.sessions (sid) ON DELETE CASCADE,
    client_id text NOT NULL REFERENCES auth.clients (client_id) ON DELETE CASCADE,
    known_as  text NOT NULL,
    PRIMARY KEY (sid, client_id, known_as)
);
CREATE INDEX inherited_clients_by_client ON auth.inherited_clients (client_id);

-- What clients are yet to be told: that a session of a user of theirs has ended. The user may be gone by then.
CREATE TABLE auth.logout_notices (
    notice_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client_id   text NOT NULL REFERENCES auth.clients (client_id) ON DELETE CASCADE,
    sub         text NOT NULL,
    sid         text NOT NULL,
    created_at  timestamptz NOT NULL,
    attempts    integer NOT NULL DEFAULT 0,
    answered    integer NOT NULL DEFAULT 0,
    due_at      timestamptz NOT NULL,
    given_up_at timestamptz
);
CREATE INDEX logout_notices_by_client ON auth.logout_notices (client_id, notice_id) WHERE given_up_at IS NULL;
CREATE INDEX logout_notices_given_up ON auth.logout_notices (given_up_at) WHERE given_up_at IS NOT NULL;

-- migrate:down

DROP TABLE auth.logout_notices;
DROP TABLE auth.inherited_clients;
ALTER TABLE auth.grants DROP COLUMN opened_in;
ALTER TABLE auth.clients
    DROP COLUMN post_logout_redirect_uris,
    DROP COLUMN backchannel_logout_uri,
    DROP COLUMN backchannel_logout_session_required;
