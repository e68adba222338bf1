-- migrate:up

-- What changes with every change of a client: a copy of a row that was read under the version of this moment is still the
-- row. It is never the same twice, also where commits were lost or a backup was restored, and one transaction gives one.
CREATE TABLE auth.clients_version (
    one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    version text NOT NULL
);
INSERT INTO auth.clients_version (version) VALUES ('');

CREATE FUNCTION auth.raise_clients_version() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    this text := pg_current_xact_id()::text || '/' || extract(epoch FROM now())::text;
BEGIN
    UPDATE auth.clients_version SET version = this WHERE version <> this;
    RETURN NULL;
END $$;

-- Raised as the last act of the transaction: its row is locked for the commit alone, so who changes a client waits for
-- nobody who is in the middle of changing another, and in no circle. A new client is in no copy.
CREATE CONSTRAINT TRIGGER raise_version AFTER UPDATE OR DELETE ON auth.clients
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION auth.raise_clients_version();
CREATE TRIGGER raise_version_of_all AFTER TRUNCATE ON auth.clients
    FOR EACH STATEMENT EXECUTE FUNCTION auth.raise_clients_version();

-- migrate:down

DROP TRIGGER raise_version_of_all ON auth.clients;
DROP TRIGGER raise_version ON auth.clients;
DROP FUNCTION auth.raise_clients_version();
DROP TABLE auth.clients_version;
