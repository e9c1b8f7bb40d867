-- What only MySQL 8 and newer have. One statement a line.
CREATE TABLE types.documents (id INT NOT NULL PRIMARY KEY, j JSON) ENGINE=InnoDB;
INSERT INTO types.documents VALUES (1, '{"b": 1, "a": [1, 2.5, -0.0, 18446744073709551615, null, true, "ä\\u0000\\"x"], "": {}}'), (2, NULL), (3, 'null'), (4, '"it''s"'), (5, '1e300'), (6, '[]');
CREATE TABLE types.vectors (id INT NOT NULL PRIMARY KEY, v VECTOR(3)) ENGINE=InnoDB;
INSERT INTO types.vectors VALUES (1, STRING_TO_VECTOR('[0.1,-0,3.4e38]')), (2, NULL);
CREATE TABLE types.hidden (id INT NOT NULL PRIMARY KEY, h INT INVISIBLE, g INT AS (id * 2) STORED, v INT AS (id + 1) VIRTUAL, c INT DEFAULT (id + 5), KEY ((id * 3))) ENGINE=InnoDB;
INSERT INTO types.hidden (id, h, c) VALUES (1, 10, 1), (2, NULL, NULL), (3, 30, DEFAULT);
SET SESSION sql_generate_invisible_primary_key = 1;
CREATE TABLE types.generated_key (a INT) ENGINE=InnoDB;
INSERT INTO types.generated_key VALUES (1), (1), (2);
DELETE FROM types.generated_key WHERE my_row_id = 1;
CREATE TABLE types.latlong (id INT NOT NULL PRIMARY KEY, p POINT NOT NULL SRID 4326, SPATIAL KEY (p)) ENGINE=InnoDB;
INSERT INTO types.latlong VALUES (1, ST_GeomFromText('POINT(52.5 13.4)', 4326));
