//! What the command line promises when something is wrong: one line that names the remedy, the right exit status, and
//! nothing changed on either server.
#![cfg(feature = "cli")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use bluegreen::sandbox::{Kind, Server};
use mysql_async::prelude::Queryable;
use serde_json::Value;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn bluegreen(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bluegreen"));
    command.args(arguments).env_remove("BLUEGREEN_BLUE").env_remove("BLUEGREEN_GREEN").env_remove("BLUEGREEN_LOG");
    command.stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    bluegreen(arguments).output().expect("the binary runs")
}

/// The call is refused with that exit status, in one line that holds all of `words`; and in one document with `--json`.
#[track_caller]
fn refused(arguments: &[&str], status: i32, words: &[&str]) {
    let output = run(arguments);
    let line = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {line}");
    assert!(output.stdout.is_empty(), "{arguments:?} prints on standard output");
    assert_eq!(line.lines().count(), 1, "{arguments:?}: {line}");
    assert!(line.starts_with("bluegreen: "), "{line}");
    for word in words {
        assert!(line.to_lowercase().contains(&word.to_lowercase()), "`{word}` is not in: {line}");
    }
    assert!(!line.contains("s3cret"), "{line}");

    let with_json: Vec<&str> = std::iter::once("--json").chain(arguments.iter().copied()).collect();
    let output = run(&with_json);
    assert_eq!(output.status.code(), Some(status), "{with_json:?}");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let document: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let error = &document["error"];
    assert!(error["kind"].is_string() && error["message"].is_string() && error["advice"].is_string(), "{text}");
    assert!(error.get("place").is_some(), "{text}");
    assert!(!text.contains("s3cret"), "{text}");
}

/// What would show that something was written on a server.
async fn trace(server: &Server) -> Result<String, Box<dyn std::error::Error>> {
    let head = match server.sql("SHOW BINARY LOG STATUS").await {
        Ok(head) => head,
        Err(_) => server.sql("SHOW MASTER STATUS").await?,
    };
    Ok(format!("{head} {}", server.sql("SHOW DATABASES").await?))
}

#[test]
fn calls_that_are_wrong() {
    let blue = "mysql://root:s3cret@127.0.0.1:1";
    for (arguments, words) in [
        (&[][..], &["no verb"][..]),
        (&["launch"], &["launch", "--help"]),
        (&["status"], &["blue", "--blue", "BLUEGREEN_BLUE"]),
        (&["status", "--blue", blue], &["green", "--green"]),
        (&["status", "--blue", "mysql://root:s3cret@", "--green", blue], &["URL", "mysql://USER"]),
        (&["status", "--blue", "http://root:s3cret@h", "--green", blue], &["mysql://"]),
        (&["status", "--blue", "mysql://root:s3cret@h/schema", "--green", blue], &["schema"]),
        (&["status", blue], &["--help"]),
        (&["replicate", "--blue", blue, "--green", blue, "--from", "yesterday"], &["gtid:SET", "file:NAME:OFFSET"]),
        (&["replicate", "--blue", blue, "--green", blue, "--lanes", "65"], &["65 lanes"]),
        (&["replicate", "--blue", blue, "--green", blue, "--metrics", "here"], &["--metrics", "--help"]),
        (&["replicate", "--blue", blue, "--green", blue, "--metrics", "192.0.2.1:1"], &["192.0.2.1:1", "127.0.0.1"]),
        (&["switchover", "--blue", blue, "--green", blue, "--timeout", "5"], &["30", "3600"]),
        (&["verify", "--blue", blue, "--green", blue, "--repair", "--continuous"], &["--continuous", "--help"]),
        (&["create", "--blue", blue, "--green", blue, "--name", "a b"], &["name"]),
        (&["run", "--blue", blue, "--green", blue], &["--config"]),
        (&["rollback"], &["blue", "--blue"]),
        (&["rollback", "--blue", blue, "--green", blue, "--max-write-block", "0"], &["--max-write-block"]),
        (&["conflicts", "--repair"], &["green", "--green"]),
        (&["demo", "--seconds", "0"], &["--help"]),
        (&["status", "--config", "/nonexistent/bluegreen.toml"], &["bluegreen.toml", "--config"]),
    ] {
        refused(arguments, 2, words);
    }
}

