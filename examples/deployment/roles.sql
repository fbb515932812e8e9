-- The schema of the store, the roles that use it, and the standby's: run once by the owner of the database, with psql, which is given the passwords.

CREATE SCHEMA fpa;

CREATE ROLE fpa_write NOLOGIN;
CREATE ROLE fpa_read NOLOGIN;
GRANT USAGE ON SCHEMA fpa TO fpa_write, fpa_read;

-- The tables come with the first opening by the owner: these are the rights that they will have.
ALTER DEFAULT PRIVILEGES IN SCHEMA fpa GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO fpa_write;
ALTER DEFAULT PRIVILEGES IN SCHEMA fpa GRANT USAGE, SELECT ON SEQUENCES TO fpa_write;
ALTER DEFAULT PRIVILEGES IN SCHEMA fpa GRANT SELECT ON TABLES TO fpa_read;

CREATE ROLE fpa_writer LOGIN PASSWORD :'writer_password' IN ROLE fpa_write;
CREATE ROLE fpa_reader LOGIN PASSWORD :'reader_password' IN ROLE fpa_read;
CREATE ROLE replicator LOGIN REPLICATION PASSWORD :'replication_password';

-- The primary keeps its log until the standby has it, within max_slot_wal_keep_size.
SELECT pg_create_physical_replication_slot('db2');
