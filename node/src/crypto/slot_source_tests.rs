#![allow(clippy::unwrap_used)]

use super::*;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use tempfile::TempDir;

const KEY: [u8; 32] = *b"0123456789abcdefghijklmnopqrstuv";
const KEY_HEX: &str = "303132333435363738396162636465666768696a6b6c6d6e6f70717273747576";
const KEY_BASE64: &str = "MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=";

/// A data directory and another medium beside it.
struct Media {
    root: TempDir,
}

impl Media {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("data")).unwrap();
        fs::create_dir(root.path().join("medium")).unwrap();
        Self { root }
    }

    fn data_dir(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn medium(&self) -> PathBuf {
        self.root.path().join("medium")
    }

    fn file(&self, name: &str, content: &[u8], mode: u32) -> PathBuf {
        let path = self.medium().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn read(&self, source: &SlotSource) -> Result<SlotSecret, SourceError> {
        source.read(SourceRules { data_dir: &self.data_dir(), credentials_dir: Some(&self.medium()) })
    }

    fn refusal(&self, source: &SlotSource) -> SourceError {
        let error = self.read(source).err().expect("it must be refused");
        assert!(!error.help().is_empty());
        let text = format!("{error} {error:?}");
        assert!(!text.contains("0123456789") && !text.contains("3031323334"), "the secret is in a refusal: {text}");
        error
    }
}

fn is_key(secret: Result<SlotSecret, SourceError>) -> bool {
    matches!(secret, Ok(SlotSecret::Key(key)) if *key == KEY)
}

#[test]
fn a_key_is_read_plain_in_hexadecimal_and_in_base64() {
    let media = Media::new();
    let forms: [&[u8]; 7] = [
        &KEY,
        KEY_HEX.as_bytes(),
        &[KEY_HEX.as_bytes(), b"\n"].concat(),
        KEY_HEX.to_uppercase().as_bytes(),
        KEY_BASE64.as_bytes(),
        &[KEY_BASE64.as_bytes(), b"\r\n"].concat(),
        KEY_BASE64.trim_end_matches('=').as_bytes(),
    ]
    .map(|form: &[u8]| &*form.to_vec().leak());
    for form in forms {
        let path = media.file("key", form, 0o400);
        assert!(is_key(media.read(&SlotSource::KeyFile(path.clone()))), "{form:?}");
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn what_is_not_a_key_is_refused() {
    let media = Media::new();
    let not_keys: [&[u8]; 9] = [
        b"",
        &KEY[..31],
        b"0123456789abcdefghijklmnopqrstuvw",
        &KEY_HEX.as_bytes()[..62],
        b"303132333435363738396162636465666768696a6b6c6d6e6f7071727374757x",
        b"MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dX",
        b"MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXZ=",
        b"MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dX\xc3",
        &[0xff; 1024],
    ];
    for content in not_keys {
        let path = media.file("key", content, 0o600);
        let error = media.refusal(&SlotSource::KeyFile(path));
        assert!(matches!(error, SourceError::NotAKey { .. }), "{content:?}: {error}");
    }
    let path = media.file("key", &[0; 32], 0o600);
    assert!(matches!(media.refusal(&SlotSource::KeyFile(path)), SourceError::NotRandom { .. }));
    let path = media.file("key", &[b'0'; 1025], 0o600);
    assert!(matches!(media.refusal(&SlotSource::KeyFile(path)), SourceError::TooLarge { .. }));
}

#[test]
fn a_secret_inside_the_data_directory_is_refused_links_included() {
    let media = Media::new();
    let inside = media.data_dir().join("root.key");
    fs::write(&inside, KEY).unwrap();
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o600)).unwrap();
    let link = media.medium().join("link");
    symlink(&inside, &link).unwrap();
    let detour = media.medium().join("../data/root.key");
    for path in [inside, link, detour] {
        for source in [SlotSource::KeyFile(path.clone()), SlotSource::PassphraseFile(path)] {
            assert!(matches!(media.refusal(&source), SourceError::InsideDataDir { .. }));
        }
    }
}

#[test]
fn a_secret_open_to_others_is_refused() {
    let media = Media::new();
    for mode in [0o640, 0o604, 0o620, 0o602, 0o644, 0o666] {
        let path = media.file("key", &KEY, mode);
        let error = media.refusal(&SlotSource::KeyFile(path));
        assert!(matches!(error, SourceError::Exposed { mode: found, .. } if found == mode), "{error}");
    }
    media.file("centro", &KEY, 0o440);
    assert!(is_key(media.read(&SlotSource::Credential("centro".into()))), "systemd's ACL shows as the group's bits");
    media.file("aberto", &KEY, 0o444);
    assert!(matches!(media.refusal(&SlotSource::Credential("aberto".into())), SourceError::Exposed { .. }));
}

#[test]
fn what_is_not_a_regular_file_is_refused_and_never_waited_for() {
    let media = Media::new();
    let pipe = media.medium().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    for path in [pipe, media.medium(), PathBuf::from("/dev/null")] {
        assert!(matches!(media.refusal(&SlotSource::KeyFile(path)), SourceError::NotAFile { .. }));
    }
    let missing = media.medium().join("missing");
    assert!(matches!(media.refusal(&SlotSource::KeyFile(missing)), SourceError::Read { .. }));
}

#[test]
fn a_passphrase_is_one_line_of_twelve_characters_or_more() {
    let media = Media::new();
    for (content, expected) in [
        ("senha comprida e boa\n", "senha comprida e boa"),
        ("ação não é ção\r\n", "ação não é ção"),
        ("  spaces count  ", "  spaces count  "),
    ] {
        let path = media.file("phrase", content.as_bytes(), 0o600);
        let secret = media.read(&SlotSource::PassphraseFile(path));
        assert!(matches!(secret, Ok(SlotSecret::Passphrase(text)) if *text == expected), "{content:?}");
    }
    for content in
        [b"".as_slice(), b"\n", b"short", b"twelve chars\nand a second line", b"nul\0nul\0nul\0nul", &[0xff; 20]]
    {
        let path = media.file("phrase", content, 0o600);
        let error = media.refusal(&SlotSource::PassphraseFile(path));
        assert!(matches!(error, SourceError::NotAPassphrase { .. }), "{content:?}: {error}");
    }
}

#[test]
fn a_credentials_name_leads_nowhere_else() {
    let media = Media::new();
    for name in ["", ".", "..", "../medium/key", "a/b", "/etc/passwd", ".hidden", "nul\0", "é", &"a".repeat(256)] {
        let error = media.refusal(&SlotSource::Credential(name.to_owned()));
        assert!(matches!(error, SourceError::CredentialName), "{name:?}: {error}");
    }
    let rules = SourceRules { data_dir: &media.data_dir(), credentials_dir: None };
    let error = SlotSource::Credential("centro".into()).read(rules).err().unwrap();
    assert!(matches!(error, SourceError::NoCredentials { .. }));
}

#[test]
fn a_source_is_configured_by_one_of_three_words() {
    #[derive(serde::Deserialize)]
    struct Configuration {
        root_slot: SlotSource,
    }
    let parse = |text: &str| toml::from_str::<Configuration>(text).map(|configuration| configuration.root_slot).ok();
    assert_eq!(parse("root_slot = { key_file = \"/media/k\" }"), Some(SlotSource::KeyFile("/media/k".into())));
    let expected = SlotSource::PassphraseFile("/run/p".into());
    assert_eq!(parse("root_slot = { passphrase_file = \"/run/p\" }"), Some(expected));
    assert_eq!(parse("root_slot = { credential = \"centro\" }"), Some(SlotSource::Credential("centro".into())));
    for bad in ["root_slot = { passphrase = \"secret\" }", "root_slot = {}", "root_slot = \"secret\""] {
        assert_eq!(parse(bad), None, "{bad}");
    }
    assert_eq!(parse("root_slot = { key_file = \"/a\", credential = \"b\" }"), None);
}