#[test]
fn a_config_file_that_is_wrong() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("bluegreen.toml");
    let path = file.to_str().ok_or("the path is no text")?;
    for (text, words) in [
        ("name = \"x\"\n[blue]\nurll = \"mysql://u:s3cret@h\"", &["line 3", "urll", "bluegreen.toml"][..]),
        ("[blue]\nurl = \"mysql://u:s3cret@h/x\"", &["blue.url"]),
        ("[blue]\nreplicas = [\"mysql://u:s3cret@h\"]", &["blue.replicas", "not in this version"]),
        ("[metrics]\nlisten = \"here\"", &["line 2", "bluegreen.toml"]),
        ("[endpoint]\nkind = \"haproxy\"", &["[endpoint]", "socket", "backend"]),
        ("[endpoint]\nkind = \"magic\"", &["haproxy, command"]),
        ("[endpoint]\nkind = \"builtin\"", &["listen"]),
    ] {
        std::fs::write(&file, text)?;
        refused(&["status", "--config", path], 2, words);
    }
    Ok(())
}

#[test]
fn help_and_version_are_answers() {
    for arguments in [&["--help"][..], &["--version"], &["switchover", "--help"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{arguments:?}");
    }
    // What stands in the environment is not shown.
    let help = bluegreen(&["status", "--help"]).env("BLUEGREEN_BLUE", "mysql://root:s3cret@h").output();
    assert!(!String::from_utf8_lossy(&help.expect("the binary runs").stdout).contains("s3cret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_replication_cannot_work_with() -> Outcome {
    let start = |options: &[&str]| {
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        Box::pin(Server::builder(Kind::MySql97).options(options).start())
    };
    let (mut blue, green) = (start(&[]).await?, start(&[]).await?);
    blue.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY); INSERT INTO shop.t VALUES (1)").await?;
    blue.sql("CREATE USER reader@'%' IDENTIFIED BY 's3cret'; GRANT SELECT ON *.* TO reader@'%'").await?;
    blue.sql("CREATE USER client@'%' IDENTIFIED BY 's3cret'; GRANT SELECT, REPLICATION CLIENT ON *.* TO client@'%'")
        .await?;
    let (blue_url, green_url) = (blue.url(), green.url());
    let before = (trace(&blue).await?, trace(&green).await?);

    let wrong_password = blue.url_as("reader", "s3cret-no");
    let reader = blue.url_as("reader", "s3cret");
    let client = blue.url_as("client", "s3cret");
    let nobody = "mysql://root:s3cret@127.0.0.1:1";
    let unknown_host = "mysql://root:s3cret@no-such-host.invalid:3306";
    for verb in [&["create"][..], &["replicate", "--from", "beginning"]] {
        let refused_with = |blue: &str, green: &str, words: &[&str]| {
            let mut arguments = verb.to_vec();
            arguments.extend(["--blue", blue, "--green", green]);
            refused(&arguments, 3, words);
        };
        refused_with(&wrong_password, &green_url, &["1045", "check user and password", &blue.port().to_string()]);
        refused_with(nobody, &green_url, &["127.0.0.1:1", "check host, port"]);
        refused_with(unknown_host, &green_url, &["no-such-host.invalid", "host"]);
        refused_with(&blue_url, nobody, &["127.0.0.1:1", "check host, port"]);
        refused_with(&reader, &green_url, &["REPLICATION", "grant", &blue.port().to_string()]);
        refused_with(&client, &green_url, &["REPLICATION SLAVE", "grant", &blue.port().to_string()]);
    }

    // Positions that are not blue's.
    let from = |position: &str, status: i32, words: &[&str]| {
        refused(&["replicate", "--blue", &blue_url, "--green", &green_url, "--from", position], status, words);
    };
    from("gtid:00000000-0000-0000-0000-000000000001:1-5", 3, &["check that this is the server"]);
    from("file:binlog.000099:4", 3, &["binlog.000099"]);
    from("file:other.000001:4", 3, &["other.000001"]);
    refused(&["replicate", "--blue", &blue_url, "--green", &green_url], 3, &["no checkpoint", "--from"]);
    assert_eq!(before, (trace(&blue).await?, trace(&green).await?), "something was written");

    // A log that is gone.
    blue.sql("FLUSH BINARY LOGS; INSERT INTO shop.t VALUES (2)").await?;
    blue.sql("PURGE BINARY LOGS TO 'binlog.000002'").await?;
    let before = (trace(&blue).await?, trace(&green).await?);
    from("file:binlog.000001:4", 3, &["create"]);
    let uuid = blue.sql("SELECT @@server_uuid").await?;
    from(&format!("gtid:{uuid}:1"), 3, &["create"]);

    // Settings of blue.
    for (set, reset, words) in [
        ("SET GLOBAL binlog_format = STATEMENT", "SET GLOBAL binlog_format = ROW", &["binlog_format", "ROW"][..]),
        ("SET GLOBAL server_id = 0", &format!("SET GLOBAL server_id = {}", blue.port()), &["server_id"]),
    ] {
        blue.sql(set).await?;
        refused(&["replicate", "--blue", &blue_url, "--green", &green_url, "--from", "current"], 3, words);
        refused(&["create", "--blue", &blue_url, "--green", &green_url], 3, words);
        blue.sql(reset).await?;
    }
    assert_eq!(before, (trace(&blue).await?, trace(&green).await?), "something was written");

    // A green that holds something.
    green.sql("CREATE DATABASE mine").await?;
    let before = (trace(&blue).await?, trace(&green).await?);
    refused(&["create", "--blue", &blue_url, "--green", &green_url], 3, &["mine", "empty"]);
    refused(&["switchover", "--blue", &blue_url, "--green", &green_url], 3, &["no deployment", "create"]);
    refused(&["delete", "--green", &green_url], 3, &["no deployment"]);
    refused(&["create", "--blue", &blue_url, "--green", &blue_url], 2, &["same server"]);
    assert_eq!(before, (trace(&blue).await?, trace(&green).await?), "something was written");

    // A blue without a log.
    let (port, kind) = (blue.port(), blue.kind());
    blue.kill().await?;
    drop((port, kind, blue));
    let blue = start(&["--skip-log-bin"]).await?;
    refused(&["replicate", "--blue", &blue.url(), "--green", &green_url, "--from", "current"], 3, &["log_bin"]);
    refused(&["create", "--blue", &blue.url(), "--green", &green_url], 3, &["log_bin"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_green_that_is_older() -> Outcome {
    let blue = Box::pin(Server::builder(Kind::MySql97).start()).await?;
    let green = Box::pin(Server::builder(Kind::MySql56).start()).await?;
    let before = (trace(&blue).await?, trace(&green).await?);
    for verb in [&["create"][..], &["replicate", "--from", "current"]] {
        let (blue, green) = (blue.url(), green.url());
        let mut arguments = verb.to_vec();
        arguments.extend(["--blue", &blue, "--green", &green]);
        refused(&arguments, 3, &["9.7", "5.6", "newer version"]);
    }
    assert_eq!(before, (trace(&blue).await?, trace(&green).await?), "something was written");
    Ok(())
}

/// The verbs one after the other, with the documents that scripts read.
#[tokio::test(flavor = "multi_thread")]
async fn a_deployments_life() -> Outcome {
    let blue = Box::pin(Server::builder(Kind::MariaDb1011).start()).await?;
    let green = Box::pin(Server::builder(Kind::MariaDb1011).start()).await?;
    blue.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY, v VARCHAR(9)); INSERT INTO shop.t VALUES (1, 'a')").await?;
    let answered = |arguments: &[&str], status: i32| -> Value {
        let output = bluegreen(arguments)
            .arg("--json")
            .env("BLUEGREEN_BLUE", blue.url())
            .env("BLUEGREEN_GREEN", green.url())
            .output()
            .expect("the binary runs");
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {stdout} {stderr}");
        let last = stdout.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {stdout} {stderr}"))
    };
    let created = answered(&["create", "--name", "mydb1"], 0);
    assert_eq!((&created["deployment"]["name"], &created["rows"]), (&Value::from("mydb1"), &Value::from(1)));

    blue.sql("INSERT INTO shop.t VALUES (2, 'b'), (3, 'c')").await?;
    answered(&["replicate", "--until-caught-up"], 0);
    assert_eq!(green.sql("SELECT COUNT(*) FROM shop.t").await?, "3");

    let status = answered(&["status"], 0);
    assert_eq!(status["deployment"]["status"], "AVAILABLE");
    assert_eq!(status["replication"]["lag"]["bytes"], 0);
    assert_eq!(status["conflicts"]["open"], 0);
    for key in ["state", "checkpoint", "blue_head", "apply_rows_per_second", "caught_up_in_seconds"] {
        assert!(status["replication"].get(key).is_some(), "{key}");
    }
    let not_passed = |status: &Value| -> Vec<String> {
        let guardrails = status["guardrails"].as_array().expect("guardrails");
        guardrails.iter().filter(|one| one["verdict"] != "pass").map(|one| one["name"].to_string()).collect()
    };
    assert_eq!(not_passed(&status), ["\"rows_compared\""], "{status}");
    assert_eq!(status["verification"]["state"], "never");

    let verified = answered(&["verify"], 0);
    assert_eq!((&verified["equal"], &verified["rows"]), (&Value::from(true), &Value::from(3)));
    let status = answered(&["status"], 0);
    assert!(not_passed(&status).is_empty(), "{status}");
    assert_eq!((&status["verification"]["state"], &status["verification"]["rows"]), (&"equal".into(), &3.into()));

    assert_eq!(answered(&["switchover", "--dry-run"], 0)["outcome"], "unchanged");
    // Without a service the verb itself leads the applications to green, by a program of the operator's.
    let folder = tempfile::tempdir()?;
    let (config, plans) = (folder.path().join("bluegreen.toml"), folder.path().join("plans"));
    let script = format!("cat >> '{}'; echo done", plans.display());
    let endpoint = format!("[endpoint]\nkind = \"command\"\ncommand = [\"/bin/sh\", \"-c\", \"{script}\"]\n");
    std::fs::write(&config, endpoint)?;
    let switched = answered(&["switchover", "--config", config.to_str().ok_or("no text")?], 0);
    assert_eq!(switched["outcome"], "completed");
    let plans = std::fs::read_to_string(&plans)?;
    let plans: Vec<Value> = plans.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let actions: Vec<_> = plans.iter().map(|plan| plan["action"].as_str().unwrap_or_default()).collect();
    assert_eq!(actions, ["hold", "switch"]);
    assert_eq!(plans[1]["to"]["address"], format!("127.0.0.1:{}", green.port()));
    assert_eq!(
        (&switched["effects"][1]["observed"], switched["effects"].as_array().map(Vec::len)),
        (&"done".into(), Some(2))
    );
    assert_eq!(switched["members"][0]["source_new_name"], "mydb1-old1");
    assert_eq!(answered(&["status"], 0)["deployment"]["status"], "SWITCHOVER_COMPLETED");

    // Twice is refused, and changes nothing.
    assert_eq!(answered(&["switchover"], 1)["outcome"], "unchanged");
    assert_eq!(green.sql("SELECT @@read_only").await?, "0");
    assert_eq!(answered(&["delete"], 0)["name"], "mydb1");
    assert_eq!(green.sql("SELECT COUNT(*) FROM shop.t").await?, "3");
    Ok(())
}

/// `verify` names what differs, `status` works without blue, and a difference is exit status 1.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_no() -> Outcome {
    let mut blue = Box::pin(Server::builder(Kind::MariaDb118).start()).await?;
    let green = Box::pin(Server::builder(Kind::MariaDb118).start()).await?;
    blue.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY); INSERT INTO shop.t VALUES (1)").await?;
    let (blue_url, green_url) = (blue.url(), green.url());
    let servers = ["--blue", &blue_url, "--green", &green_url];
    let of = |verb: &[&str]| run(&[verb, &servers[..]].concat());
    assert_eq!(of(&["create"]).status.code(), Some(0));
    green.sql("DELETE FROM shop.t").await?;

    let verified = of(&["verify", "--json", "--tables", "shop.t"]);
    assert_eq!(verified.status.code(), Some(1));
    let document: Value = serde_json::from_slice(&verified.stdout)?;
    assert_eq!(document["differences"][0]["kind"], "missing_on_green");
    assert_eq!(document["differences"][0]["key"]["id"], 1);

    // Again and again; the answer is the last one.
    let mut continuous = Running::start(Command::new(env!("CARGO_BIN_EXE_bluegreen")).args([
        "verify",
        "--continuous",
        "--json",
        "--blue",
        &blue_url,
        "--green",
        &green_url,
    ]));
    let lines = BufReader::new(continuous.0.stdout.take().ok_or("no output")?).lines();
    let mut answers = lines.map_while(Result::ok).filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let first = answers.next().ok_or("no first answer")?;
    assert_eq!((&first["scope"], &first["equal"]), (&Value::from("full"), &Value::from(false)));

    let repaired = of(&["verify", "--json", "--repair"]);
    let document: Value = serde_json::from_slice(&repaired.stdout)?;
    assert_eq!(repaired.status.code(), Some(0), "{document}");
    assert_eq!((&document["equal"], &document["scope"]), (&Value::from(true), &Value::from("changed")));
    assert_eq!((&document["repair"]["rows"], &document["found"]["equal"]), (&Value::from(1), &Value::from(false)));
    assert_eq!(green.sql("SELECT COUNT(*) FROM shop.t").await?, "1");

    let now = answers.find(|answer| answer["equal"] == true).ok_or("the repair is not seen")?;
    assert!(now["scope"] == "changed" && now["age_seconds"].as_f64().is_some_and(|age| age < 5.0), "{now}");
    assert_eq!(continuous.terminate().0, Some(0));

    // What was found last is on green; of one table alone nothing is kept.
    let kept = "SELECT is_equal, differences FROM bluegreen.verification";
    assert_eq!(green.sql(kept).await?, "1\t0");
    // The write on green is a foreign one, and stands in the way; the repair is none, and takes nothing back.
    let dry = of(&["switchover", "--dry-run"]);
    assert_eq!(dry.status.code(), Some(1), "{}", String::from_utf8_lossy(&dry.stdout));
    assert!(String::from_utf8_lossy(&dry.stdout).contains("somebody else wrote on green"));

    // Without a service the verb reads green's log itself.
    let conflicts = of(&["conflicts"]);
    assert_eq!(conflicts.status.code(), Some(1), "{}", String::from_utf8_lossy(&conflicts.stderr));
    assert!(String::from_utf8_lossy(&conflicts.stdout).contains("delete shop.t {\"id\":1}"));
    let repaired = of(&["conflicts", "--repair"]);
    assert_eq!(repaired.status.code(), Some(0), "{}", String::from_utf8_lossy(&repaired.stderr));
    assert!(String::from_utf8_lossy(&repaired.stdout).contains("repaired"));
    assert_eq!(green.sql("SELECT id FROM shop.t").await?, "1");
    assert_eq!(of(&["verify"]).status.code(), Some(0));

    blue.kill().await?;
    let status = of(&["status", "--json"]);
    assert_eq!(status.status.code(), Some(0), "{}", String::from_utf8_lossy(&status.stderr));
    let document: Value = serde_json::from_slice(&status.stdout)?;
    assert_eq!(document["replication"]["lag"]["bytes"], Value::Null);
    assert_eq!(document["guardrails"][0]["verdict"], "unknown");
    Ok(())
}

/// A process of the binary that is killed when the test ends early.
struct Running(std::process::Child);

impl Running {
    fn start(command: &mut Command) -> Running {
        Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts"))
    }

    /// SIGTERM, and the exit status, which has to come within 5 s.
    fn terminate(mut self) -> (Option<i32>, String) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
        let deadline = Instant::now() + Duration::from_secs(5);
        let status = loop {
            match self.0.try_wait().expect("the process can be asked") {
                Some(status) => break status,
                None if Instant::now() > deadline => panic!("no end within 5 s of SIGTERM"),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let mut text = String::new();
        for mut pipe in [
            self.0.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read>),
            self.0.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read>),
        ]
        .into_iter()
        .flatten()
        {
            pipe.read_to_string(&mut text).expect("the output is text");
        }
        (status.code(), text)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until the statement answers `expected`.
async fn until(server: &Server, statement: &str, expected: &str) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = server.sql(statement).await?;
        if answer == expected {
            return Ok(());
        }
        assert!(Instant::now() < deadline, "{statement}: {answer}, not {expected}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicate_stops_when_it_is_told_to() -> Outcome {
    let blue = Box::pin(Server::builder(Kind::MySql97).start()).await?;
    let green = Box::pin(Server::builder(Kind::MySql97).start()).await?;
    for server in [&blue, &green] {
        server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY)").await?;
    }
    let (blue_url, green_url) = (blue.url(), green.url());
    let arguments = ["replicate", "--from", "current", "--blue", &blue_url, "--green", &green_url];
    let replicate = Running::start(&mut bluegreen(&arguments));
    until(
        &green,
        "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'bluegreen' AND table_name = 'checkpoint'",
        "1",
    )
    .await?;
    blue.sql("INSERT INTO shop.t VALUES (1)").await?;
    until(&green, "SELECT COUNT(*) FROM shop.t", "1").await?;
    let (status, text) = replicate.terminate();
    assert_eq!(status, Some(0), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains('\r'), "control characters: {text:?}");
    // It goes on where it ended, to a position and no further.
    blue.sql("INSERT INTO shop.t VALUES (2)").await?;
    let head = blue.sql("SHOW BINARY LOG STATUS").await?;
    let mut head = head.split('\t');
    let until = format!("file:{}:{}", head.next().unwrap_or_default(), head.next().unwrap_or_default());
    blue.sql("INSERT INTO shop.t VALUES (3)").await?;
    let arguments = ["replicate", "--json", "--until", &until, "--blue", &blue_url, "--green", &green_url];
    let output = run(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        serde_json::from_str::<Value>(line)?;
    }
    assert_eq!(green.sql("SELECT COUNT(*) FROM shop.t WHERE id <= 2").await?, "2");
    Ok(())
}

/// A deployment of two servers that are built and described by a file.
struct Deployment {
    blue: Server,
    green: Server,
    folder: tempfile::TempDir,
    /// The endpoint's ports.
    production: u16,
    old: u16,
    metrics: u16,
}

impl Deployment {
    async fn create() -> Result<Deployment, Box<dyn std::error::Error>> {
        let blue = Box::pin(Server::builder(Kind::MariaDb1011).start()).await?;
        let green = Box::pin(Server::builder(Kind::MariaDb1011).start()).await?;
        blue.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY); INSERT INTO shop.t VALUES (1)")
            .await?;
        let free = || -> std::io::Result<u16> { Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port()) };
        let folder = tempfile::tempdir()?;
        let deployment = Deployment { blue, green, folder, production: free()?, old: free()?, metrics: free()? };
        std::fs::write(
            deployment.folder.path().join("bluegreen.toml"),
            format!(
                "name = \"mydb1\"\n[blue]\nurl = \"{}\"\n[green]\nurl = \"{}\"\n[control]\nsocket = \"c.sock\"\n\
                 [endpoint]\nkind = \"builtin\"\nlisten = \"127.0.0.1:{}\"\nold = \"127.0.0.1:{}\"\n\
                 [metrics]\nlisten = \"127.0.0.1:{}\"\n",
                deployment.blue.url(),
                deployment.green.url(),
                deployment.production,
                deployment.old,
                deployment.metrics
            ),
        )?;
        assert_eq!(deployment.verb(&["create"]).status.code(), Some(0));
        Ok(deployment)
    }

    fn config(&self) -> String {
        self.folder.path().join("bluegreen.toml").display().to_string()
    }

    fn verb(&self, verb: &[&str]) -> Output {
        run(&[verb, &["--json", "--config", &self.config()]].concat())
    }

    /// What Prometheus would read.
    fn metrics(&self) -> std::io::Result<String> {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.metrics))?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    async fn start_service(&self) -> Running {
        let service = Running::start(&mut bluegreen(&["run", "--config", &self.config()]));
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", self.old)).is_err() {
            assert!(Instant::now() < deadline, "the service does not listen");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        service
    }

    /// The ports of the servers that the two addresses lead to.
    async fn behind(&self) -> mysql_async::Result<(u16, u16)> {
        let mut ports = [0; 2];
        for (seen, port) in ports.iter_mut().zip([self.production, self.old]) {
            let options = mysql_async::OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(port);
            let mut open = mysql_async::Conn::new(options.user(Some("root")).prefer_socket(false)).await?;
            *seen = open.query_first::<u16, _>("SELECT @@port").await?.unwrap_or_default();
            open.disconnect().await?;
        }
        Ok(ports.into())
    }
}

