//! The tables of `docs/json.md`, and whether a document is as they say.

use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The page, read.
#[derive(Debug)]
pub struct Tables {
    /// By `kind`; the shared shapes too, under their names.
    sections: BTreeMap<String, Section>,
    shared: BTreeSet<String>,
}

/// One table.
#[derive(Debug, Default)]
struct Section {
    /// Commands of its first line.
    commands: Vec<String>,
    /// Types of each path.
    keys: BTreeMap<String, Vec<String>>,
}

impl Tables {
    /// Reads the page of this tree.
    #[must_use]
    pub fn read() -> Self {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/json.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (mut sections, mut shared, mut name) = (BTreeMap::<String, Section>::new(), BTreeSet::new(), None);
        let mut in_shared = false;
        for line in text.lines() {
            if let Some(title) = line.strip_prefix("## ") {
                in_shared = title == "Shared shapes";
                name = None;
            } else if let Some(title) = line.strip_prefix("### `") {
                let title = title.trim_end_matches('`').to_owned();
                assert!(!sections.contains_key(&title), "docs/json.md: {title} twice");
                sections.insert(title.clone(), Section::default());
                if in_shared {
                    shared.insert(title.clone());
                }
                name = Some(title);
            } else if let Some(section) = name.as_ref().and_then(|name| sections.get_mut(name)) {
                section.line(line);
            }
        }
        Self { sections, shared }
    }

    /// Every kind of document.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.sections.keys().filter(|name| !self.shared.contains(*name)).map(String::as_str)
    }

    /// Every command that is said to print one.
    pub fn commands(&self) -> impl Iterator<Item = &str> {
        self.sections.values().flat_map(|section| &section.commands).map(String::as_str)
    }

    /// Every name of a key.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&str> {
        let paths = self.sections.values().flat_map(|section| section.keys.keys());
        paths.filter_map(|path| path.trim_end_matches("[]").rsplit('.').next()).collect()
    }

    /// What is not as the tables say; nothing when all is.
    #[must_use]
    pub fn faults(&self, document: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        let Some(mut document) = document.as_object().cloned() else { return vec!["no object".to_owned()] };
        let kind = ["kind", "message_type"].into_iter().find_map(|key| document.get(key)?.as_str()).map(str::to_owned);
        let Some((kind, section)) = kind.and_then(|kind| Some((kind.clone(), self.sections.get(&kind)?))) else {
            return vec![format!("its kind has no section: {:?}", document.get("kind"))];
        };
        document.remove("kind");
        if document.remove("schema_version") != Some(1.into()) {
            faults.push(format!("{kind}: schema_version is not 1"));
        }
        plural(section, &mut document);
        self.object(section, "", &document, &kind, &mut faults);
        faults
    }

    fn object(&self, section: &Section, path: &str, object: &Map<String, Value>, at: &str, faults: &mut Vec<String>) {
        for (key, value) in object {
            let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            self.value(section, &below, value, &format!("{at}.{key}"), faults);
        }
        for (key, types) in section.children(path) {
            if !object.contains_key(key) && !types.iter().any(|one| one == "absent") {
                faults.push(format!("{at}: {key} is missing"));
            }
        }
    }

    fn value(&self, section: &Section, path: &str, value: &Value, at: &str, faults: &mut Vec<String>) {
        let Some(types) = section.keys.get(path) else {
            faults.push(format!("{at} is not described"));
            return;
        };
        if !types.iter().any(|one| self.is(one, value)) {
            faults.push(format!("{at} is not {}", types.join(" or ")));
            return;
        }
        match value {
            Value::Object(object) => match types.iter().find_map(|one| self.shape(one)) {
                Some(shape) => self.object(shape, "", object, at, faults),
                None => self.object(section, path, object, at, faults),
            },
            Value::Array(elements) if types.iter().any(|one| one == "list") => {
                let path = format!("{path}[]");
                for element in elements {
                    if section.keys.contains_key(&path) {
                        self.value(section, &path, element, at, faults);
                    } else if let Value::Object(object) = element {
                        self.object(section, &path, object, at, faults);
                    } else {
                        faults.push(format!("{at} has an element that is no object"));
                    }
                }
            }
            _ => {}
        }
    }

    fn shape(&self, name: &str) -> Option<&Section> {
        self.shared.contains(name).then(|| &self.sections[name])
    }

    fn is(&self, kind: &str, value: &Value) -> bool {
        let hex = |text: &str| text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
        let text = |holds: &dyn Fn(&str) -> bool| value.as_str().is_some_and(holds);
        match kind {
            "absent" => false,
            "null" => value.is_null(),
            "empty" => text(&str::is_empty),
            "text" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "object" => value.is_object(),
            "list" => value.is_array(),
            "id" => text(&|text| text.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && text.split('-').all(hex)),
            "digest" => text(&|text| text.len() == 64 && hex(text)),
            "code" => text(&|text| {
                text.strip_prefix("PLT-")
                    .is_some_and(|rest| rest.len() == 4 && rest.bytes().all(|c| c.is_ascii_digit()))
            }),
            "time" => text(&|text| {
                let form: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
                form == "0000-00-00T00:00:00.000Z"
            }),
            kind => match kind.strip_prefix("list of ") {
                Some(kind) => value.as_array().is_some_and(|all| all.iter().all(|one| self.is(kind, one))),
                None => {
                    assert!(self.shared.contains(kind), "docs/json.md: {kind} is no type");
                    value.is_object()
                }
            },
        }
    }
}

