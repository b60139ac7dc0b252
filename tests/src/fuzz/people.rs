//! Texts that people and other programs write: configuration, times, numbers, files for an import.

use plantao_node::again;

/// A file for one input, in memory where there is such a place.
fn file(text: &[u8]) -> tempfile::NamedTempFile {
    let memory = std::path::Path::new("/dev/shm");
    let file = if memory.is_dir() { tempfile::NamedTempFile::new_in(memory) } else { tempfile::NamedTempFile::new() };
    let file = file.unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

/// `plantaod.toml`; lines that begin with `--set ` are flags.
pub(super) mod node_configuration {
    use super::*;
    use plantao_node::config::{self, LoadError, Sources};
    use std::collections::BTreeMap;
    use std::time::Duration;

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        let reference = config::reference();
        let short: String =
            reference.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
        let set = "[node]\ndata_dir = \"/d\"\n--set node.name=centro\n--set links.bulk=08:00-18:00 2 Mbit/s\n";
        vec![short.into_bytes(), set.into(), b"[slots]\nstorage = { key_file = \"segredo-123456\" }\n".to_vec()]
    }

    pub(crate) fn run(data: &[u8]) {
        let Ok(text) = std::str::from_utf8(data) else { return };
        let (flags, lines): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("--set "));
        let flags: Vec<String> = flags.iter().map(|line| line["--set ".len()..].to_owned()).collect();
        let file = file(lines.join("\n").as_bytes());
        let environment = BTreeMap::new();
        let load = || config::load(&Sources { file: file.path(), environment: &environment, flags: &flags });
        match load() {
            Ok(read) => {
                assert_eq!(load().unwrap(), read);
                // What a person may not ask for, whatever the words.
                assert!((Duration::from_millis(100)..=Duration::from_secs(60)).contains(&read.tls_reload_interval));
                assert!(read.data_dir.is_absolute() && read.tls_key.is_absolute() && read.chunk_dir.is_absolute());
                assert!(!read.name.is_empty() && read.name.len() <= 32 && read.country.len() == 2);
                assert!(read.requests_max > 0 && read.chunk_workers > 0 && read.snapshot_entries > 0);
            }
            Err(LoadError::Faults { faults }) => {
                assert!(!faults.is_empty(), "refused without a reason");
                // A value that may be a secret is never said again.
                let slots =
                    faults.iter().filter(|fault| fault.key.starts_with("slots.") && fault.message.contains("segredo"));
                assert_eq!(slots.count(), 0, "a value of a slot is quoted");
            }
            Err(LoadError::Syntax { .. } | LoadError::NotText { .. }) => {}
            Err(LoadError::Read { source, .. }) => panic!("{source}"),
        }
    }
}

/// The contexts of the operator's tool.
pub(super) mod contexts {
    use super::*;
    use plantao_client::config::Contexts;

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        let good = "current = \"a\"\n[contexts.a]\ncluster = \"rede\"\nendpoints = [\"localhost:7400\"]\nca = \"ca.pem\"\n\
                    cert = \"/c\"\nkey = \"/k\"\n";
        vec![good.into(), b"[contexts]\n".to_vec()]
    }

    pub(crate) fn run(data: &[u8]) {
        let file = file(data);
        let Ok(read) = Contexts::load(file.path()) else { return };
        let saved = tempfile::tempdir_in(file.path().parent().unwrap()).unwrap();
        let path = saved.path().join("config.toml");
        read.save(&path).unwrap();
        assert_eq!(Contexts::load(&path).unwrap(), read, "what is saved is read back");
        if let Some(current) = &read.current {
            assert_eq!(&read.get(None, &path).unwrap().0, current);
        }
    }
}

/// What bulk may take of each link, by the hour.
pub(super) mod calendar {
    use plantao_node::chunks::calendar::{DayMinute, LinkCaps};
    use std::time::Duration;

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        [
            "else unlimited",
            "cofre = 07:00-20:00 1 Mbit/s, else unlimited; * = 08:00-18:00 20 Mbit/s",
            "cofre=22:00-06:00 unlimited, 06:00-22:00 none, else 1 Gbit/s",
            "00:00-00:00 64 kbit/s",
            "08:00-12:00 1 Mbit/s, 11:00-13:00 none",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    }

