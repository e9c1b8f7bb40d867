//! JSON as text says it: numbers keep their digits, so that nothing is lost on the way to a comparison.

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(String),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads one document.
    pub(crate) fn read(text: &str) -> Json {
        let mut rest = text;
        let json = value(&mut rest);
        assert_eq!(rest.trim(), "", "expected the end of the document in {text}");
        json
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Json> {
        match self {
            Json::Object(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Json::String(text) => Some(text),
            _ => None,
        }
    }
}

fn value(rest: &mut &str) -> Json {
    *rest = rest.trim_start();
    match rest.as_bytes().first() {
        Some(b'{') => {
            let mut members = Vec::new();
            items(rest, '}', |rest| {
                let key = string(rest);
                *rest = rest.trim_start().strip_prefix(':').expect("a colon");
                members.push((key, value(rest)));
            });
            Json::Object(members)
        }
        Some(b'[') => {
            let mut elements = Vec::new();
            items(rest, ']', |rest| elements.push(value(rest)));
            Json::Array(elements)
        }
        Some(b'"') => Json::String(string(rest)),
        _ => {
            let (word, tail) = rest.split_at(rest.find([',', ']', '}', ' ', '\n']).unwrap_or(rest.len()));
            *rest = tail;
            match word {
                "null" => Json::Null,
                "true" => Json::Bool(true),
                "false" => Json::Bool(false),
                number => {
                    assert!(number.parse::<f64>().is_ok_and(f64::is_finite), "expected a number, found {number:?}");
                    Json::Number(number.to_owned())
                }
            }
        }
    }
}

fn items<'a>(rest: &mut &'a str, end: char, mut item: impl FnMut(&mut &'a str)) {
    *rest = rest[1..].trim_start();
    if let Some(tail) = rest.strip_prefix(end) {
        *rest = tail;
        return;
    }
    loop {
        item(rest);
        *rest = rest.trim_start();
        if let Some(tail) = rest.strip_prefix(end) {
            *rest = tail;
            return;
        }
        *rest = rest.strip_prefix(',').expect("a comma").trim_start();
    }
}

/// The string that stands first; its escapes are read by the library that knows them.
fn string(rest: &mut &str) -> String {
    let mut end = 1;
    loop {
        match rest.as_bytes()[end] {
            b'\\' => end += 2,
            b'"' => break,
            _ => end += 1,
        }
    }
    let (quoted, tail) = rest.split_at(end + 1);
    *rest = tail;
    serde_json::from_str(quoted).unwrap()
}

#[test]
fn documents_are_read_as_they_are_written() {
    let json = Json::read(r#" {"a": [1.50, -0e3, "x\"\u00fc]", {}], "b":null,"c":{"d":true} , "e":[]} "#);
    assert_eq!(json.get("b"), Some(&Json::Null));
    let numbers = ["1.50", "-0e3"].map(|number| Json::Number(number.into()));
    let [first, second] = numbers;
    let text = Json::String("x\"ü]".into());
    assert_eq!(json.get("a"), Some(&Json::Array(vec![first, second, text, Json::Object(vec![])])));
    assert_eq!(json.get("c").unwrap().get("d"), Some(&Json::Bool(true)));
}
