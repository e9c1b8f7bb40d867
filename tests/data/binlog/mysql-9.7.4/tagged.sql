-- SET GLOBAL binlog_transaction_compression=OFF
CREATE DATABASE g;
USE g;
CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20));
SET gtid_next='AUTOMATIC:blue';
INSERT INTO t VALUES (1,'tagged');
SET gtid_next='3e11fa47-71ca-11e1-9e33-c80aa9429562:green_1:77';
INSERT INTO t VALUES (2,'named');
SET gtid_next='AUTOMATIC';
INSERT INTO t VALUES (3,'plain');
