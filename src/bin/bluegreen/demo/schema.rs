//! The shop: what is on blue before the deployment begins.

use std::fmt::Write;

use bluegreen::sandbox::{SandboxError, Server};

/// Customers at the start; every client of the traffic has its own share of them.
pub(super) const CUSTOMERS: u64 = 1_500;
/// Orders at the start, of two items each.
pub(super) const ORDERS: u64 = 4_000;
const PRODUCTS: u64 = 300;
const VIEWS: u64 = 2_000;

/// The application's account: no SUPER, so `read_only` holds for it.
pub(super) const ACCOUNT: &str = "app";
pub(super) const PASSWORD: &str = "app-password";

const TABLES: &str = "
CREATE DATABASE shop DEFAULT CHARACTER SET utf8mb4;
CREATE TABLE shop.customers (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(80) NOT NULL,
  email VARCHAR(120) NOT NULL,
  balance DECIMAL(12,2) NOT NULL DEFAULT 0,
  changed_at DATETIME(3) NOT NULL,
  UNIQUE KEY email (email)
) ENGINE = InnoDB;
CREATE TABLE shop.products (
  sku VARCHAR(20) NOT NULL PRIMARY KEY,
  title VARCHAR(120) NOT NULL,
  price DECIMAL(10,2) NOT NULL,
  picture VARBINARY(64) NULL
) ENGINE = InnoDB;
CREATE TABLE shop.orders (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  customer_id INT UNSIGNED NOT NULL,
  status ENUM('open', 'paid', 'shipped') NOT NULL DEFAULT 'open',
  placed_at DATETIME(6) NOT NULL,
  KEY customer (customer_id),
  CONSTRAINT orders_customer FOREIGN KEY (customer_id) REFERENCES shop.customers (id)
) ENGINE = InnoDB;
CREATE TABLE shop.order_items (
  order_id BIGINT UNSIGNED NOT NULL,
  line SMALLINT UNSIGNED NOT NULL,
  sku VARCHAR(20) NOT NULL,
  quantity INT NOT NULL,
  PRIMARY KEY (order_id, line),
  CONSTRAINT items_order FOREIGN KEY (order_id) REFERENCES shop.orders (id)
) ENGINE = InnoDB;
CREATE TABLE shop.carts (
  customer_id INT UNSIGNED NOT NULL PRIMARY KEY,
  content TEXT NOT NULL,
  changes INT UNSIGNED NOT NULL DEFAULT 1
) ENGINE = InnoDB;
CREATE TABLE shop.page_views (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  path VARCHAR(200) NOT NULL,
  seen_at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)
) ENGINE = InnoDB;
CREATE TABLE shop.ledger (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  operation BIGINT UNSIGNED NOT NULL,
  kind VARCHAR(12) NOT NULL,
  KEY operation (operation)
) ENGINE = InnoDB";

/// Makes the application's account. On both servers: accounts are not part of the data.
pub(super) async fn account(server: &Server) -> Result<(), SandboxError> {
    let statement = format!(
        "CREATE USER {ACCOUNT}@'%' IDENTIFIED BY '{PASSWORD}'; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON shop.* TO {ACCOUNT}@'%'"
    );
    server.sql(&statement).await.map(drop)
}

/// Makes the tables and their first rows; answers how many.
pub(super) async fn shop(server: &Server) -> Result<u64, SandboxError> {
    server.sql(TABLES).await?;
    let insert = |table: &'static str, rows: u64, row: fn(u64) -> String| async move {
        let numbers: Vec<u64> = (1..=rows).collect();
        for chunk in numbers.chunks(1_000) {
            let values: Vec<String> = chunk.iter().map(|number| row(*number)).collect();
            server.sql(&format!("INSERT INTO shop.{table} VALUES {}", values.join(","))).await?;
        }
        Ok::<u64, SandboxError>(rows)
    };
    let mut rows = insert("customers", CUSTOMERS, |id| {
        format!("({id}, 'Zoë {id}', 'customer{id}@example.com', {}.50, '2026-01-01 10:00:00.125')", id % 900)
    })
    .await?;
    rows += insert("products", PRODUCTS, |id| {
        format!("('SKU-{id:05}', 'Thing №{id}', {}.99, x'00ff{:04x}')", id % 70 + 1, id)
    })
    .await?;
    rows += insert("orders", ORDERS, |id| {
        format!("({id}, {}, 'paid', '2026-01-02 11:{:02}:00.000250')", id % CUSTOMERS + 1, id % 60)
    })
    .await?;
    rows += insert("order_items", ORDERS * 2, |number| {
        let (order, line) = (number.div_ceil(2), number % 2 + 1);
        format!("({order}, {line}, 'SKU-{:05}', {line})", number % PRODUCTS + 1)
    })
    .await?;
    rows += insert("page_views", VIEWS, |id| format!("({id}, '/product/{id}', '2026-01-03 12:00:00.5')")).await?;
    Ok(rows)
}

/// A burst of writes beside the application's, so that green has something to catch up with.
pub(super) async fn burst(server: &Server, transactions: u64, rows: u64) -> Result<(), SandboxError> {
    for transaction in 0..transactions {
        let mut statement = "INSERT INTO shop.page_views (path) VALUES ".to_owned();
        for row in 0..rows {
            let separator = if row == 0 { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(statement, "{separator}('/campaign/{transaction}/{row}')");
        }
        server.sql(&statement).await?;
    }
    Ok(())
}