impl Section {
    fn line(&mut self, line: &str) {
        if let Some(row) = line.strip_prefix("| `") {
            let cells: Vec<&str> = row.split(" | ").collect();
            assert!(cells.len() == 3 && cells[2].len() > 2, "docs/json.md: {line}");
            let types = cells[1].split(" or ").map(str::to_owned).collect();
            let known = self.keys.insert(cells[0].trim_end_matches('`').to_owned(), types);
            assert!(known.is_none(), "docs/json.md, twice: {line}");
        } else if self.keys.is_empty() && line.starts_with('`') {
            let quoted = line.split('`').skip(1).step_by(2);
            self.commands = quoted.filter(|text| text.starts_with("plantao")).map(str::to_owned).collect();
        }
    }

    /// Keys right below a path.
    fn children<'a>(&'a self, path: &'a str) -> impl Iterator<Item = (&'a str, &'a Vec<String>)> {
        self.keys.iter().filter_map(move |(key, types)| {
            let rest = if path.is_empty() { key } else { key.strip_prefix(path)?.strip_prefix('.')? };
            (!rest.contains('.') && !rest.ends_with("[]")).then_some((rest, types))
        })
    }
}

/// A line of `jsonl` as the document of one element that it stands for.
fn plural(section: &Section, document: &mut Map<String, Value>) {
    let unknown = document.keys().find(|key| !section.keys.contains_key(*key)).cloned();
    let Some(singular) = unknown else { return };
    let plural = match singular.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{singular}s"),
    };
    if section.keys.contains_key(&plural)
        && let Some(value) = document.remove(&singular)
    {
        document.insert(plural, vec![value].into());
    }
}

/// Holds a document that a program printed.
///
/// # Panics
/// It is not as the tables say.
pub fn holds(document: &Value) {
    let faults = Tables::read().faults(document);
    assert!(faults.is_empty(), "docs/json.md: {faults:#?}\n{document:#}");
}

/// What a command printed as JSON, null where it printed nothing: held, and its failure too.
///
/// # Panics
/// Something is not as the tables say, or is no JSON.
pub fn told(output: &std::process::Output) -> Value {
    let failures = String::from_utf8_lossy(&output.stderr);
    let failures = failures.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    failures.filter(|failure| failure["message_type"] == "exit_error").for_each(|failure| holds(&failure));
    if output.stdout.is_empty() {
        return Value::Null;
    }
    let document = serde_json::from_slice(&output.stdout).unwrap();
    holds(&document);
    document
}
