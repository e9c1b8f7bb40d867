-- What only MariaDB has. One statement a line.
CREATE TABLE types.documents (id INT NOT NULL PRIMARY KEY, j JSON) ENGINE=InnoDB;
INSERT INTO types.documents VALUES (1, '{"b": 1.10, "a": [1, "ä"]}'), (2, NULL), (3, 'null');
CREATE TABLE types.hidden (id INT NOT NULL PRIMARY KEY, h INT INVISIBLE, g INT AS (id * 2) PERSISTENT, v INT AS (id + 1) VIRTUAL, c INT DEFAULT (id + 5)) ENGINE=InnoDB;
INSERT INTO types.hidden (id, h, c) VALUES (1, 10, 1), (2, NULL, NULL), (3, 30, DEFAULT);
CREATE TABLE types.packed (id INT NOT NULL PRIMARY KEY, c VARCHAR(1000) COMPRESSED, b BLOB COMPRESSED) ENGINE=InnoDB;
INSERT INTO types.packed VALUES (1, REPEAT('a', 900), REPEAT('b', 5000)), (2, NULL, '');
CREATE TABLE types.checked (id INT NOT NULL PRIMARY KEY, n INT CHECK (n > 0)) ENGINE=InnoDB;
SET SESSION check_constraint_checks = 0;
INSERT INTO types.checked VALUES (1, -1), (2, 1);