/// The service answers the other verbs, owns the endpoint, and leads it to green.
#[tokio::test(flavor = "multi_thread")]
async fn run_switches_its_endpoint_over() -> Outcome {
    let deployment = Deployment::create().await?;
    let Deployment { blue, green, .. } = &deployment;
    let service = deployment.start_service().await;
    // A second one would fight with the first.
    refused(&["run", "--config", &deployment.config()], 3, &["another process", "c.sock"]);
    assert_eq!(deployment.behind().await?, (blue.port(), green.port()));
    blue.sql("INSERT INTO shop.t VALUES (2)").await?;
    until(green, "SELECT COUNT(*) FROM shop.t", "2").await?;
    let status: Value = serde_json::from_slice(&deployment.verb(&["status"]).stdout)?;
    assert_eq!(status["replication"]["state"], "replicating", "{status}");
    for part in ["transport", "apply"] {
        assert_eq!(status["replication"]["lag"][part]["bytes"], 0, "{status}");
    }
    let stream = &status["replication"]["stream"];
    assert_eq!((stream["row_changes"].as_u64(), stream["last_group"]["operations"].as_u64()), (Some(1), Some(1)));
    assert!(stream["stages"]["seconds"]["green"].as_f64() > Some(0.0), "{stream}");
    let metrics = deployment.metrics()?;
    assert!(metrics.contains("\nbluegreen_applied_row_changes_total 1\n"), "{metrics}");
    assert!(metrics.contains("bluegreen_stage_microseconds_total{stage=\"green\"}"), "{metrics}");
    assert!(metrics.contains("# HELP bluegreen_queued_bytes"), "{metrics}");
    // What the dashboard shows is what there is.
    let dashboard = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/grafana-dashboard.json"))?;
    let shown = dashboard.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let shown: std::collections::BTreeSet<&str> = shown.filter(|word| word.starts_with("bluegreen_")).collect();
    assert!(shown.len() > 10, "{shown:?}");
    // The lag is measured once a second.
    let (mut metrics, deadline) = (metrics, Instant::now() + Duration::from_secs(20));
    while !shown.iter().all(|name| metrics.contains(&format!("# TYPE {name} ")))
        || !metrics.contains("bluegreen_lag_bytes{part=\"end_to_end\"} 0\n")
    {
        assert!(Instant::now() < deadline, "{shown:?} in {metrics}");
        tokio::time::sleep(Duration::from_millis(50)).await;
        metrics = deployment.metrics()?;
    }

    // A foreign write is in the journal that the service keeps.
    let conflicts = |more: &[&str]| deployment.verb(&[&["conflicts"], more].concat());
    assert_eq!(conflicts(&[]).status.code(), Some(0));
    green.sql("INSERT INTO shop.t VALUES (77)").await?;
    let listed = conflicts(&[]);
    assert_eq!(listed.status.code(), Some(1), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed: Value = serde_json::from_slice(&listed.stdout)?;
    let write = &listed["foreign_writes"][0];
    assert_eq!((write["kind"].as_str(), &write["key"]["id"]), (Some("insert"), &Value::from(77)), "{listed}");
    assert!(write["green"]["offset"].as_u64() > Some(4) && write["met"].is_null(), "{listed}");
    assert_eq!(conflicts(&["--acknowledge", "99"]).status.code(), Some(2));
    assert_eq!(conflicts(&["--acknowledge", &write["id"].to_string()]).status.code(), Some(0));
    // The service compares all the time: it sees that green differs, and that it does not any more.
    let verification = async |state: &str, since: Instant| -> Outcome {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let status: Value = serde_json::from_slice(&deployment.verb(&["status"]).stdout)?;
            let seen = &status["verification"];
            let began =
                seen["age_seconds"].as_f64().and_then(|age| Instant::now().checked_sub(Duration::from_secs_f64(age)));
            if seen["state"] == state && began > Some(since) {
                return Ok(());
            }
            assert!(Instant::now() < deadline, "{state}: {seen}");
        }
    };
    verification("different", Instant::now()).await?;
    assert_eq!(deployment.verb(&["switchover", "--dry-run"]).status.code(), Some(1));
    green.sql("DELETE FROM shop.t WHERE id = 77").await?;
    assert_eq!(conflicts(&["--acknowledge", "2"]).status.code(), Some(0));
    verification("equal", Instant::now()).await?;

    // A refusal leaves everything running.
    blue.sql("SET GLOBAL binlog_format = STATEMENT").await?;
    assert_eq!(deployment.verb(&["switchover", "--dry-run"]).status.code(), Some(1));
    let unchanged = deployment.verb(&["switchover"]);
    assert_eq!(unchanged.status.code(), Some(1), "{}", String::from_utf8_lossy(&unchanged.stderr));
    blue.sql("SET GLOBAL binlog_format = ROW").await?;
    assert_eq!(deployment.behind().await?, (blue.port(), green.port()));

    let switched = deployment.verb(&["switchover"]);
    assert_eq!(switched.status.code(), Some(0), "{}", String::from_utf8_lossy(&switched.stdout));
    let report: Value = serde_json::from_slice(&switched.stdout)?;
    assert_eq!(report["outcome"], "completed");
    assert_eq!(deployment.behind().await?, (green.port(), blue.port()));
    // Blue follows green from then on.
    green.sql("INSERT INTO shop.t VALUES (3)").await?;
    until(blue, "SELECT COUNT(*) FROM shop.t", "3").await?;
    refused(&["switchover", "--config", &deployment.config()], 3, &["green is production already", "rollback"]);
    let (status, text) = service.terminate();
    assert_eq!(status, Some(0), "{text}");
    assert!(!deployment.folder.path().join("c.sock").exists());

    // The next one reads from the record who is production.
    let service = deployment.start_service().await;
    assert_eq!(deployment.behind().await?, (green.port(), blue.port()));
    green.sql("INSERT INTO shop.t VALUES (4)").await?;
    until(blue, "SELECT COUNT(*) FROM shop.t", "4").await?;

    // Back, with what was written since, and there again.
    let back = deployment.verb(&["rollback"]);
    assert_eq!(back.status.code(), Some(0), "{}", String::from_utf8_lossy(&back.stdout));
    assert_eq!(deployment.behind().await?, (blue.port(), green.port()));
    refused(&["rollback", "--config", &deployment.config()], 3, &["nothing can be rolled back", "switchover"]);
    blue.sql("INSERT INTO shop.t VALUES (5)").await?;
    until(green, "SELECT COUNT(*) FROM shop.t", "5").await?;
    assert_eq!(deployment.verb(&["switchover"]).status.code(), Some(0));
    assert_eq!(deployment.behind().await?, (green.port(), blue.port()));
    assert_eq!(service.terminate().0, Some(0));
    assert_eq!(deployment.verb(&["delete", "--delete-target"]).status.code(), Some(3));
    assert_eq!(deployment.verb(&["delete"]).status.code(), Some(0));
    for server in [blue, green] {
        assert_eq!(server.sql("SHOW DATABASES LIKE 'bluegreen'").await?, "");
        assert_eq!(server.sql("SELECT COUNT(*) FROM shop.t").await?, "5");
    }
    Ok(())
}

