-- Run once by the postgres image, when its volume is empty: the database, and a role that owns it and nothing else.
\set password `cat /run/secrets/database-password`
CREATE ROLE authsvc LOGIN PASSWORD :'password';
CREATE DATABASE authsvc OWNER authsvc;
REVOKE CONNECT, TEMPORARY ON DATABASE authsvc FROM PUBLIC;
