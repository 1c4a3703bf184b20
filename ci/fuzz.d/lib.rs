//! What the fuzz targets share. An input is a text: its first line names a kind, the rest is the content. So that a
//! seed, and a finding, can be read and written by a person.

pub mod agent;
pub mod cluster;
pub mod disk;
pub mod mutate;

/// A secret that is planted where a member keeps one. It must show nowhere.
pub const SECRET: &str = "planted-Sekret_1";

/// An input's kind and content; none where it names no kind.
pub fn parts(data: &[u8]) -> Option<(&str, &[u8])> {
    let end = data.iter().position(|b| *b == b'\n')?;
    let (kind, content) = data.split_at(end);
    Some((std::str::from_utf8(kind).ok()?, content.get(1..)?))
}

/// Bytes as the programs read them from a file.
pub fn text(content: &[u8]) -> String {
    String::from_utf8_lossy(content).into_owned()
}

/// What was read from JSON, and is written as JSON, reads the same again.
pub fn same_again<T: serde::Serialize + serde::de::DeserializeOwned>(read: &T) {
    let once = serde_json::to_value(read).expect("what was read can be written");
    let again: T = serde_json::from_value(once.clone()).expect("what was written can be read");
    assert_eq!(once, serde_json::to_value(&again).expect("and written"), "it reads differently");
}
