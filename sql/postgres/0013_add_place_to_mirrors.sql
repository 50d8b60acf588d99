-- In which object store the files are: written to one, they are not in another that is configured later.

ALTER TABLE mirrors ADD COLUMN place text;