/// A switchover by a process that does not know of the service: the record tells the service.
#[tokio::test(flavor = "multi_thread")]
async fn run_follows_a_switchover_that_it_did_not_make() -> Outcome {
    let deployment = Deployment::create().await?;
    let Deployment { blue, green, .. } = &deployment;
    let service = deployment.start_service().await;
    let (blue_url, green_url) = (blue.url(), green.url());
    let switched = run(&["switchover", "--blue", &blue_url, "--green", &green_url]);
    assert_eq!(switched.status.code(), Some(0), "{}", String::from_utf8_lossy(&switched.stdout));
    let deadline = Instant::now() + Duration::from_secs(10);
    while deployment.behind().await.ok() != Some((green.port(), blue.port())) {
        assert!(Instant::now() < deadline, "the endpoint still leads to the old production");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // And the way back by one, too.
    let back = run(&["rollback", "--blue", &blue_url, "--green", &green_url]);
    assert_eq!(back.status.code(), Some(0), "{}", String::from_utf8_lossy(&back.stdout));
    while deployment.behind().await.ok() != Some((blue.port(), green.port())) {
        assert!(Instant::now() < deadline, "the endpoint still leads to green");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (status, text) = service.terminate();
    assert_eq!(status, Some(0), "{text}");
    Ok(())
}