    pub(crate) fn run(data: &[u8]) {
        let Ok(text) = std::str::from_utf8(data) else { return };
        let caps = match LinkCaps::parse(text) {
            Ok(caps) => caps,
            Err(faults) => return assert!(!faults.is_empty(), "refused without a reason"),
        };
        let calendar = caps.of("cofre");
        for minute in [0, 1, 359, 480, 719, 1_080, 1_439] {
            let at = DayMinute::new(minute).unwrap();
            let change = calendar.next_change(at);
            assert!(change > Duration::ZERO && change <= Duration::from_secs(86_400), "{change:?}");
            let until = u16::try_from(change.as_secs() / 60).unwrap();
            let just_before = DayMinute::new((minute + until - 1) % 1_440).unwrap();
            assert_eq!(calendar.cap(at), calendar.cap(just_before), "the cap changes earlier than that");
            let time = |bytes| calendar.time_for(at, bytes, 1 << 20);
            assert_eq!(time(0), Some(Duration::ZERO));
            match (time(1 << 20), time(1 << 30)) {
                (Some(few), Some(many)) => assert!(few <= many, "more bytes take less time"),
                (None, Some(_)) => panic!("more bytes get there and fewer do not"),
                _ => {}
            }
        }
    }
}

/// A CPF, a telephone number, a day: what is kept of one is kept of what was kept.
pub(super) mod numbers {
    use super::*;

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        ["462.587.539-06", "46258753906", "+55 (11) 91234-5678", "1981-01-25", "2000-02-29", ""]
            .map(|text| text.as_bytes().to_vec())
            .to_vec()
    }

    pub(crate) fn run(data: &[u8]) {
        let Ok(text) = std::str::from_utf8(data) else { return };
        let kept = again::normal(text);
        let [cpf, phone, day] = &kept;
        for (place, kept) in kept.iter().enumerate() {
            let Some(kept) = kept else { continue };
            assert_eq!(again::normal(kept)[place].as_ref(), Some(kept));
        }
        let digits = |text: &String, least, most| {
            (least..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
        };
        assert!(cpf.as_ref().is_none_or(|cpf| cpf.is_empty() || digits(cpf, 11, 11)), "{cpf:?}");
        assert!(phone.as_ref().is_none_or(|phone| digits(phone, 8, 15)), "{phone:?}");
        assert!(day.as_ref().is_none_or(|day| day.is_empty() || day.len() == 10), "{day:?}");
        // A day that is kept exists: the calendar of the client's program knows it too.
        if let Some(day) = day.as_ref().filter(|day| !day.is_empty()) {
            assert!(plantao_client::time::parse_fhir(day).is_ok(), "{day} is no day");
        }
        // One wrong digit is noticed.
        if let Some(cpf) = cpf.as_ref().filter(|cpf| !cpf.is_empty()) {
            let at = data.len() % 11;
            let digit = cpf.as_bytes()[at];
            let mut wrong = cpf.clone();
            wrong.replace_range(at..=at, if digit == b'9' { "8" } else { "9" });
            assert_eq!(again::normal(&wrong)[0], None, "{wrong} of {cpf}");
        }
    }
}

/// Times in files and requests.
pub(super) mod time {
    use plantao_client::time::{TIME_MS_MAX, TIME_MS_MIN, format_rfc3339, parse_fhir, parse_rfc3339};

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        [
            "2026-11-24T14:45:00-03:00",
            "2016",
            "2016-06",
            "2016-06-01",
            "1969-12-31T23:59:59.9999Z",
            "2026-11-24T14:45:00Z[UTC]",
            "9999-12-31T00:00:00+23:59",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    }

    pub(crate) fn run(data: &[u8]) {
        let Ok(text) = std::str::from_utf8(data) else { return };
        let fhir = parse_fhir(text);
        if let Ok(ms) = parse_rfc3339(text) {
            assert_eq!(fhir, Ok(ms), "a time with an offset is the same in a FHIR file");
        }
        let Ok(ms) = fhir else { return };
        assert!((TIME_MS_MIN..=TIME_MS_MAX).contains(&ms));
        let written = format_rfc3339(ms).unwrap();
        // The last day of the year 9999 is written and not read, as its reader says.
        assert!(parse_rfc3339(&written) == Ok(ms) || ms > TIME_MS_MAX - 86_400_000, "{written}");
    }
}

/// Lines of FHIR, as every file of an import in turn.
pub(super) mod fhir {
    use plantao_client::import::fhir_again;

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        let lines = [
            r#"{"resourceType":"Organization","id":"centro","name":"Clínica Centro"}"#,
            r#"{"resourceType":"Practitioner","id":"centro-prof-1","name":[{"family":"Silva","given":["Ana"]}]}"#,
            r#"{"resourceType":"Location","id":"centro-sala-1","name":"Sala 1","managingOrganization":{"reference":"Organization/centro"}}"#,
            r#"{"resourceType":"Patient","id":"p1","name":[{"text":"Bia Souza"}],"birthDate":"1981-01-25","managingOrganization":{"reference":"Organization/centro"},"telecom":[{"system":"phone","value":"+55 11 91234-5678"}],"identifier":[{"system":"urn:oid:2.16.840.1.113883.13.237","value":"46258753906"}]}"#,
            r#"{"resourceType":"Observation","id":"o1","subject":{"reference":"Patient/p1"},"effectiveDateTime":"2026-11-24T14:45:00-03:00"}"#,
            r#"{"resourceType":"Consent","id":"c1","status":"active","dateTime":"2026-01-01","patient":{"reference":"Patient/p1"},"provision":{"period":{"start":"2026-01-01"}},"scope":{"coding":[{"code":"treatment"}]}}"#,
            r#"{"resourceType":"Appointment","id":"a1","status":"booked","start":"2026-11-24T14:45:00-03:00","end":"2026-11-24T15:15:00-03:00","participant":[{"actor":{"reference":"Patient/p1"}},{"actor":{"reference":"Practitioner/centro-prof-1"}},{"actor":{"reference":"Location/centro-sala-1"}}]}"#,
        ];
        let mut seeds: Vec<Vec<u8>> = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
        seeds.push(lines.join("\n").into_bytes());
        assert_eq!(fhir_again(seeds.last().unwrap()).len(), lines.len(), "each line of the sample asks for something");
        seeds
    }

    pub(crate) fn run(data: &[u8]) {
        let asked = fhir_again(data);
        assert_eq!(fhir_again(data), asked, "the same file asks for the same");
        let lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
        for (id, document) in asked {
            assert_eq!(id.len(), 16);
            assert!(lines.contains(&document.as_slice()), "a document is its line, byte for byte");
            assert!(document.len() <= 48 << 10 && std::str::from_utf8(&document).is_ok());
        }
    }
}

/// `images.csv`.
pub(super) mod image_rows {
    use plantao_client::import::image_rows_again;
    use std::collections::BTreeSet;
    use std::path::{Component, Path};

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        let head = "path,patient_id,kind,content_type,bytes,sha256,taken_at,name";
        let digest = "ab".repeat(32);
        let row =
            |path: &str| format!("{path},p1,before,image/jpeg,9,{digest},2026-11-24T14:45:00-03:00,\"a, \"\"b\"\"\"");
        vec![
            format!("{head}\n{}\n{}\n", row("a/b.jpg"), row("c.jpg")).into(),
            format!("\u{feff}{head}\n{}", row("../x")).into(),
        ]
    }

    pub(crate) fn run(data: &[u8]) {
        let Some(rows) = image_rows_again(data) else { return };
        let mut paths = BTreeSet::new();
        for (path, _, bytes) in &rows {
            assert!(paths.insert(path), "one file twice");
            assert!(*bytes > 0);
            let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
            assert!(inside && !path.starts_with('/') && !path.contains('\\'), "{path:?} leads out of the directory");
        }
        assert_eq!(image_rows_again(data), Some(rows), "the same table gives the same images");
    }
}
